// SPDX-License-Identifier: MIT

// Many requests in flight at once, each in a goroutine and on a connection of its own.
// Usage: inflight URL N
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

func main() {
	n, _ := strconv.ParseInt(os.Args[2], 10, 64)
	client := &http.Client{Transport: &http.Transport{}}
	var wg sync.WaitGroup
	var answered int64
	for i := int64(0); i < n; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			res, err := client.Get(os.Args[1])
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode == http.StatusOK && string(body) == "done" {
				atomic.AddInt64(&answered, 1)
			}
		}()
	}
	wg.Wait()
	if answered != n {
		os.Exit(1)
	}
}
