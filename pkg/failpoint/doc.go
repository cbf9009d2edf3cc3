// Package failpoint names the moments at which a crash hurts most, so that
// tests can make it happen exactly there. Without the build tag failpoint, as
// the product is built, all of it is empty and compiles to nothing.
//
// With the tag, two variables of the environment arm it:
//
//	WHATCHANGED_FAILPOINTS=after-insert=kill@17,before-ack=delay:50ms
//
// kills the process with SIGKILL when after-insert is passed for the 17th time
// (or the first, without a number), and holds each who passes before-ack for
// 50 ms. error makes [Fail] return an error, panic makes [Hit] and [Touch] panic;
// both take @ and a number too, and are then done that once. A word behind panic
// or error, as in normalize=panic:word, limits it to what contains that word: see [Touch].
//
//	WHATCHANGED_CLOCK=/path/to/file
//
// names a file with a duration, such as -90m, that [Wall] adds to the wall
// clock. The file is read each time, so a test moves the clock of a running
// process by writing it. Only wall time that becomes data goes through Wall: when
// a delivery was received, normalized and stored, and what goes into ids and
// frames. Timeouts and pauses rest on the monotonic clock, which does not jump
// when the wall clock is set, and stay with time.Now; so do the bus's own
// timestamps, which nothing but the bus compares.
package failpoint
