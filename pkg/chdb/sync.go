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
