package chdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// mergeThreads is the name of the threads that merge parts, and yielding is
// how much they give way (nice; others have 0): about a third of the processor
// where somebody else wants it. Nobody waits for a merge, and a request's way
// to its answer goes through several threads, each of which would otherwise
// wait for a merge's turn to end.
const (
	mergeThreads = "MergeMutate"
	yielding     = 5
)

// yieldMerges lowers the priority of the merge threads. They are all there
// once a connection is open.
func yieldMerges() error {
	tasks, err := filepath.Glob("/proc/self/task/*/comm")
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range tasks {
		name, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || strings.TrimSpace(string(name)) != mergeThreads {
			continue // another thread, or gone
		}
		id, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil {
			err = syscall.Setpriority(syscall.PRIO_PROCESS, id, yielding)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("lower the priority of a merge thread: %w", err))
		}
	}
	return errors.Join(errs...)
}
