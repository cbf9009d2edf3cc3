// Package s3test gives tests a real S3: versitygw, which serves a directory with
// real signatures and real answers.
package s3test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Program builds versitygw, of the version that .ci/tools/s3 pins, into the
// user's cache, unless it is there, and returns its path. The go command is
// needed for it.
func Program() (string, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("find the tools of tests")
	}
	tools := filepath.Join(filepath.Dir(here), "../../.ci/tools/s3")
	goCommand := func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "go", append([]string{"-C", tools}, args...)...) //nolint:gosec // all of it is said below
		cmd.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	version, err := goCommand("list", "-m", "-f", "{{.Version}}", "github.com/versity/versitygw")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	path := filepath.Join(cache, "whatchanged", "versitygw-"+version)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return "", fmt.Errorf("make the cache: %w", err)
	}
	part := fmt.Sprintf("%s.%d", path, os.Getpid()) // several test programs may build at the same time
	if _, err := goCommand("build", "-trimpath", "-ldflags=-s -w", "-o", part, "github.com/versity/versitygw/cmd/versitygw"); err != nil {
		return "", err
	}
	if err := os.Rename(part, path); err != nil {
		return "", fmt.Errorf("keep versitygw: %w", err)
	}
	return path, nil
}
