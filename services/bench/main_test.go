package bench

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestMain lets the test binary stand in for the program: the helpers that
// bench starts are subcommands of its own executable.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "bench") {
		root := &cobra.Command{Use: "whatchanged", SilenceUsage: true}
		root.AddCommand(Commands()...)
		if root.ExecuteContext(context.Background()) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
