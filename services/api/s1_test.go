package api_test

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

// The examples as the document prints them; only host and key are replaced.
const (
	printedPost = `curl -X POST "https://app.alert24.net/api/v1/services/svc_abc123/changes" \
-H "Authorization: Bearer ak_live_xxxxx" \
-H "Content-Type: application/json" \
-d '{
"summary": "Deploy v2.1.0 to production",
"change_type": "deployment",
"description": "Release includes new billing module and bug fixes",
"commit_sha": "abc1234def5678",
"branch": "main",
"environment": "production",
"risk_level": "medium",
"changed_by": "jane.doe",
"tags": ["billing", "release"]
}'`
	printedGet = `curl "https://app.alert24.net/api/v1/changes?change_type=deployment&environment=production&limit=10" \
-H "Authorization: Bearer ak_live_xxxxx"`
)

func (s *system) printed(command string) answer {
	s.t.Helper()
	command = strings.NewReplacer("https://app.alert24.net", s.URL, "ak_live_xxxxx", adminKey).Replace(command)
	return s.send(curl(s.t, command, nil))
}

// S1-5, S1-25, S1-26, S1-27, S1-28, S1-29, S1-38, S1-39, S1-40: the printed examples run as
// printed, and answer with what is printed.
func TestS1_PrintedExamplesRunAsPrinted(t *testing.T) {
	t.Parallel()
	s := start(t)
	// Decision 4: the id of the example can be asked for.
	if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: "svc_abc123", Name: "API Gateway"}); err != nil {
		t.Fatal(err)
	}

	got := s.printed(printedPost)
	if got.Status != http.StatusCreated {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	logged := got.json(t)["data"].(map[string]any)
	want := map[string]any{ // S1-27, S1-28
		"service_id": "svc_abc123", "service_name": "API Gateway", "change_type": "deployment",
		"summary": "Deploy v2.1.0 to production", "description": "Release includes new billing module and bug fixes",
		"source": "api", "commit_sha": "abc1234def5678", "branch": "main", "environment": "production",
		"risk_level": "medium", "changed_by": "jane.doe", "tags": []any{"billing", "release"},
	}
	if diff := cmp.Diff(want, pick(logged, want)); diff != "" {
		t.Errorf("printed response (-want +got):\n%s", diff)
	}
	id, _ := logged["id"].(string)
	if !regexp.MustCompile(`^chg_[0-9a-z]{26}$`).MatchString(id) { // S1-26
		t.Errorf("id %q", id)
	}
	at, _ := logged["created_at"].(string)
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(at) { // S1-29
		t.Errorf("created_at %q", at)
	}

	eventually(t, func() error {
		_, err := s.admin.Change(t.Context(), mustID(t, id))
		return err
	})
	list := s.printed(printedGet)
	if list.Status != http.StatusOK {
		t.Fatalf("%d %s", list.Status, list.Body)
	}
	wantMeta := map[string]any{"total": 1.0, "limit": 10.0, "offset": 0.0, "has_more": false} // S1-40
	if diff := cmp.Diff(wantMeta, list.json(t)["meta"]); diff != "" {
		t.Errorf("meta (-want +got):\n%s", diff)
	}
	data := list.json(t)["data"].([]any) // S1-39
	if diff := cmp.Diff([]any{logged}, data); diff != "" {
		t.Errorf("the list shows another change than was logged (-logged +listed):\n%s", diff)
	}
}

// S1-1, S1-3, S1-9, S1-11, S1-13, S1-20, S1-21: a summary is enough, and the rest has
// the printed defaults.
func TestS1_DefaultsOfASummaryAlone(t *testing.T) {
	t.Parallel()
	s := start(t)
	logged := s.log(s.admin, client.NewChange{Summary: "Raise pool size"})
	want := change.Change{
		Type: change.Deployment, Summary: "Raise pool size", Source: "api", Environment: "production", Risk: change.Low,
	}
	got := change.Change{
		Type: logged.Type, Summary: logged.Summary, Source: logged.Source, Environment: logged.Environment, Risk: logged.Risk,
		ServiceID: logged.ServiceID,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if since := time.Since(logged.OccurredAt.Time); since < 0 || since > time.Minute {
		t.Errorf("occurred_at %s is not now", logged.OccurredAt)
	}
}

// S1-10, S1-12, S1-14, S1-15, S1-16, S1-17, S1-18, S1-19, S1-22, S1-23, S1-24:
// every printed field is taken, kept, and given back by all three ways to read
// a change.
func TestS1_EveryFieldComesBack(t *testing.T) {
	t.Parallel()
	s := start(t)
	if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: "svc_db", Name: "Database"}); err != nil {
		t.Fatal(err)
	}
	sent := map[string]any{
		"summary": "Move users to the new cluster", "service_id": "svc_db", "change_type": "database_migration",
		"description": "Step 2 of 3\nwith care", "source": "jenkins", "commit_sha": "abc1234", "commit_message": "Move users\n\nCloses 12",
		"branch": "release/2", "pr_number": "412", "pr_url": "https://git.example.com/acme/db/pull/412",
		"pipeline_url": "https://ci.example.com/7", "environment": "staging", "risk_level": "critical",
		"changed_by": "mona@example.com", "external_id": "JOB-7", "tags": []any{"users", "k:v"},
	}
	got := s.call("POST", "/api/v1/changes?wait=10s", jsonOf(t, sent))
	if got.Status != http.StatusCreated || got.Header.Get("X-Whatchanged-Visible") != "true" {
		t.Fatalf("%d %s %s", got.Status, got.Header, got.Body)
	}
	want := map[string]any{"service_name": "Database"}
	maps.Copy(want, sent)
	logged := got.json(t)["data"].(map[string]any)
	if diff := cmp.Diff(want, pick(logged, want)); diff != "" {
		t.Errorf("POST /changes (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/api/v1/changes/" + logged["id"].(string), "/api/v1/changes", "/api/v1/services/svc_db/changes"} {
		read := s.call("GET", path, "").json(t)["data"]
		if list, ok := read.([]any); ok {
			read = list[0]
		}
		if diff := cmp.Diff(logged, read); diff != "" {
			t.Errorf("GET %s (-logged +read):\n%s", path, diff)
		}
	}
	// Null is the same as no value.
	if got := s.call("POST", "/api/v1/changes", `{"summary": "x", "description": null, "risk_level": null, "tags": null, "pr_number": null}`); got.Status != http.StatusCreated {
		t.Errorf("null: %d %s", got.Status, got.Body)
	}
	// S1-17: a string, and a number is accepted (decision 1).
	if got := s.call("POST", "/api/v1/changes", `{"summary": "x", "pr_number": 7}`); got.json(t)["data"].(map[string]any)["pr_number"] != "7" {
		t.Errorf("pr_number 7: %s", got.Body)
	}
}

// S1-11: each of the printed types is taken; those of other endpoints are not.
func TestS1_TypesOfChange(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, typ := range change.Types() {
		want := http.StatusCreated
		if slices.Contains([]change.Type{change.Maintenance, change.AccessChange, change.SecretRotation, change.Incident}, typ) {
			want = http.StatusBadRequest
		}
		if got := s.call("POST", "/api/v1/changes", `{"summary": "x", "change_type": "`+string(typ)+`"}`); got.Status != want {
			t.Errorf("%s: %d, want %d: %s", typ, got.Status, want, got.Body)
		}
	}
}

// S1-4, S1-6, S1-30, S1-31, S1-32, S1-33, S1-34, S1-35, S1-36, S1-37: each filter and the paging, alone and together.
func TestS1_Filters(t *testing.T) {
	t.Parallel()
	s := start(t)
	if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: "svc_a", Name: "A"}); err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(days int) *change.Time {
		when := change.At(day.AddDate(0, 0, days))
		return &when
	}
	s.logAll([]client.NewChange{
		{Summary: "one, of the API gateway", ServiceID: "svc_a", Type: "deployment", Source: "jenkins", OccurredAt: at(1), Repository: "acme/gw", Tags: []string{"red"}},
		{Summary: "two", Type: "config_change", Source: "jenkins", Environment: "staging", OccurredAt: at(2), ChangedBy: "mona", Risk: "high"},
		{Summary: "three", ServiceID: "svc_a", Type: "config_change", OccurredAt: at(3), Status: "failed"},
		{Summary: "four", Type: "deployment", Environment: "staging", OccurredAt: at(4), Actor: &change.Actor{ID: "u-1", Name: "Lisa", Type: "user"}},
	}...)
	f := func(query string, want ...string) {
		t.Helper()
		got := s.call("GET", "/api/v1/changes?"+query, "")
		if got.Status != http.StatusOK {
			t.Errorf("%s: %d %s", query, got.Status, got.Body)
			return
		}
		var summaries []string
		for _, c := range got.json(t)["data"].([]any) {
			word, _, _ := strings.Cut(c.(map[string]any)["summary"].(string), ",")
			summaries = append(summaries, word)
		}
		if diff := cmp.Diff(want, summaries); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
		if total := got.json(t)["meta"].(map[string]any)["total"]; !strings.Contains(query, "limit") && total != float64(len(want)) {
			t.Errorf("%s: total %v, want %d", query, total, len(want))
		}
	}
	f("", "four", "three", "two", "one")
	f("service_id=svc_a", "three", "one")
	f("service_id=svc_unknown")
	f("change_type=config_change", "three", "two")
	f("change_type=incident") // decision 4: filters take the union of types
	f("source=jenkins", "two", "one")
	f("environment=staging", "four", "two")
	f("start_date=2026-03-03T12:00:00Z", "four", "three", "two")
	f("start_date=2026-03-03T12:00:00.001Z", "four", "three")
	f("end_date=2026-03-03T12:00:00Z", "one") // half-open
	f("start_date=2026-03-03&end_date=2026-03-04", "two")
	f("start_date=2026-03-03T14:00:00%2B02:00", "four", "three", "two")
	f("start_date=2026-03-03T14:00:00+02:00", "four", "three", "two") // a plus nobody escaped
	f("limit=1", "four")
	f("limit=2&offset=1", "three", "two")
	f("offset=4&limit=100")
	f("q=gateway+API", "one")
	f("actor=mona", "two")
	f("actor=Lisa", "four")
	f("actor=u-1", "four")
	f("repository=acme/gw", "one")
	f("risk_level=high", "two")
	f("status=failed", "three")
	f("tag=red", "one")
	f("sort=asc", "one", "two", "three", "four")
	f("source=jenkins&environment=staging&change_type=config_change", "two")
	f("as_of=2026-01-01")

	services := s.call("GET", "/api/v1/services/svc_a/changes?change_type=deployment", "").json(t)
	if n := len(services["data"].([]any)); n != 1 {
		t.Errorf("deployments of svc_a: %d, want 1", n)
	}
}

// S1-37, S1-40: pages, by offset and by cursor, give each change once, and say
// exactly whether there are more.
func TestS1_PagesGiveEachChangeOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	var want []string
	var changes []client.NewChange
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		at := change.At(time.Now().Add(time.Duration(i/2) * time.Second))
		changes = append(changes, client.NewChange{Summary: name, OccurredAt: &at})
		want = append(want, name)
	}
	s.logAll(changes...)
	for _, next := range []func(*client.ChangeFilter, client.Meta){
		func(f *client.ChangeFilter, m client.Meta) { f.Offset = m.Offset + m.Limit },
		func(f *client.ChangeFilter, m client.Meta) { f.Cursor = m.NextCursor },
	} {
		var got []string
		f := client.ChangeFilter{Limit: 2}
		for {
			page, err := s.admin.Changes(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page.Data {
				got = append(got, c.Summary)
			}
			if page.Meta.Total != 5 || page.Meta.HasMore != (len(got) < 5) {
				t.Errorf("meta %+v after %d of 5", page.Meta, len(got))
			}
			if !page.Meta.HasMore {
				break
			}
			next(&f, page.Meta)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pages (-want +got):\n%s", diff)
		}
	}
	var got []string
	for c, err := range s.admin.AllChanges(t.Context(), client.ChangeFilter{Limit: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c.Summary)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("AllChanges (-want +got):\n%s", diff)
	}
}

// pick returns the entries of m that want has.
func pick(m, want map[string]any) map[string]any {
	out := map[string]any{}
	for k := range want {
		if v, ok := m[k]; ok {
			out[k] = v
		}
	}
	return out
}

func mustID(t *testing.T, text string) change.ID {
	t.Helper()
	id, err := change.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
