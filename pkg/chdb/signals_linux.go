//go:build linux && (amd64 || arm64) && !nochdb

package chdb

import (
	"fmt"
	"syscall"
	"unsafe"
)

// kernelSigaction is the kernel's struct sigaction on amd64 and arm64.
type kernelSigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	signals    = 64
	sigsetSize = 8

	saOnStack             = 0x08000000
	sigDefault, sigIgnore = 0, 1
)

// signalTable is what the process does on each signal.
type signalTable [signals + 1]kernelSigaction

// saveSignals reads the process's signal table. Versions of libchdb reset
// handlers which the Go runtime owns when they connect, even with their own
// handlers disabled: after that a nil dereference kills the process in place
// of a panic.
func saveSignals() (*signalTable, error) {
	var t signalTable
	for n := 1; n <= signals; n++ {
		if err := sigaction(n, nil, &t[n]); err != nil {
			return nil, err
		}
	}
	return &t, nil
}

// restore gives back every handler the process had. A signal that nobody
// handled before and the engine handles now (it asks its threads for stack
// traces with one) keeps the engine's handler, but on the alternate stack: Go
// threads get the signal too, and their own stacks are too small for it.
func (t *signalTable) restore() error {
	for n := 1; n <= signals; n++ {
		var now kernelSigaction
		if err := sigaction(n, nil, &now); err != nil {
			return err
		}
		switch {
		case now == t[n]:
			continue
		case t[n].handler != sigDefault:
			now = t[n]
		case now.handler == sigDefault || now.handler == sigIgnore:
			now = t[n]
		default:
			now.flags |= saOnStack
		}
		if err := sigaction(n, &now, nil); err != nil {
			return err
		}
	}
	return nil
}

func sigaction(n int, set, get *kernelSigaction) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(n),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(get)), sigsetSize, 0, 0)
	if errno != 0 {
		return fmt.Errorf("handler of signal %d: %w", n, errno)
	}
	return nil
}
