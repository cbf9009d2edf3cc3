package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/config"
)

type bus struct {
	MaxBytes int64
	CAFile   string
	Wait     time.Duration
}

type settings struct {
	Listen  string
	Allowed []string
	Bus     bus
}

func defaults() settings {
	return settings{Listen: "127.0.0.1:8080", Bus: bus{MaxBytes: 1, Wait: time.Second}}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "whatchanged.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad_FlagsBeatEnvironmentBeatsFileBeatsDefaults(t *testing.T) {
	cfg := defaults()
	err := config.Load(&cfg, config.Sources{
		File:    write(t, "listen: file:1\nallowed: [a, b]\nbus:\n  max_bytes: 2\n  ca_file: file.pem\n  wait: 5s\n"),
		Environ: []string{"HOME=/x", "WHATCHANGED_BUS_CA_FILE=env.pem", "WHATCHANGED_LISTEN=env:1", "WHATCHANGED_URL=x"},
		Ignore:  []string{"WHATCHANGED_URL"},
		Flags:   map[string]string{"listen": "flag:1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := settings{Listen: "flag:1", Allowed: []string{"a", "b"}, Bus: bus{MaxBytes: 2, CAFile: "env.pem", Wait: 5 * time.Second}}
	if diff := cmp.Diff(want, cfg); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestLoad_UnknownKeysAreErrorsThatNameAll(t *testing.T) {
	cfg := defaults()
	err := config.Load(&cfg, config.Sources{
		File:    write(t, "max_bytes: 2\nbuss: {}\nbus: {x: 1}\n"),
		Environ: []string{"WHATCHANGED_LISTNE=1"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"max_bytes" (did you mean "bus.max_bytes"?)`, `"bus.x"`, "WHATCHANGED_LISTNE"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
}

func TestLoad_AValueOfTheWrongTypeNamesItsKeyAndNotTheValue(t *testing.T) {
	cfg := defaults()
	err := config.Load(&cfg, config.Sources{
		File:    write(t, "allowed: {a: [b]}\nlisten: [a, b]\n"),
		Environ: []string{"WHATCHANGED_BUS_MAX_BYTES=s3cret", "WHATCHANGED_BUS_WAIT=5"},
	})
	want := "configuration: unknown key \"allowed.a\""
	if err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
	err = config.Load(&cfg, config.Sources{
		File:    write(t, "listen: [a, b]\n"),
		Environ: []string{"WHATCHANGED_BUS_MAX_BYTES=s3cret", "WHATCHANGED_BUS_WAIT=5"},
	})
	err = errors.Join(err, config.Load(&cfg, config.Sources{Environ: []string{"WHATCHANGED_BUS_MAX_BYTES=", "WHATCHANGED_BUS_CA_FILE=", "WHATCHANGED_ALLOWED="}}))
	want = `configuration: listen (WHATCHANGED_LISTEN): want a text
bus.max_bytes (WHATCHANGED_BUS_MAX_BYTES): want a number without a unit
bus.wait (WHATCHANGED_BUS_WAIT): want a duration, such as 20s or 5m
configuration: bus.max_bytes (WHATCHANGED_BUS_MAX_BYTES): want a number without a unit`
	if err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

func TestLoad_AnUnknownVariableNamesTheOneItWasMeantToBe(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		cfg := defaults()
		err := config.Load(&cfg, config.Sources{Environ: []string{name + "=1"}})
		if want = "configuration: unknown environment variable " + name + want; err == nil || err.Error() != want {
			t.Errorf("error = %v, want %s", err, want)
		}
	}
	f("WHATCHANGED_LISTNE", " (did you mean WHATCHANGED_LISTEN?)")
	f("WHATCHANGED_BUS_MAXBYTES", " (did you mean WHATCHANGED_BUS_MAX_BYTES?)")
	f("WHATCHANGED_CA_FILE", " (did you mean WHATCHANGED_BUS_CA_FILE?)")
	f("WHATCHANGED_NOTHING_LIKE_IT", "")
}

func TestFields_ListsEveryKeyInOrder(t *testing.T) {
	cfg := defaults()
	var keys []string
	for _, f := range config.Fields(&cfg) {
		keys = append(keys, f.Key)
	}
	want := []string{"listen", "allowed", "bus.max_bytes", "bus.ca_file", "bus.wait"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}
