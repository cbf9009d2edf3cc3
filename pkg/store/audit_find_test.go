package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

func auditEvent(at time.Time, action audit.Action, id, name string) audit.Event {
	aud := change.NewAuditID(at)
	return audit.Event{
		ID: aud, Version: 2, Org: "acme", At: change.At(at), Action: action, Area: "service", Operation: string(action), TargetID: id,
		User:   audit.User{ID: "usr_1", Name: "Jane", Email: "Jane@Example.com", KeyID: "key_1"},
		Object: audit.Object{Kind: "service", ID: id, Name: name}, ServiceID: id, Description: name, Outcome: audit.Done,
	}
}

func TestFindEvents_PagesNeitherRepeatNorSkip(t *testing.T) {
	s := storetest.New(t)
	var events []audit.Event
	want := map[string]bool{}
	for i := range 60 { // many in the same millisecond
		e := auditEvent(time.Now().Add(-time.Duration(i/10)*time.Hour), audit.Create, fmt.Sprint("svc_", i), "x")
		events = append(events, e)
		want[e.ID.String()] = true
	}
	if err := s.InsertAuditEvents(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	cursor, pages := "", 0
	for ; pages == 0 || cursor != ""; pages++ {
		page, err := s.FindEvents(t.Context(), store.EventQuery{Org: "acme", Limit: 7, Cursor: cursor, Total: true})
		if err != nil || page.Total != 60 {
			t.Fatalf("total %d, %v", page.Total, err)
		}
		for _, e := range page.Data {
			if got[e.ID.String()] {
				t.Errorf("%s comes twice", e.ID)
			}
			got[e.ID.String()] = true
		}
		cursor = page.NextCursor
	}
	if diff := cmp.Diff(want, got); diff != "" || pages != 9 {
		t.Errorf("%d pages (-want +got):\n%s", pages, diff)
	}
}

// Decision 10: names are those of now, for objects of the same id but another kind too.
func TestFindEvents_NamesAreThoseOfNow(t *testing.T) {
	s := storetest.New(t)
	now := time.Now().Add(-time.Minute)
	file := auditEvent(now.Add(4*time.Second), audit.Info, "svc_1", "file")
	file.Object.Kind = "version_file"
	dangling := auditEvent(now.Add(5*time.Second), audit.Delete, "svc_1", "new")
	dangling.Outcome = audit.Unknown
	fresh := auditEvent(time.Now(), audit.Delete, "svc_1", "new")
	fresh.Outcome = audit.Unknown // it is being done: not shown yet
	other := auditEvent(now, audit.Delete, "svc_1", "other org's")
	other.Org = "other"
	err := s.InsertAuditEvents(t.Context(), []audit.Event{
		auditEvent(now, audit.Create, "svc_1", "old"), auditEvent(now.Add(time.Second), audit.Update, "svc_1", "new"),
		auditEvent(now.Add(2*time.Second), audit.Create, "svc_2", "gone"), auditEvent(now.Add(3*time.Second), audit.Delete, "svc_2", "gone"),
		file, dangling, fresh, other,
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := s.FindEvents(t.Context(), store.EventQuery{Org: "acme", Sort: store.Asc})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range page.Data {
		got = append(got, fmt.Sprintf("%s %s %s %q", e.Action, e.Description, e.Outcome, e.Object.Name))
	}
	want := []string{
		`create old done "new"`, `update new done "new"`, `create gone done ""`, `delete gone done ""`,
		`info file done "file"`, `delete new unknown "new"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, user := range []string{"usr_1", "Jane", "jane@example.com"} {
		page, err := s.FindEvents(t.Context(), store.EventQuery{Org: "acme", User: user, Total: true})
		if err != nil || page.Total != 6 {
			t.Errorf("events of %s: %d, %v", user, page.Total, err)
		}
	}
}

func TestAudit_ShowsNoOrgWhatBelongsToAnother(t *testing.T) {
	s := storetest.New(t)
	now := time.Now()
	if err := s.InsertAuditEvents(t.Context(), []audit.Event{auditEvent(now, audit.Create, "svc_1", "x")}); err != nil {
		t.Fatal(err)
	}
	use := audit.NewUse(auth.Principal{Org: "acme", KeyID: "key_1", Scopes: []string{auth.API}}, "GET", "/api/v1/x", now)
	if err := s.InsertUses(t.Context(), []audit.Use{use}); err != nil {
		t.Fatal(err)
	}
	for org, want := range map[string]int{"acme": 1, "other": 0, "ACME": 0, "%": 0} {
		q := store.RecordQuery{Org: org, Start: now.Add(-time.Hour), End: now.Add(time.Hour)}
		page, err := s.FindEvents(t.Context(), store.EventQuery{Org: org, Total: true})
		if err != nil || len(page.Data) != want || page.Total != int64(want) {
			t.Errorf("%s: events %d %d, %v", org, len(page.Data), page.Total, err)
		}
		if actions, err := s.Actions(t.Context(), q); err != nil || len(actions) != want {
			t.Errorf("%s: actions %v, %v", org, actions, err)
		}
		uses, err := s.Uses(t.Context(), q)
		if err != nil || len(uses) != want {
			t.Errorf("%s: uses %v, %v", org, uses, err)
		}
		if want == 1 {
			if diff := cmp.Diff(use, uses[0]); diff != "" {
				t.Errorf("the use as it is read (-want +got):\n%s", diff)
			}
		}
	}
}
