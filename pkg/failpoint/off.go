//go:build !failpoint

package failpoint

import "time"

// Enabled reports whether this binary has failpoints.
const Enabled = false

// Variables are the names of the environment's variables that arm failpoints.
func Variables() []string { return nil }

// Hit is passed at the moment called name.
func Hit(string) {}

// Fail is Hit that may return an error.
func Fail(string) error { return nil }

// Touch is Hit for those who handle data.
func Touch(string, []byte) {}

// Wall returns t, a reading of the clock.
func Wall(t time.Time) time.Time { return t }
