package main

import (
	"os"
	"testing"

	"whatchanged/pkg/chdb/chdbtest"
)

// allowed is where the engine may write backups.
var allowed string

func TestMain(m *testing.M) { os.Exit(chdbtest.MainWithBackups(m, &allowed)) }
