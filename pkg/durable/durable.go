// Package durable makes files and directories whose names survive a power cut.
// A name is on disk when its directory was synced, which neither os.MkdirAll
// nor os.Rename do.
package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// MkdirAll is os.MkdirAll for the owner alone, with every new name on disk. What
// is there may be the work of a process that was killed before it was on disk,
// so that dir's own name and the names in it are synced in any case.
func MkdirAll(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	holders := []string{filepath.Dir(dir)} // of names that are new, or may be
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil || at == filepath.Dir(at) {
			break
		}
		holders = append(holders, filepath.Dir(at))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for i, holder := range holders {
		err := SyncDir(holder)
		if i == 0 && errors.Is(err, fs.ErrPermission) {
			continue // somebody else's, who gave us dir
		}
		if err != nil {
			return err
		}
	}
	return SyncDir(dir)
}

// WriteFile writes a file that only the owner can read: after a power cut it
// is there whole, or as it was before.
func WriteFile(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return SyncDir(filepath.Dir(path))
}

// Rewrite writes what is read from a file over itself, and syncs it. After a
// sync that failed, the kernel takes pages for written that are not, and no later
// sync looks at them (https://wiki.postgresql.org/wiki/Fsync_Errors): what can be
// read from the file would not survive a power cut. Being killed in the middle
// changes nothing in it.
func Rewrite(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(f, 0), struct{ io.Reader }{f})
	return errors.Join(err, f.Sync(), f.Close())
}

// SyncDir puts the names in a directory on disk.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
