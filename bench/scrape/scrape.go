// SPDX-License-Identifier: MIT

// 64 goroutines get and decode one JSON resource with net/http. Usage: scrape URL N WARM
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

type item struct {
	ID      int64    `json:"id"`
	SKU     string   `json:"sku"`
	Title   string   `json:"title"`
	Price   float64  `json:"price"`
	InStock bool     `json:"in_stock"`
	Rating  *float64 `json:"rating"`
	Tags    []string `json:"tags"`
	Maker   struct {
		ID      int64  `json:"id"`
		Name    string `json:"name"`
		Country string `json:"country"`
	} `json:"maker"`
	Sizes []struct {
		Size  string `json:"size"`
		Count int    `json:"count"`
	} `json:"sizes"`
	Description string `json:"description"`
	Updated     string `json:"updated"`
}

func get(client *http.Client, url string) (int64, error) {
	res, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %s", res.Status)
	}
	var v item
	err = json.NewDecoder(res.Body).Decode(&v)
	return v.ID, err
}

func run(client *http.Client, url string, n int64) int64 {
	var wg sync.WaitGroup
	var sum int64
	for i := 0; i < 64; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for atomic.AddInt64(&n, -1) >= 0 {
				id, err := get(client, url)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				atomic.AddInt64(&sum, id)
			}
		}()
	}
	wg.Wait()
	return sum
}

func main() {
	n, _ := strconv.ParseInt(os.Args[2], 10, 64)
	warm, _ := strconv.ParseInt(os.Args[3], 10, 64)
	transport := &http.Transport{MaxIdleConns: 64, MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64}
	client := &http.Client{Transport: transport}
	run(client, os.Args[1], warm)
	fmt.Println("begin")
	sum := run(client, os.Args[1], n)
	fmt.Println("end")
	if sum != 20413186*n {
		os.Exit(1)
	}
}
