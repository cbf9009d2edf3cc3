package bitbucket

import (
	"testing"

	"whatchanged/normalizers/forge"
	"whatchanged/normalizers/normtest"
)

func TestEvents_SayWhatBecomesOfEach(t *testing.T) {
	seen := make(map[string]bool)
	for _, e := range events {
		if taken := e.Ignored == ""; taken != (e.Fill != nil) || taken != (e.Says != "") || taken != (e.Becomes != "") {
			t.Errorf("%s is ignored because %q, and says %q as %q", e.Kind, e.Ignored, e.Says, e.Becomes)
		}
		if seen[e.Kind] {
			t.Errorf("%s is there twice", e.Kind)
		}
		seen[e.Kind] = true
	}
}

func TestDocument_ShowsTheTable(t *testing.T) {
	normtest.Document(t, "../../docs/providers/bitbucket.md", "events",
		normtest.Table([]string{"Bitbucket", "`X-Event-Key`", "becomes", "and says, or why not"}, forge.Rows(events)))
}
