package problem

import (
	"fmt"
	"runtime"
	"strings"
)

// panicFrames is how many functions a panic is told to have gone through.
const panicFrames = 16

// Panicked describes a value that was recovered, for the log: its type, and the
// functions it came through, the innermost first. What it says, and what the
// functions were given, may quote somebody's payload, and is left out. Call it in
// the deferred function that recovered.
func Panicked(value any) error {
	pcs := make([]uintptr, panicFrames)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)]) // without us, and the function that recovered
	var through []string
	for more := true; more; {
		var f runtime.Frame
		if f, more = frames.Next(); !strings.HasPrefix(f.Function, "runtime.") {
			through = append(through, f.Function)
		}
	}
	return fmt.Errorf("panic of type %T in %s", value, strings.Join(through, ", "))
}
