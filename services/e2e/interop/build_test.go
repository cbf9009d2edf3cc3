//go:build interop

package interop_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// giteaVersion is the newest of Gitea's module that can be built from modules
// alone: later ones need some that no module proxy has.
const giteaVersion = "v1.26.0"

// buildGitea returns Gitea's program and the directory of its source, which it
// reads templates and languages from. It is built once, in minutes, into the
// user's cache, from its Go module: nothing is downloaded that go.sum's database
// does not know.
func buildGitea(t *testing.T) (binary, source string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	source = filepath.Join(cache, "whatchanged", "interop", "gitea-"+giteaVersion)
	binary = filepath.Join(source, "gitea")
	if _, err := os.Stat(binary); err == nil {
		return binary, source
	}
	t.Logf("building Gitea %s in %s; this takes minutes", giteaVersion, source)
	module := exec.Command("go", "mod", "download", "-json", "code.gitea.io/gitea@"+giteaVersion)
	module.Dir = t.TempDir() // outside of our own module
	out, err := module.Output()
	if err != nil {
		t.Fatalf("download Gitea's module: %v\n%s", err, out)
	}
	var found struct{ Dir string }
	if err := json.Unmarshal(out, &found); err != nil || found.Dir == "" {
		t.Fatalf("download Gitea's module: %v\n%s", err, out)
	}
	// The module's own directory is read-only, and a module that is built as
	// itself may not be in the module cache.
	if err := os.RemoveAll(source); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(source, os.DirFS(found.Dir)); err != nil {
		t.Fatalf("copy Gitea's source: %v", err)
	}
	args := []string{"go", "build", "-mod=mod", "-buildvcs=false", "-tags", "sqlite sqlite_unlock_notify", "-o", "gitea.new", "."}
	if nice, err := exec.LookPath("nice"); err == nil {
		args = append([]string{nice, "-n", "15"}, args...)
	}
	build := exec.Command(args[0], args[1:]...)
	build.Dir = source
	build.Env = append(os.Environ(), "CGO_ENABLED=1") // SQLite is C
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build Gitea: %v\n%s", err, out)
	}
	if err := os.Rename(filepath.Join(source, "gitea.new"), binary); err != nil {
		t.Fatal(err)
	}
	return binary, source
}
