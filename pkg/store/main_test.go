package store_test

import (
	"os"
	"testing"

	"whatchanged/pkg/chdb/chdbtest"
)

func TestMain(m *testing.M) { os.Exit(chdbtest.Main(m)) }
