package api_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
	"whatchanged/services/api"
)

// story logs four changes that differ in every fact.
func (s *system) story() {
	s.t.Helper()
	at := func(day int) *change.Time {
		when := change.At(time.Date(2026, 3, day, 12, 0, 0, 0, time.UTC))
		return &when
	}
	s.logAll(
		client.NewChange{
			Summary: "deploy", Type: "deployment", Action: "deployment.succeeded", Status: "succeeded", OccurredAt: at(1), Risk: "low",
			Actor: &change.Actor{ID: "u-1", Name: "Mona", Type: "user"}, Resource: &change.Resource{Type: "service", ID: "api-gateway", Name: "gw"},
			SessionID: "ses-1", CorrelationID: "op-1", ExternalID: "job-7", Branch: "main", Version: "v2.1.0", CommitSHA: "abc1234def5678",
		},
		client.NewChange{
			Summary: "undo", Type: "rollback", Action: "deployment.rolled_back", Status: "failed", OccurredAt: at(2), Risk: "critical",
			Actor: &change.Actor{ID: "u-2", Name: "u-1"}, Account: "1234", Region: "eu-west-1", CorrelationID: "op-1", Branch: "next",
		},
		client.NewChange{
			Summary: "tune", Type: "config_change", Action: "config.changed", OccurredAt: at(3), Risk: "high", Environment: "staging",
			SessionID: "ses-1", Account: "1234", Region: "us-east-1", Version: "v2.1.1",
		},
		client.NewChange{Summary: "scale", Type: "scaling", Action: "deployments", OccurredAt: at(4), Risk: "medium", Status: "started", CommitSHA: "abc1999"},
	)
}

// summaries lists the first words of an answer's changes.
func (a answer) summaries(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, c := range a.json(t)["data"].([]any) {
		out = append(out, c.(map[string]any)["summary"].(string))
	}
	return out
}

// S0-34, S4-3: every fact of a change can be asked for, some for several
// values at once, by those who have nothing but HTTP.
func TestFind_ByEveryFact(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.story()
	f := func(query string, want ...string) {
		t.Helper()
		got := s.call("GET", "/api/v1/changes?sort=asc&"+query, "")
		if got.Status != http.StatusOK {
			t.Errorf("%s: %d %s", query, got.Status, got.Body)
			return
		}
		if diff := cmp.Diff(want, got.summaries(t)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	f("change_type=deployment,rollback", "deploy", "undo")
	f("change_type=deployment%2Crollback&status=failed,cancelled", "undo")
	f("risk_level=high,critical", "undo", "tune")
	f("status=started", "scale")
	f("action=config.changed", "tune")
	f("action=deployment.*", "deploy", "undo")
	f("action=*ed", "deploy", "tune")
	f("action=deployment")
	f("action=deployment_*")
	f("actor_id=u-1", "deploy")
	f("actor=u-1", "deploy", "undo")
	f("resource_id=api-gateway", "deploy")
	f("resource_id=gw", "deploy")
	f("session_id=ses-1", "deploy", "tune")
	f("correlation_id=op-1", "deploy", "undo")
	f("external_id=job-7", "deploy")
	f("account=1234", "undo", "tune")
	f("account=1234&region=eu-west-1", "undo")
	f("provider=api", "deploy", "undo", "tune", "scale")
	f("provider=github")
	f("branch=main", "deploy")
	f("version=v2.1.0", "deploy")
	f("commit_sha=abc1234def5678", "deploy")
	f("commit_sha=abc1", "deploy", "scale")
	f("session_id=ses-1&environment=staging&change_type=config_change", "tune")
	f("start_date=2026-03-02&end_date=2026-03-04", "undo", "tune") // S0-34

	page, err := s.admin.Changes(t.Context(), client.ChangeFilter{
		Type: "deployment,config_change", Action: "*.*", SessionID: "ses-1", Account: "1234", Region: "us-east-1", Version: "v2.1.1", Provider: "api",
	})
	if err != nil || len(page.Data) != 1 || page.Data[0].Summary != "tune" {
		t.Errorf("the client: %+v %v", page, err)
	}
	page, err = s.admin.Changes(t.Context(), client.ChangeFilter{
		ActorID: "u-1", ResourceID: "gw", Branch: "main", CommitSHA: "abc1234", CorrelationID: "op-1", ExternalID: "job-7",
	})
	if err != nil || len(page.Data) != 1 || page.Data[0].Summary != "deploy" {
		t.Errorf("the client: %+v %v", page, err)
	}
}

// S1-36, S1-37, S1-40: the default limit is 25, limits outside 1 to 100 are
// refused, and total and has_more are exact at every edge.
func TestFind_MetaIsExactAtEveryEdge(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := s.store.Fill(t.Context(), store.FillConfig{Rows: 101, Orgs: []string{orgName}, Until: time.Now(), Span: 50 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	f := func(query string, rows, limit, offset int, more bool) {
		t.Helper()
		got := s.call("GET", "/api/v1/changes?"+query, "").json(t)
		meta := got["meta"].(map[string]any)
		delete(meta, "next_cursor")
		want := map[string]any{"total": 101.0, "limit": float64(limit), "offset": float64(offset), "has_more": more}
		if diff := cmp.Diff(want, meta); diff != "" || len(got["data"].([]any)) != rows {
			t.Errorf("%s: %d rows, want %d; meta (-want +got):\n%s", query, len(got["data"].([]any)), rows, diff)
		}
	}
	f("", 25, 25, 0, true)
	f("limit=1", 1, 1, 0, true)
	f("limit=100", 100, 100, 0, true)
	f("limit=100&offset=1", 100, 100, 1, false)
	f("limit=100&offset=2", 99, 100, 2, false)
	f("limit=1&offset=99", 1, 1, 99, true)
	f("limit=1&offset=100", 1, 1, 100, false)
	f("offset=101", 0, 25, 101, false)
	f("offset=10000", 0, 25, 10000, false)
	for _, limit := range []string{"0", "101", "-1", "ten", "1.5", "1e2", "99999999999999999999", "0x10"} {
		got := s.call("GET", "/api/v1/changes?limit="+limit, "")
		if got.Status != http.StatusBadRequest || got.json(t)["field"] != "limit" {
			t.Errorf("limit=%s: %d %s", limit, got.Status, got.Body)
		}
	}
}

// The first page fixes what was known then, and its cursor carries that: while
// changes are logged between, before and after those of the list, each that was
// there comes once.
func TestFind_PagesNeitherRepeatNorSkipWhileChangesAreLogged(t *testing.T) {
	t.Parallel()
	for _, sort := range []string{"desc", "asc"} {
		t.Run(sort, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			base := time.Now().Add(-time.Hour)
			var want []string
			var before []client.NewChange
			for i := range 12 {
				at := change.At(base.Add(time.Duration(i/2) * time.Minute)) // two at a time
				before = append(before, client.NewChange{Summary: fmt.Sprintf("before %02d", i), OccurredAt: &at})
				want = append(want, before[i].Summary)
			}
			s.logAll(before...)
			var got []string
			cursor := ""
			for n := 0; ; n++ {
				page := s.call("GET", "/api/v1/changes?limit=5&sort="+sort+"&cursor="+cursor, "")
				if page.Status != http.StatusOK {
					t.Fatalf("page %d: %s", n, page.Body)
				}
				got = append(got, page.summaries(t)...)
				meta := page.json(t)["meta"].(map[string]any)
				if meta["total"] != 12.0 || meta["has_more"] != (len(got) < 12) {
					t.Errorf("page %d: %v", n, meta)
				}
				if meta["has_more"] == false {
					break
				}
				cursor = meta["next_cursor"].(string)
				for i := range 6 {
					at := change.At(base.Add(time.Duration(i)*time.Minute + time.Duration(n)*time.Millisecond))
					s.log(s.admin, client.NewChange{Summary: fmt.Sprintf("during %d %d", n, i), OccurredAt: &at})
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// as_of shows what was known at a time, and so does every page after it.
func TestFind_AsOfShowsWhatWasKnownThen(t *testing.T) {
	t.Parallel()
	s := start(t)
	long := change.At(time.Now().Add(-24 * time.Hour))
	first := s.log(s.admin, client.NewChange{Summary: "first", OccurredAt: &long})
	eventually(t, func() error { // the next is recorded at a later millisecond
		if !time.Now().After(first.CreatedAt.Add(2 * time.Millisecond)) {
			return errors.New("the clock stands still")
		}
		return nil
	})
	s.log(s.admin, client.NewChange{Summary: "second", OccurredAt: &long})
	third := s.log(s.admin, client.NewChange{Summary: "third", OccurredAt: &long})
	f := func(asOf change.Time, want ...string) {
		t.Helper()
		got := s.call("GET", "/api/v1/changes?as_of="+url.QueryEscape(asOf.String()), "").summaries(t)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("as of %s (-want +got):\n%s", asOf, diff)
		}
	}
	f(change.At(first.CreatedAt.Add(-time.Millisecond)))
	f(first.CreatedAt, "first")
	f(third.CreatedAt, "first", "second", "third")
	// The cursor of a list as it was goes on with the list as it was.
	page := s.call("GET", "/api/v1/changes?limit=1&as_of="+url.QueryEscape(third.CreatedAt.String()), "").json(t)
	s.log(s.admin, client.NewChange{Summary: "late", OccurredAt: &long})
	rest := s.call("GET", "/api/v1/changes?limit=5&cursor="+page["meta"].(map[string]any)["next_cursor"].(string), "")
	if total := rest.json(t)["meta"].(map[string]any)["total"]; total != 3.0 || strings.Contains(rest.Body, "late") {
		t.Errorf("the second page: %s", rest.Body)
	}
}

// S1-39: a list shows of each change what was asked for, in the usual form.
func TestFind_SelectsFields(t *testing.T) {
	t.Parallel()
	s := start(t)
	if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: "svc_a", Name: "API"}); err != nil {
		t.Fatal(err)
	}
	logged := s.log(s.admin, client.NewChange{Summary: "x", ServiceID: "svc_a", Actor: &change.Actor{ID: "u-1", Type: "bot"}, Tags: []string{"red"}})
	f := func(fields string, want map[string]any) {
		t.Helper()
		for _, path := range []string{"/api/v1/changes", "/api/v1/services/svc_a/changes"} {
			got := s.call("GET", path+"?fields="+fields, "")
			if got.Status != http.StatusOK {
				t.Fatalf("%s: %d %s", fields, got.Status, got.Body)
			}
			if diff := cmp.Diff([]any{want}, got.json(t)["data"]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", fields, diff)
			}
		}
	}
	f("id", map[string]any{"id": logged.ID.String()})
	f("summary,id,service_name", map[string]any{"id": logged.ID.String(), "summary": "x", "service_name": "API"})
	f("actor,tags,metadata", map[string]any{"actor": map[string]any{"id": "u-1", "type": "bot"}, "tags": []any{"red"}}) // what is empty is left out
	got := s.call("GET", "/api/v1/changes?fields=id,color", "")
	if p := got.json(t); got.Status != http.StatusBadRequest || p["field"] != "fields" || !strings.Contains(p["detail"].(string), `"color"; there are id, service_id`) {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	page, err := s.admin.Changes(t.Context(), client.ChangeFilter{Fields: []string{"summary"}})
	if err != nil || page.Data[0].Summary != "x" || page.Data[0].ServiceID != "" {
		t.Errorf("the client: %+v %v", page, err)
	}
}

// S0-34, S4-3: an export gives other tools what the list gives, whole, as lines
// of JSON or as a table.
func TestFind_ExportsWhatTheListShows(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.story()
	s.log(s.admin, client.NewChange{Summary: "=1+1", Environment: "a,b\n\"c\"", Tags: []string{"x", "y"}, Metadata: map[string]any{"old": 1}})

	var listed []any
	list := s.call("GET", "/api/v1/changes?sort=asc&limit=100&change_type=deployment,rollback", "").json(t)["data"].([]any)
	exported := s.call("GET", "/api/v1/changes/export?change_type=deployment,rollback", "")
	if got := exported.Header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("content type %q", got)
	}
	if got := exported.Header.Get("Content-Disposition"); got != `attachment; filename="changes.ndjson"` {
		t.Errorf("content disposition %q", got)
	}
	for line := range strings.Lines(exported.Body) {
		var c any
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		listed = append(listed, c)
	}
	if diff := cmp.Diff(list, listed); diff != "" || len(list) != 3 {
		t.Errorf("lines (-listed +exported):\n%s", diff)
	}

	table := s.call("GET", "/api/v1/changes/export?format=csv&fields=environment,summary,actor,tags,metadata&start_date=2026-03-02", "")
	if got := table.Header.Get("Content-Type"); got != "text/csv; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	rows, err := csv.NewReader(strings.NewReader(table.Body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"summary", "environment", "actor_id", "actor_name", "actor_type", "tags", "metadata"},
		{"undo", "production", "u-2", "u-1", "user", "", ""},
		{"tune", "staging", "", "", "", "", ""},
		{"scale", "production", "", "", "", "", ""},
		{"'=1+1", "a,b\n\"c\"", "", "", "", "x;y", `{"old":1}`},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}

	var file bytes.Buffer
	if err := s.admin.Export(t.Context(), client.ChangeFilter{Type: "scaling", Limit: 1, Fields: []string{"summary"}}, client.CSV, &file); err != nil {
		t.Fatal(err)
	}
	if got := file.String(); got != "summary\nscale\n" {
		t.Errorf("the client: %q", got)
	}
	err = s.admin.Export(t.Context(), client.ChangeFilter{Fields: []string{"colour"}}, client.CSV, &file)
	if p := problemOf(err); p.Status != http.StatusBadRequest || p.Field != "fields" {
		t.Errorf("the client: %v", err)
	}
	if got := s.call("GET", "/api/v1/changes/export?source=nobody", ""); got.Status != http.StatusOK || got.Body != "" {
		t.Errorf("nothing matches: %d %q", got.Status, got.Body)
	}
	if got := s.call("HEAD", "/api/v1/changes/export?format=csv", ""); got.Status != http.StatusOK || got.Header.Get("Content-Disposition") == "" {
		t.Errorf("HEAD: %d %v", got.Status, got.Header)
	}
	for query, field := range map[string]string{"format=xml": "format", "limit=5": "limit", "sort=asc": "sort", "q=!!": "q", "end_date=x": "end_date"} {
		if got := s.call("GET", "/api/v1/changes/export?"+query, ""); got.Status != http.StatusBadRequest || got.json(t)["field"] != field {
			t.Errorf("%s: %d %s", query, got.Status, got.Body)
		}
	}
}

// An export is as long as there are changes, longer than a request may take,
// and compressed for who accepts it; the server's memory does not grow with it.
func TestFind_ExportsAnySizeWithFlatMemory(t *testing.T) {
	t.Parallel()
	const rows = 200_000
	s := start(t)
	if err := s.store.Fill(t.Context(), store.FillConfig{Rows: rows, Orgs: []string{orgName}, Until: time.Now(), Span: 60 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/v1/changes/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if !res.Uncompressed { // the client asks for gzip, and unpacks it
		t.Errorf("not compressed: %v", res.Header)
	}
	count := &lineCounter{}
	if _, err := io.Copy(count, res.Body); err != nil {
		t.Fatal(err)
	}
	if count.lines != rows {
		t.Errorf("%d lines, want %d", count.lines, rows)
	}
	if count.bytes < 100<<20 { // all of it at once would have shown
		t.Errorf("only %d MiB, too little to tell", count.bytes>>20)
	}
	if count.heap > 96<<20 {
		t.Errorf("the heap grew to %d MiB over an export of %d MiB", count.heap>>20, count.bytes>>20)
	}
}

// lineCounter counts lines, and looks at the heap now and then.
type lineCounter struct {
	lines, bytes, looked int
	heap                 uint64
}

func (l *lineCounter) Write(b []byte) (int, error) {
	l.lines += bytes.Count(b, []byte("\n"))
	l.bytes += len(b)
	if l.bytes-l.looked > 16<<20 {
		l.looked = l.bytes
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		l.heap = max(l.heap, m.HeapAlloc)
	}
	return len(b), nil
}

// A key has so many exports and no more; one that its reader leaves makes room.
func TestFind_ExportsHaveACapPerKey(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *api.Deps, cfg *api.Config) { cfg.MaxKeyExports = 1 })
	if err := s.store.Fill(t.Context(), store.FillConfig{Rows: 100_000, Orgs: []string{orgName}, Until: time.Now(), Span: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/v1/changes/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Accept-Encoding", "identity")
	running, err := s.Client().Do(r) // its headers come with its first rows; nobody reads on
	if err != nil {
		t.Fatal(err)
	}
	got := s.call("GET", "/api/v1/changes/export?source=nobody", "")
	if got.Status != http.StatusTooManyRequests || got.json(t)["reason"] != "too_many_exports" || got.Header.Get("Retry-After") == "" {
		t.Errorf("the second: %d %s", got.Status, got.Body)
	}
	running.Body.Close()
	eventually(t, func() error {
		if got := s.call("GET", "/api/v1/changes/export?source=nobody", ""); got.Status != http.StatusOK {
			return fmt.Errorf("%d %s", got.Status, got.Body)
		}
		return nil
	})
}

// A question that asks for too much is told so, and what to narrow; one that
// asks for less is answered.
func TestFind_QueriesHaveLimits(t *testing.T) {
	t.Parallel()
	s := start(t, func(deps *api.Deps, _ *api.Config) {
		deps.Store = storetest.New(t, func(c *store.Config) { c.QueryRows = 5000 })
		if err := deps.Store.Fill(t.Context(), store.FillConfig{Rows: 50_000, Orgs: []string{orgName}, Until: time.Now(), Span: 300 * 24 * time.Hour}); err != nil {
			t.Fatal(err)
		}
	})
	for _, path := range []string{"/api/v1/changes?environment=nowhere", "/api/v1/stats?start_date=2020-01-01"} {
		got := s.call("GET", path, "")
		if p := got.json(t); got.Status != http.StatusBadRequest || p["reason"] != "query_too_large" || !strings.Contains(p["detail"].(string), "narrow the time range") {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
	yesterday := url.QueryEscape(time.Now().Add(-24 * time.Hour).Format(time.RFC3339))
	for _, path := range []string{"/api/v1/changes?start_date=" + yesterday, "/api/v1/stats?start_date=" + yesterday} {
		if got := s.call("GET", path, ""); got.Status != http.StatusOK {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
}
