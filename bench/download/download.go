// SPDX-License-Identifier: MIT

// Save one large file. Usage: download PATH URL
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func save(path, url string) error {
	res, err := http.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, res.Body); err != nil {
		return err
	}
	return file.Close()
}

func main() {
	if err := save(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
