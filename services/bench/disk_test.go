package bench

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
)

func TestDiskUsage_TellsMergedPartsApart(t *testing.T) {
	dir := t.TempDir()
	const size = 40 << 10
	for _, name := range []string{
		"202601_1_1_0/data.bin", "202601_2_2_0/data.bin", "202601_1_2_1/data.bin", // the third is of the two
		"202602_1_1_0/data.bin", "detached/note", "other/202601_1_1_0/data.bin",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		content := make([]byte, size)
		rand.Read(content)
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil { // until then blocks may be unassigned
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	live, merged, err := diskUsage(dir)
	if err != nil {
		t.Fatal(err)
	}
	if live < 4*size || live > 6*size || merged < 2*size || merged > 3*size {
		t.Errorf("live %d, merged %d, want about %d and %d", live, merged, 4*size, 2*size)
	}
}

func TestDiskUsage_OfNothingIsNothing(t *testing.T) {
	live, merged, err := diskUsage(filepath.Join(t.TempDir(), "none"))
	if err != nil || live != 0 || merged != 0 {
		t.Errorf("a directory that is gone: %d, %d, %v", live, merged, err)
	}
}
