// SPDX-License-Identifier: MIT

// Gets and decodes a JSON resource of many hosts, so many times from each, 100 hosts at once.
// CORUN_DNS names the name server. Usage: hosts PORT HOSTS TIMES
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
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

// newClient returns a client with the limits of http.DefaultTransport that asks our name server.
func newClient() *http.Client {
	ask := func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, os.Getenv("CORUN_DNS"))
	}
	dialer := &net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: ask}}
	return &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConns: 100}}
}

func get(client *http.Client, port string, host int64) int64 {
	res, err := client.Get(fmt.Sprintf("http://h%d.bench.test:%s/item.json", host, port))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer res.Body.Close()
	var v item
	if err = json.NewDecoder(res.Body).Decode(&v); err != nil || res.StatusCode != http.StatusOK {
		fmt.Fprintln(os.Stderr, res.Status, err)
		os.Exit(1)
	}
	return v.ID
}

func main() {
	port := os.Args[1]
	hosts, _ := strconv.ParseInt(os.Args[2], 10, 64)
	times, _ := strconv.Atoi(os.Args[3])
	client := newClient()
	get(client, port, 0)
	fmt.Println("begin")
	var wg sync.WaitGroup
	var next, sum int64
	for i := 0; i < 100; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				host := atomic.AddInt64(&next, 1)
				if host > hosts {
					return
				}
				for j := 0; j < times; j++ {
					atomic.AddInt64(&sum, get(client, port, host))
				}
			}
		}()
	}
	wg.Wait()
	fmt.Println("end")
	if sum != 20413186*hosts*int64(times) {
		os.Exit(1)
	}
}
