//go:build !linux

package bustest

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
