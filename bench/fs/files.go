// SPDX-License-Identifier: MIT
// As files.lua, with os.ReadFile and os.WriteFile in goroutines.
package main

import (
	"bytes"
	"fmt"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"
)

func main() {
	what, dir := os.Args[1], os.Args[2]
	count, _ := strconv.Atoi(os.Args[3])
	size, _ := strconv.Atoi(os.Args[4])
	block := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	write := func(name string) {
		if err := os.WriteFile(name, block, 0o666); err != nil {
			panic(err)
		}
	}
	read := func(name string) {
		if data, err := os.ReadFile(name); err != nil || len(data) != len(block) {
			panic(err)
		}
	}
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("%s/%d", dir, i)
		write(names[i])
	}

	var late []float64
	stop, ended := make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			before := time.Now()
			time.Sleep(time.Millisecond)
			late = append(late, time.Since(before).Seconds()*1e3-1)
		}
	}()
	work := read
	if what == "write" {
		work = write
	}
	begun := time.Now()
	var group sync.WaitGroup
	for _, name := range names {
		group.Add(1)
		go func(name string) {
			defer group.Done()
			work(name)
		}(name)
	}
	group.Wait()
	seconds := time.Since(begun).Seconds()
	close(stop)
	<-ended
	sort.Float64s(late)
	at := func(share float64) float64 { return late[int(float64(len(late)-1)*share)] }
	fmt.Printf("late %.3f %.3f %.3f rate %.0f\n", at(0.5), at(0.99), at(1),
		float64(count*len(block))/seconds/1e6)
}
