package bus_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nkeys"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
)

// A user can prove who it is in several ways; what is in a file is read again at
// each connect.
func TestBus_ProvesWhoItIs(t *testing.T) {
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("nkey", func(t *testing.T) {
		cfg := remoteConfig(bustest.Server(t, fmt.Sprintf("authorization { users: [ { nkey: %s } ] }", public)))
		cfg.NkeyFile = file(string(seed))
		bustest.Connect(t, cfg)
	})
	t.Run("token", func(t *testing.T) {
		cfg := remoteConfig(bustest.Server(t, `authorization { token: "t0ken" }`))
		cfg.TokenFile = file("t0ken")
		bustest.Connect(t, cfg)
	})
	t.Run("a password that changes", func(t *testing.T) {
		t.Setenv("TEST_BUS_PASSWORD", "first")
		server := bustest.Server(t, `authorization { users: [ { user: whatchanged, password: $TEST_BUS_PASSWORD } ] }`)
		cfg := remoteConfig(server)
		cfg.User, cfg.PasswordFile = "whatchanged", file("first")
		b := bustest.Connect(t, cfg)
		server.Kill()
		t.Setenv("TEST_BUS_PASSWORD", "second")
		server.Start()
		eventually(t, "the connection is gone", func() bool { return b.Healthy() != nil })
		if err := os.WriteFile(cfg.PasswordFile, []byte("second"), 0o600); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is back with the new password", func() bool { return b.Healthy() == nil })
	})
}

// Each fault of the settings is named.
func TestConfig_SaysWhatDoesNotFit(t *testing.T) {
	for name, cfg := range map[string]bus.Config{
		"two ways":          {URL: "nats://a", NkeyFile: "a", TokenFile: "b"},
		"no password":       {URL: "nats://a", User: "a"},
		"two passwords":     {URL: "nats://a", User: "a", Password: "a", PasswordFile: "b"},
		"nobody's password": {URL: "nats://a", PasswordFile: "b"},
		"placed inside":     {Dir: "a", PlacementTags: []string{"zone:a"}},
	} {
		if cfg.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
