package bench

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// newTicker returns what can be read from, eight bytes at a time, whenever d
// has passed. The kernel wakes the runtime's poller for it: the runtime's own
// timers can be a millisecond late, and a sleeping thread costs more to wake
// than the requests it wakes for.
func newTicker(d time.Duration) (io.ReadCloser, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a timer: %w", err)
	}
	every := unix.NsecToTimespec(int64(d))
	f := os.NewFile(uintptr(fd), "timer")
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil); err != nil {
		f.Close()
		return nil, fmt.Errorf("set a timer: %w", err)
	}
	return f, nil
}
