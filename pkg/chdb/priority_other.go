//go:build !linux

package chdb

// yieldMerges is for Linux only, where threads have priorities of their own.
func yieldMerges() error { return nil }
