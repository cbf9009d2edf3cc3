package bus_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
)

// What operators copy is what the command prints.
func TestWriteAccounts_IsTheFileThatIsDeployed(t *testing.T) {
	var printed strings.Builder
	if err := bus.WriteAccounts(&printed, bus.AuthPassword, bus.Users()); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("../../deploy/nats/accounts.conf")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(file), printed.String()); diff != "" {
		t.Errorf("deploy/nats/accounts.conf (-file +printed); print it again:\n%s", diff)
	}
}

func TestWriteAccounts_HasNoSecrets(t *testing.T) {
	for _, auth := range []string{bus.AuthPassword, bus.AuthNkey} {
		var printed strings.Builder
		if err := bus.WriteAccounts(&printed, auth, append(bus.Users(), bus.UserServe)); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(printed.String()) {
			_, value, ok := strings.Cut(line, auth+": ")
			if ok && !strings.HasPrefix(value, "$NATS_") {
				t.Errorf("%q names no variable", line)
			}
		}
	}
}

// A user that a service cannot work as is named at once, with what it lacks and
// where that is to be had.
func TestConnect_NamesMissingRights(t *testing.T) {
	server := bustest.Server(t, `
authorization { users: [
  { user: bare, password: "s3cret", permissions { publish: ["$SYS.REQ.USER.INFO"], subscribe: ["_INBOX_receiver.>"] } }
  { user: mute, password: "s3cret", permissions { publish: ["deliveries.*"], subscribe: ["_INBOX_receiver.>"] } }
] }`)
	connect := func(user, as string) error {
		cfg := remoteConfig(server)
		cfg.User, cfg.Password = user, auth.Secret("s3cret")
		b, err := bus.Connect(t.Context(), cfg, bustest.Log(t), prometheus.NewRegistry(), bus.As(as))
		if err == nil {
			b.Close()
		}
		return err
	}
	err := connect("bare", bus.UserReceiver)
	for _, want := range []string{`"bare" may not publish`, "KV_REGISTRY", "whatchanged nats permissions"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	err = connect("bare", bus.UserWriter)
	if err == nil || !strings.Contains(err.Error(), "subscribe _INBOX_writer.") {
		t.Errorf("error %v", err)
	}
	// Who may not even ask learns it from what is refused.
	err = connect("mute", bus.UserReceiver)
	for _, want := range []string{"$SYS.REQ.USER.INFO", "whatchanged nats permissions"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// Without users and rights everything is allowed, as it always was.
func TestConnect_WorksWithServersThatHaveNoUsers(t *testing.T) {
	server := bustest.Server(t, "")
	b, err := bus.Connect(t.Context(), remoteConfig(server), bustest.Log(t), prometheus.NewRegistry(), bus.As(bus.UserReceiver))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if !b.MayWrite(bus.BucketRegistry) {
		t.Error("the receiver may not write the registry, though nobody forbids it")
	}
	if inbox := b.Conn().NewInbox(); !strings.HasPrefix(inbox, "_INBOX_receiver.") {
		t.Errorf("answers come to %s", inbox)
	}
}
