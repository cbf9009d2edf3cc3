package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// maxAnswer is how much is shown of what a server says that is not ready.
const maxAnswer = 4 << 10

func newHealthcheck(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "healthcheck [URL]",
		Short: "Ask a server whether it is ready, and exit with 1 when it is not",
		Long: `Asks /readyz of a server, for the health checks of containers, whose images have
no curl. Without a URL it asks the server on this machine, at the address of
WHATCHANGED_LISTEN.`,
		Example: `  whatchanged healthcheck
  whatchanged healthcheck http://127.0.0.1:8081`,
		Args: args(cobra.MaximumNArgs(1)),
	}
	timeout := cmd.Flags().Duration("timeout", 5*time.Second, "how long the answer may take")
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		base := "http://" + reachable(cmp.Or(env.Getenv("WHATCHANGED_LISTEN"), DefaultConfig().Listen))
		if len(given) == 1 {
			base = strings.TrimRight(given[0], "/")
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		return askReady(ctx, base+"/readyz")
	}
	return cmd
}

// askReady returns nil when the server says that it is ready, else what it said.
func askReady(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usagef("%w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask whether it is ready: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		return nil
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("ask whether it is ready: %s: %w", res.Status, err)
	}
	return fmt.Errorf("not ready: %s answers %s: %s", url, res.Status, printable(strings.TrimSpace(string(answer))))
}
