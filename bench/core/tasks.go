// SPDX-License-Identifier: MIT

// Spawn, yield, await: N goroutines one after another, each yields once. Usage: tasks N WARM
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
)

func run(n int) {
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func() {
			runtime.Gosched()
			wg.Done()
		}()
		wg.Wait()
	}
}

func main() {
	n, _ := strconv.Atoi(os.Args[1])
	warm, _ := strconv.Atoi(os.Args[2])
	run(warm)
	fmt.Println("begin")
	run(n)
	fmt.Println("end")
}
