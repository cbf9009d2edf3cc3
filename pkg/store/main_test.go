package store_test

import (
	"os"
	"testing"

	"whatchanged/pkg/chdb"
	"whatchanged/pkg/chdb/chdbtest"
)

// The engine knows a cluster of one shard, which is itself.
func TestMain(m *testing.M) {
	chdbtest.Configure(chdb.Config{ConfigFile: "testdata/cluster.xml"})
	os.Exit(chdbtest.Main(m))
}
