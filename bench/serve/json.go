// SPDX-License-Identifier: MIT

// Answer each request with a small JSON text, by net/http. Usage: json PORT
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
)

type answer struct {
	ID      int64  `json:"id"`
	Message string `json:"message"`
	OK      bool   `json:"ok"`
}

func main() {
	var count int64
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := json.Marshal(answer{atomic.AddInt64(&count, 1), "Hello, World!", true})
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	})))
}
