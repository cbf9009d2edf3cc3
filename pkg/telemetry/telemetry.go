// Package telemetry makes the program's logger and metrics registry.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Config says how the program logs.
type Config struct {
	// Level is the least that is logged: debug, info, warn or error.
	Level string
	// Format is text for people or json for programs.
	Format string
}

// DefaultConfig logs what an operator wants in a quiet hour, as text.
func DefaultConfig() Config { return Config{Level: "info", Format: "text"} }

// Validate reports every fault of the configuration.
func (c Config) Validate() error {
	_, err := NewLogger(io.Discard, c)
	return err
}

// NewLogger returns a logger that writes to w.
func NewLogger(w io.Writer, cfg Config) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, fmt.Errorf("level: %q: want debug, info, warn or error", cfg.Level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch cfg.Format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	default:
		return nil, fmt.Errorf("format: %q: want text or json", cfg.Format)
	}
}

// NewRegistry returns a metrics registry with the process's own figures.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "whatchanged_build_info",
			Help:        "Always 1; the labels say which build this is.",
			ConstLabels: prometheus.Labels{"version": Version()},
		}, func() float64 { return 1 }),
	)
	return reg
}

// version is the version of a release. The linker sets it, with
// -ldflags "-X whatchanged/pkg/telemetry.version=v1.2.3", where the program is
// built from a tree without its history; nothing else does.
var version string

// Version returns the version this program was built as: the one its release
// was given, else the module's, with the revision when it is known.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision := ""
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = "+" + s.Value[:min(len(s.Value), 12)]
		}
	}
	version := info.Main.Version
	if version == "" {
		version = "(devel)"
	}
	return version + revision
}
