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

// How much the engine's threads give way to the rest of the process (nice: 0
// there), where both want the processor. A request passes through several
// goroutines on its way to its answer, and each would wait for the turn of an
// insert to end; an insert would wait for a merge, for which nobody waits.
const (
	yielding      = 5  // a third of the share of a thread that does not
	yieldingMerge = 10 // a tenth
	mergeThread   = "MergeMutate"
)

// yield lowers the priority of the engine's threads. What it runs takes one of
// a pool; they have names of their own, and Go's have the program's.
func yield() error {
	program, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		return fmt.Errorf("lower the engine's priority: %w", err)
	}
	threads, err := filepath.Glob("/proc/self/task/*/comm")
	if err != nil {
		return fmt.Errorf("lower the engine's priority: %w", err)
	}
	var errs []error
	for _, file := range threads {
		name, err := os.ReadFile(file)
		if err != nil || string(name) == string(program) {
			continue // gone, or Go's
		}
		nice := yielding
		if strings.TrimSpace(string(name)) == mergeThread {
			nice = yieldingMerge
		}
		id, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil {
			err = syscall.Setpriority(syscall.PRIO_PROCESS, id, nice)
		}
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("lower the engine's priority: %w", err))
		}
	}
	return errors.Join(errs...)
}
