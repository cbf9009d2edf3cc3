package backup

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A ClickHouse server is another user, and its backups are its own.
func TestSyncTree_LeavesWhatItMayNotOpen(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "nightly", "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(dir, "nightly", "data")
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // who may open anything
		const nobody = 65534
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if _, err := unix.SetfsuidRetUid(nobody); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := unix.SetfsuidRetUid(0); err != nil {
				t.Error(err)
			}
		}()
	}
	if _, err := os.Open(closed); !os.IsPermission(err) {
		t.Fatalf("it may be opened: %v", err)
	}
	if err := syncTree(dir, "nightly"); err != nil {
		t.Error(err)
	}
}
