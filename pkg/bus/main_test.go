package bus_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also lets tests start this program again as a process that they can
// kill: see child_test.go.
func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		os.Exit(children[name]())
	}
	goleak.VerifyTestMain(m)
}
