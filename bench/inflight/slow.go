// SPDX-License-Identifier: MIT

// The server of inflight: answers each request after 1 s. "/most" says how many requests it had at
// once at most since it was asked last. Usage: slow PORT
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

func main() {
	var mutex sync.Mutex
	var now, most int
	count := func(by int) {
		mutex.Lock()
		defer mutex.Unlock()
		now += by
		if now > most {
			most = now
		}
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		count(1)
		defer count(-1)
		time.Sleep(time.Second)
		fmt.Fprint(w, "done")
	})
	http.HandleFunc("/most", func(w http.ResponseWriter, _ *http.Request) {
		mutex.Lock()
		defer mutex.Unlock()
		fmt.Fprint(w, most)
		most = now
	})
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	fmt.Fprintln(os.Stderr, http.Serve(listener, nil))
}
