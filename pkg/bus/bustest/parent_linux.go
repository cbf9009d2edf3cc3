package bustest

import "syscall"

// dieWithParent ends the server even when the test program is killed.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
