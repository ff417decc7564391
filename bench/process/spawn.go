// SPDX-License-Identifier: MIT

// Run /bin/true N times, 16 at a time, and collect what it prints. Usage: spawn N WARM
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
)

func run(n int) {
	var wg sync.WaitGroup
	jobs := make(chan struct{})
	for i := 0; i < 16; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range jobs {
				var stdout, stderr bytes.Buffer
				cmd := exec.Command("/bin/true")
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				if err := cmd.Run(); err != nil {
					panic(err)
				}
			}
		}()
	}
	for i := 0; i < n; i++ {
		jobs <- struct{}{}
	}
	close(jobs)
	wg.Wait()
}

func main() {
	n, _ := strconv.Atoi(os.Args[1])
	warm, _ := strconv.Atoi(os.Args[2])
	run(warm)
	fmt.Println("begin")
	run(n)
	fmt.Println("end")
}
