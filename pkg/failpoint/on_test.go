//go:build failpoint

package failpoint

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestParse_NamesTheFault(t *testing.T) {
	for _, spec := range []string{"a", "a=fly", "a=kill@x", "a=delay:soon"} {
		if _, err := parse(spec); err == nil {
			t.Errorf("%q is taken", spec)
		}
	}
}

func TestPoint_CountsItsPasses(t *testing.T) {
	points, err := parse("a=error@2")
	if err != nil {
		t.Fatal(err)
	}
	p := points["a"]
	if p.due() || !p.due() || p.due() {
		t.Error("not the second pass alone is due")
	}
	if err := p.act("a"); !errors.Is(err, ErrInjected) {
		t.Errorf("got %v", err)
	}
}

func TestWall_IsMovedByTheFileWhileTheProcessRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	t.Setenv(variableClock, path)
	start := time.Now()
	if got := Wall(start); !got.Equal(start) {
		t.Errorf("without the file the clock is moved by %s", got.Sub(start))
	}
	for _, moved := range []string{"-90m", "24h"} {
		if err := os.WriteFile(path, []byte(moved+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Wall(start).Sub(start.Round(0)).String(); got != map[string]string{"-90m": "-1h30m0s", "24h": "24h0m0s"}[moved] {
			t.Errorf("%s moves the clock by %s", moved, got)
		}
	}
}
