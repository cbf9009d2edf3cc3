package config_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"whatchanged/pkg/config"
)

// FuzzLoad: a file and a variable make a configuration or an error, and the
// variable goes first.
func FuzzLoad(f *testing.F) {
	f.Add("bus:\n  max_bytes: 5\nname: x\n", "y")
	f.Add("list: [a, b]\nspan: 3s\n", "")
	f.Add("a: &a [*a]\n", "\x00")
	f.Add("? [1]\n: {}\n", "1")
	f.Add("bus: 3", "z")
	path := filepath.Join(f.TempDir(), "c.yaml")
	f.Fuzz(func(t *testing.T, file, name string) {
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		var cfg struct {
			Name string
			Span time.Duration
			List []string
			Bus  struct{ MaxBytes int64 }
		}
		err := config.Load(&cfg, config.Sources{File: path, Environ: []string{config.Prefix + "NAME=" + name}})
		if err == nil && cfg.Name != name {
			t.Errorf("name is %q, want %q", cfg.Name, name)
		}
	})
}
