//go:build nochdb

package chdb_test

import (
	"errors"
	"log/slog"
	"testing"

	"whatchanged/pkg/chdb"
)

func TestWithoutEngine_SaysHowToGetOne(t *testing.T) {
	if _, err := chdb.Open(chdb.Config{Path: t.TempDir()}, slog.New(slog.DiscardHandler)); !errors.Is(err, chdb.ErrNoLibrary) {
		t.Errorf("Open: %v, want %v", err, chdb.ErrNoLibrary)
	}
	if _, err := chdb.FindLibrary(""); !errors.Is(err, chdb.ErrNoLibrary) {
		t.Errorf("FindLibrary: %v, want %v", err, chdb.ErrNoLibrary)
	}
}
