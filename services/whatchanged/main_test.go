package main

import (
	"fmt"
	"os"
	"testing"

	"whatchanged/pkg/chdb"
	"whatchanged/pkg/chdb/chdbtest"
)

// allowed is where the engine may write backups.
var allowed string

func TestMain(m *testing.M) {
	var err error
	if allowed, err = os.MkdirTemp("", "whatchanged-backups-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	chdbtest.Configure(chdb.Config{Args: []string{"--backups.allowed_path=" + allowed}})
	code := chdbtest.Main(m)
	os.RemoveAll(allowed)
	os.Exit(code)
}
