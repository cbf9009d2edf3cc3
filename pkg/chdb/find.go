package chdb

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// LibraryVersion is the version of libchdb this package is written for, as
// lib/package.json pins it.
const LibraryVersion = "26.7.3-stable.1"

// Package returns the npm package that has this machine's libchdb, and false
// for a program that is built without the embedded engine.
func Package() (string, bool) { return "@chdb/lib-" + platform(), embedded }

// FindLibrary says where libchdb is. An explicit path (the operator's own
// setting) is the only one looked at when it is not empty; otherwise the
// directory of the binary, the user's cache (where `make lib` puts it), the
// node_modules of the working directory and its parents, and /usr/local/lib.
func FindLibrary(explicit string) (string, error) {
	if !embedded {
		return "", errNotBuilt
	}
	if explicit != "" {
		if !isFile(explicit) {
			return "", fmt.Errorf("%w: there is no file %s, which the configuration names", ErrNoLibrary, explicit)
		}
		return explicit, nil
	}
	for _, path := range libraryPaths() {
		if isFile(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: libchdb %s is not installed: run `make lib`, or set WHATCHANGED_LIBCHDB to the path of libchdb.so",
		ErrNoLibrary, LibraryVersion)
}

// libraryPaths lists where the library may be, best first.
func libraryPaths() []string {
	const name = "libchdb.so" // the package for macOS uses this name too
	var paths []string
	if exe, err := os.Executable(); err == nil {
		paths = append(paths, filepath.Join(filepath.Dir(exe), name))
	}
	if cache := os.Getenv("XDG_CACHE_HOME"); cache != "" {
		paths = append(paths, filepath.Join(cache, "whatchanged", "libchdb", LibraryVersion, name))
	} else if home, err := os.UserHomeDir(); err == nil {
		paths = append(paths, filepath.Join(home, ".cache", "whatchanged", "libchdb", LibraryVersion, name))
	}
	if dir, err := os.Getwd(); err == nil {
		module := filepath.Join("node_modules", "@chdb", "lib-"+platform(), name)
		for {
			paths = append(paths, filepath.Join(dir, module))
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	return append(paths, filepath.Join("/usr/local/lib", name))
}

// platform is this machine in the words of the npm packages.
func platform() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	if runtime.GOOS == "linux" {
		return "linux-" + arch + "-gnu"
	}
	return runtime.GOOS + "-" + arch
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
