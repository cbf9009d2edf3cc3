// Package program finds the whatchanged program that the checks of deploy/ ask
// about settings, and runs it. The checks believe no list of their own about
// what the program knows.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// Variable names the program to check with. When it is empty the program is
// built from this tree.
const Variable = "WHATCHANGED_BIN"

// runTime is how long one command may take that connects to nothing.
const runTime = 30 * time.Second

// Root returns the top of the product's tree.
func Root(tb testing.TB) string {
	tb.Helper()
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		tb.Fatal("find this file: the binary says nothing about it")
	}
	root := filepath.Join(filepath.Dir(here), "..", "..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		tb.Fatalf("find the top of the tree (run without -trimpath): %v", err)
	}
	return root
}

// Path returns the program: the one that WHATCHANGED_BIN names, or one built
// from this tree. The build is static and without the embedded engine, as in
// the image; go's cache makes every one but the first a matter of linking.
func Path(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv(Variable); path != "" {
		abs, err := filepath.Abs(path)
		if err != nil {
			tb.Fatalf("%s: %v", Variable, err)
		}
		if _, err := os.Stat(abs); err != nil {
			tb.Fatalf("%s: %v", Variable, err)
		}
		return abs
	}
	return Build(tb, "nochdb")
}

// Build builds the program from this tree with build tags.
func Build(tb testing.TB, tags string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "whatchanged")
	build := exec.CommandContext(tb.Context(), "go", "build", "-tags", tags, "-o", path, "./services/whatchanged")
	build.Dir = Root(tb)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("build the program: %v\n%s", err, out)
	}
	return path
}

// Run runs the program with these variables and no others, and returns what it
// wrote to its standard output. The error of a program that failed holds what
// it wrote to its standard error.
func Run(ctx context.Context, path string, environ []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append([]string{}, environ...) // never nil, which would mean all of ours
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", errors.Join(fmt.Errorf("run %s %q: %w", filepath.Base(path), args, err), errors.New(stderr.String()))
	}
	return stdout.String(), nil
}

// CheckConfig asks the program whether it would start a service with these
// variables, given as NAME=value. It connects to nothing.
func CheckConfig(ctx context.Context, path, service string, environ []string) error {
	_, err := Run(ctx, path, environ, "config", "check", service)
	return err
}
