// Command whatchanged answers the first question of every incident: what
// changed? It runs the whole product in one process, one service of it, or a
// command against a running one.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // what was asked for could not be done
	exitUsage  = 2 // what was asked for was not understood
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, Environment{
		Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}))
}

// run is the program, less what belongs to its process.
func run(ctx context.Context, env Environment) int {
	cmd := newRoot(&env)
	cmd.SetArgs(env.Args)
	cmd.SetIn(env.Stdin)
	cmd.SetOut(env.Stdout)
	cmd.SetErr(env.Stderr)
	err := cmd.ExecuteContext(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitOK // we were told to stop, and did
	case errors.As(err, &usage):
		fmt.Fprintf(env.Stderr, "whatchanged: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(env.Stderr, "whatchanged: %v\n", err)
		return exitFailed
	}
}
