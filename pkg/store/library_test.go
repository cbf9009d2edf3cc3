package store_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/store"
)

func TestOpen_TakesTheLibraryThatTheSettingsName(t *testing.T) {
	cfg := store.DefaultConfig().WithLibrary("/nowhere/libchdb.so")
	cfg.DSN = "embedded:" + t.TempDir()
	_, err := store.Open(t.Context(), cfg, bustest.Log(t), prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "/nowhere/libchdb.so") {
		t.Errorf("error = %v, want one that names the library", err)
	}
}
