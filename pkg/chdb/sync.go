package chdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"whatchanged/pkg/durable"
)

// syncDirs makes the names of databases and tables durable, from the directory
// that holds ours down to every table's: the engine writes their files safely,
// but not the directories, so that a table just made could be gone after a
// power cut, with all that was inserted. What is in the tables is the matter
// of their fsync settings.
func (e *Engine) syncDirs() error {
	dirs := []string{filepath.Dir(e.path), e.path}
	for _, pattern := range []string{"metadata", "data", "store", "store/*", "store/*/*"} {
		found, err := fs.Glob(os.DirFS(e.path), pattern)
		if err != nil {
			return fmt.Errorf("sync directories: %w", err)
		}
		for _, dir := range found {
			dirs = append(dirs, filepath.Join(e.path, dir))
		}
	}
	for _, dir := range dirs {
		// A table dropped meanwhile is no loss.
		if err := durable.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sync directories: %w", err)
		}
	}
	return nil
}

// inserted makes an insert durable that the engine has answered, or says why it
// may not be.
func (e *Engine) inserted(database, table string) error {
	if err := e.syncTable(database, table); err != nil {
		return err
	}
	return e.roomLeft()
}

// syncTable makes the names of a table's new parts durable. The engine syncs
// what is in a part, and the part's own directory; that its name is on disk
// after that is a courtesy of journaling file systems.
func (e *Engine) syncTable(database, table string) error {
	if table == "" || !isWord(database) {
		return e.syncDirs()
	}
	err := durable.SyncDir(filepath.Join(e.path, "data", database, table)) // a link into store/
	if errors.Is(err, fs.ErrNotExist) {
		return e.syncDirs() // a table that has its files elsewhere, or none
	}
	if err != nil {
		return fmt.Errorf("sync table %s: %w", table, err)
	}
	return nil
}

// roomLeft returns an error when the volume is full, whatever the engine said of
// the insert before: of the small files of a part it does not notice that they
// could not be written, and could not read the part after a restart. See
// https://github.com/ClickHouse/ClickHouse/issues/116490 for such parts.
func (e *Engine) roomLeft() error {
	v, err := durable.VolumeOf(e.path)
	if err != nil {
		return err
	}
	if v.Free < e.reserve/8 {
		return newException(codeNotEnoughSpace, "NOT_ENOUGH_SPACE", fmt.Sprintf("%d bytes are free: what was inserted may not be whole", v.Free))
	}
	return nil
}
