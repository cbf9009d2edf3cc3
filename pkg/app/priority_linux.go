package app

import "syscall"

// behind is how much a part gives way (nice; others have 0): where both want
// the processor it gets a third of the others' share.
const behind = 5

// giveWay lowers the priority of the calling thread, which 0 stands for here.
func giveWay() error { return syscall.Setpriority(syscall.PRIO_PROCESS, 0, behind) }
