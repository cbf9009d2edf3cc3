package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"whatchanged/pkg/app"
)

func TestAddControl_ServesOnWithoutASocket(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	s := &server{cfg: Config{DataDir: "/proc/self"}, log: logger, parts: app.NewGroup(logger)}
	if err := s.addControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "takes no socket") {
		t.Errorf("nobody is told: %s", log.String())
	}
}
