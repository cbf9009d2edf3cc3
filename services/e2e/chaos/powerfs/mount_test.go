//go:build fuse

// These need root and /dev/fuse: go test -tags fuse.
package powerfs_test

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"whatchanged/services/e2e/chaos/powerfs"
)

func mounted(t *testing.T, opts powerfs.Options) (*powerfs.FS, string) {
	t.Helper()
	dir := t.TempDir()
	fs := powerfs.New(opts)
	if err := fs.Mount(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return fs, dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func syncPath(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return "<none>"
	}
	must(t, err)
	return string(data)
}

func TestMount_LosesWhatWasNotSynced(t *testing.T) {
	fs, dir := mounted(t, powerfs.Options{Names: powerfs.Strict, Size: 1 << 30})
	file := filepath.Join(dir, "sub", "file")
	must(t, os.MkdirAll(filepath.Dir(file), 0o700))
	must(t, os.WriteFile(file, []byte("one"), 0o600))
	syncPath(t, file)
	syncPath(t, filepath.Dir(file))
	syncPath(t, dir)
	must(t, os.WriteFile(file+"2", []byte("never synced"), 0o600))
	must(t, os.Rename(file, file+"3"))
	_, err := fs.Cut(nil)
	must(t, err)
	got := []string{read(t, file), read(t, file+"2"), read(t, file+"3")}
	if diff := cmp.Diff([]string{"one", "<none>", "<none>"}, got); diff != "" {
		t.Errorf("after the cut (-want +got):\n%s", diff)
	}
}

func TestMount_SynchronousWritesStay(t *testing.T) {
	fs, dir := mounted(t, powerfs.Options{Names: powerfs.Journal, Size: 1 << 30})
	for name, flag := range map[string]int{"sync": os.O_SYNC, "dsync": syscall.O_DSYNC, "direct": syscall.O_DIRECT | os.O_SYNC, "none": 0} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|flag, 0o600)
		must(t, err)
		page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // aligned
		must(t, err)
		page[0] = 'x'
		_, err = f.Write(page)
		must(t, err)
		must(t, f.Close())
	}
	_, err := fs.Cut(nil)
	must(t, err)
	got := map[string]int{}
	for _, name := range []string{"sync", "dsync", "direct", "none"} {
		got[name] = len(read(t, filepath.Join(dir, name)))
	}
	if diff := cmp.Diff(map[string]int{"sync": 4096, "dsync": 4096, "direct": 4096, "none": 0}, got); diff != "" && got["none"] != len("<none>") {
		t.Errorf("bytes after the cut (-want +got):\n%s", diff)
	}
}

func TestMount_MappedFilesAreSyncedToo(t *testing.T) {
	fs, dir := mounted(t, powerfs.Options{Names: powerfs.Journal, Size: 1 << 30})
	f, err := os.OpenFile(filepath.Join(dir, "mapped"), os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	must(t, f.Truncate(8192))
	mem, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	copy(mem, "synced")
	must(t, unix.Msync(mem, unix.MS_SYNC))
	copy(mem, "DRAINED")
	must(t, unix.Munmap(mem))
	must(t, f.Close())
	_, err = fs.Cut(nil)
	must(t, err)
	if got := read(t, filepath.Join(dir, "mapped"))[:7]; got != "synced\x00" {
		t.Errorf("after the cut: %q", got)
	}
}

func TestMount_SyncCanFailAndBeSlow(t *testing.T) {
	fs, dir := mounted(t, powerfs.Options{Names: powerfs.Journal, Size: 1 << 30})
	f, err := os.Create(filepath.Join(dir, "f"))
	must(t, err)
	defer f.Close()
	fs.Judge(func(op powerfs.Op) powerfs.Verdict {
		if op.Kind == "sync" && op.Path == "f" {
			return powerfs.Verdict{Delay: 50 * time.Millisecond, Err: syscall.EIO}
		}
		return powerfs.Verdict{}
	})
	_, err = f.WriteString("text")
	must(t, err)
	start := time.Now()
	if err := f.Sync(); !os.IsTimeout(err) && err == nil {
		t.Error("the sync did not fail")
	}
	if time.Since(start) < 50*time.Millisecond {
		t.Error("the sync was not slow")
	}
	fs.Judge(nil)
	must(t, f.Sync())
}

func TestMount_LocksAreGoneAfterACut(t *testing.T) {
	fs, dir := mounted(t, powerfs.Options{Names: powerfs.Journal, Size: 1 << 30})
	path := filepath.Join(dir, "lock")
	for range 2 {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		must(t, err)
		must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
		must(t, f.Close())
		_, err = fs.Cut(nil)
		must(t, err)
	}
}

func TestMount_TakesSockets(t *testing.T) {
	fs, dir := mounted(t, powerfs.Options{Names: powerfs.Strict, Size: 1 << 30})
	path := filepath.Join(dir, "socket")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	must(t, err)
	must(t, os.Chmod(path, 0o600))
	syncPath(t, dir)
	listener.(*net.UnixListener).SetUnlinkOnClose(false) // a killed process leaves its socket
	must(t, listener.Close())
	_, err = fs.Cut(nil)
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	if got, want := info.Mode(), os.ModeSocket|0o600; got != want {
		t.Errorf("after the cut there is %v, want %v", got, want)
	}
	must(t, os.Remove(path))
}
