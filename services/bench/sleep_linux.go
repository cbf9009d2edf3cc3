package bench

import (
	"syscall"
	"time"
)

// preciseSleep blocks the calling thread. It wakes within about 60 µs, and a
// signal (the runtime sends them) ends it early.
func preciseSleep(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	syscall.Nanosleep(&ts, nil)
}
