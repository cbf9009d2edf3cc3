package store

import (
	"testing"
	"time"

	"whatchanged/pkg/audit"
)

func TestAuditQueries_AreAsReviewed(t *testing.T) {
	q := EventQuery{Org: "acme", ObjectType: "service", ObjectID: "svc_1", Action: audit.Update, User: "jane", ServiceID: "svc_1", PipelineID: "pip_1"}
	w, err := q.where(time.UnixMilli(20_000))
	if err != nil {
		t.Fatal(err)
	}
	statement, _ := eventList.keysStatement(w, Desc, span{time.UnixMilli(1), time.UnixMilli(2)}, nil, 26, false)
	snapshot(t, "audit_events_keys", statement)
	snapshot(t, "audit_events_names", namesStatement)
	org, err := forOrg("acme")
	if err != nil {
		t.Fatal(err)
	}
	org.add("has(scopes, {scope:String})", "scope", "api")
	org.between(useList.at, time.UnixMilli(1), time.UnixMilli(2))
	snapshot(t, "token_uses_newest", useList.newestStatement(org))
}

func TestAuditQueries_AreNeverWithoutAnOrg(t *testing.T) {
	s := &Store{now: time.Now, metrics: newMetrics(noRegistry{})}
	day := RecordQuery{Start: time.UnixMilli(1), End: time.UnixMilli(2)}
	_, events := s.FindEvents(t.Context(), EventQuery{})
	_, actions := s.Actions(t.Context(), day)
	_, uses := s.Uses(t.Context(), day)
	for name, err := range map[string]error{"events": events, "actions": actions, "uses": uses} {
		if err == nil {
			t.Errorf("%s: no org, and no error", name)
		}
	}
}
