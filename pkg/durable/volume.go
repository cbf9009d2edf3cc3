package durable

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Volume is how large a volume is, and what is free for us on it, in bytes.
type Volume struct{ Size, Free int64 }

// VolumeOf returns the volume that a file or directory is on.
func VolumeOf(path string) (Volume, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return Volume{}, fmt.Errorf("read the free space of %s: %w", path, err)
	}
	block := int64(st.Bsize) //nolint:unconvert // its type differs between systems
	return Volume{Size: int64(st.Blocks) * block, Free: int64(st.Bavail) * block}, nil
}
