package gitea

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
	rows := forge.Rows(events)
	for i := range rows {
		rows[i] = rows[i][1:]
	}
	normtest.Document(t, "../../docs/providers/gitea.md", "events", normtest.Table([]string{"event", "becomes", "and says, or why not"}, rows))
}
