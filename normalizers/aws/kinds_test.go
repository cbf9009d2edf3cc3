package aws

import (
	"strings"
	"testing"

	"whatchanged/normalizers/aws/phrase"
)

func TestEventKinds_EveryRowIsReachedAndCanBeSaid(t *testing.T) {
	kinds := newTable(eventKinds)
	for i := range eventKinds {
		row := &eventKinds[i]
		detailType := strings.ReplaceAll(row.detailType, "*", "Quux")
		got, ok := kinds.find(detailType)
		if !ok || got.detailType != row.detailType {
			t.Errorf("%q is hidden by %q", row.detailType, got.detailType)
		}
		if row.ignore != "" {
			continue
		}
		if row.typ == "" {
			t.Errorf("%q has no type", row.detailType)
		}
		said, ok := phrase.Fill(row.say, func(string) string { return "x" })
		if !ok || said == "" || strings.ContainsAny(said, "{}[]") {
			t.Errorf("%q is said as %q", row.detailType, said)
		}
	}
}

func TestStatusOf(t *testing.T) {
	f := func(state, want string) {
		t.Helper()
		if got := statusOf(state); string(got) != want {
			t.Errorf("statusOf(%q) = %q, want %q", state, got, want)
		}
	}
	f("SUCCEEDED", "succeeded")
	f("InProgress", "started")
	f("UPDATE_ROLLBACK_COMPLETE", "succeeded")
	f("CREATE_FAILED", "failed")
	f("DELETE_IN_PROGRESS", "started")
	f("SUPERSEDED", "cancelled")
	f("DeploymentCompletedSuccessfully", "succeeded")
	f("odd", "")
	f("", "")
}
