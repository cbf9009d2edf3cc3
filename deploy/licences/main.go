// Command licences writes docs/licences.md: every module that is linked into
// the program on any platform we release for, with the licence that its own
// files grant. With -texts it prints those files instead, which must go with
// every copy of the program. A licence that is not on the list of those we may
// pass on is an error.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	texts := flag.Bool("texts", false, "print the licences in full")
	flag.Parse()
	if err := run(os.Stdout, *texts); err != nil {
		fmt.Fprintf(os.Stderr, "licences: %v\n", err)
		os.Exit(1)
	}
}

// document is where the table is kept.
const document = "docs/licences.md"

// run works at the top of the tree.
func run(stdout io.Writer, texts bool) error {
	parts, err := find()
	if err != nil {
		return err
	}
	if texts {
		return printTexts(stdout, parts)
	}
	table, err := render(parts)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.FromSlash(document), table, 0o644)
}
