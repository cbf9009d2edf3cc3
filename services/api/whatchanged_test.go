package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/store"
)

// threeAM is when somebody is woken.
func threeAM() time.Time { return time.Now().UTC().Truncate(24 * time.Hour).Add(-21 * time.Hour) }

func (s *system) service(in client.NewService) client.Service {
	s.t.Helper()
	made, err := s.admin.CreateService(s.t.Context(), in)
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

func (s *system) whatChanged(q client.WhatChangedQuery) client.WhatChanged {
	s.t.Helper()
	got, err := s.admin.WhatChanged(s.t.Context(), q)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func names(suspects []client.Suspect) []string {
	out := []string{}
	for _, s := range suspects {
		out = append(out, s.Change.Summary)
	}
	return out
}

func at(t time.Time) *change.Time {
	c := change.At(t)
	return &c
}

// S0-2, S0-4, S4-2: at 3 AM the first question has one call, and the change to blame comes first.
func TestWhatChanged_NamesTheRightChangeFirst(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.service(client.NewService{ID: "svc_db", Name: "Orders DB"})
	s.service(client.NewService{ID: "svc_pay", Name: "Payments", Dependencies: []string{"svc_db"}})
	s.service(client.NewService{ID: "svc_shop", Name: "Shop", Dependencies: []string{"svc_pay"}})
	s.service(client.NewService{ID: "svc_blog", Name: "Blog"})
	trouble := threeAM()
	before := func(d time.Duration) *change.Time { return at(trouble.Add(-d)) }
	s.logAll(
		client.NewChange{Summary: "Deploy shop long ago", ServiceID: "svc_shop", ChangedBy: "mona", OccurredAt: before(48 * time.Hour)},
		client.NewChange{Summary: "Raise pool size", Type: "config_change", ServiceID: "svc_shop", ChangedBy: "mona", OccurredAt: before(12 * time.Minute), Risk: "medium"},
		client.NewChange{Summary: "Deploy payments", ServiceID: "svc_pay", OccurredAt: before(20 * time.Minute)},
		client.NewChange{Summary: "Migrate orders", Type: "database_migration", ServiceID: "svc_db", OccurredAt: before(30 * time.Minute)},
		client.NewChange{Summary: "Deploy blog", ServiceID: "svc_blog", OccurredAt: before(time.Minute)},
		client.NewChange{Summary: "Deploy shop to staging", Environment: "staging", ServiceID: "svc_shop", ChangedBy: "hubot", OccurredAt: before(50 * time.Minute)},
		client.NewChange{Summary: "Deploy shop afterwards", ServiceID: "svc_shop", OccurredAt: at(trouble.Add(time.Second))},
	)
	got := s.whatChanged(client.WhatChangedQuery{At: trouble, ServiceID: "svc_shop", Environment: "production"})
	want := []string{"Raise pool size", "Deploy payments", "Deploy shop to staging", "Migrate orders", "Deploy blog"}
	if diff := cmp.Diff(want, names(got.Suspects)); diff != "" {
		t.Errorf("suspects (-want +got):\n%s", diff)
	}
	for _, suspect := range got.Suspects {
		sum := 0
		for _, p := range suspect.Parts {
			if p.Points <= 0 || p.Reason == "" {
				t.Errorf("%s: part %+v", suspect.Change.Summary, p)
			}
			sum += p.Points
		}
		if sum != suspect.Score {
			t.Errorf("%s: the parts sum to %d, the score is %d", suspect.Change.Summary, sum, suspect.Score)
		}
	}
	if diff := cmp.Diff([]client.SuspectPart{
		{Name: "service", Points: 40, Reason: "a change of Shop"},
		{Name: "environment", Points: 20, Reason: "in production"},
		{Name: "time", Points: 11, Reason: "12 min before"},
		{Name: "type", Points: 9, Reason: "it is of type config_change"},
		{Name: "risk", Points: 4, Reason: "its risk is medium"},
	}, got.Suspects[0].Parts); diff != "" {
		t.Errorf("why (-want +got):\n%s", diff)
	}
	if parts := fmt.Sprint(got.Suspects[2].Parts); !strings.Contains(parts, "hubot had not changed Shop in the 30 days before, and others had") {
		t.Errorf("a new actor: %s", parts)
	}
	if got.ServiceName != "Shop" || got.Considered != 5 || got.Truncated || !got.At.Equal(trouble) || !got.Start.Equal(trouble.Add(-time.Hour)) {
		t.Errorf("%+v", got)
	}
	if again := s.whatChanged(client.WhatChangedQuery{At: trouble, ServiceID: "svc_shop", Environment: "production"}); !cmp.Equal(names(again.Suspects), want) {
		t.Errorf("asked again: %v", names(again.Suspects))
	}
	if few := s.whatChanged(client.WhatChangedQuery{At: trouble, ServiceID: "svc_shop", Limit: 1}); len(few.Suspects) != 1 || few.Considered != 5 {
		t.Errorf("limit 1: %v of %d", names(few.Suspects), few.Considered)
	}
}

// S0-32: without a service, it is what was deployed and changed within the last hour.
func TestWhatChanged_TellsTheLastHour(t *testing.T) {
	t.Parallel()
	s := start(t)
	now := time.Now()
	s.logAll(
		client.NewChange{Summary: "Deploy now"},
		client.NewChange{Summary: "Deploy 40 minutes ago", OccurredAt: at(now.Add(-40 * time.Minute))},
		client.NewChange{Summary: "Deploy yesterday", OccurredAt: at(now.Add(-24 * time.Hour))},
	)
	got := s.whatChanged(client.WhatChangedQuery{})
	if diff := cmp.Diff([]string{"Deploy now", "Deploy 40 minutes ago"}, names(got.Suspects)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if longer := s.whatChanged(client.WhatChangedQuery{Window: 48 * time.Hour}); longer.Considered != 3 {
		t.Errorf("over two days: %v", names(longer.Suspects))
	}
}

// S0-4: started and succeeded are one suspect, and an incident is none.
func TestWhatChanged_ShowsStepsOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	now := time.Now()
	s.service(client.NewService{ID: "svc_shop", Name: "Shop"})
	s.logAll(
		client.NewChange{Summary: "Deploying v2", Status: "started", CorrelationID: "run 7", ServiceID: "svc_shop", OccurredAt: at(now.Add(-9 * time.Minute))},
		client.NewChange{Summary: "Deployed v2", Status: "succeeded", CorrelationID: "run 7", ServiceID: "svc_shop", OccurredAt: at(now.Add(-5 * time.Minute))},
		client.NewChange{Summary: "Deploying v3", Status: "started", CorrelationID: "run 8", ServiceID: "svc_shop", OccurredAt: at(now.Add(-20 * time.Minute))},
	)
	got := s.whatChanged(client.WhatChangedQuery{ServiceID: "svc_shop"})
	if diff := cmp.Diff([]string{"Deployed v2", "Deploying v3"}, names(got.Suspects)); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	var steps []string
	for _, step := range got.Suspects[0].Steps {
		steps = append(steps, string(step.Status))
	}
	if diff := cmp.Diff([]string{"started", "succeeded"}, steps); diff != "" || got.Suspects[1].Steps != nil {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestWhatChanged_NamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	s := start(t)
	logged := s.log(s.admin, client.NewChange{Summary: "x"})
	f := func(query, field string) {
		t.Helper()
		path := "/api/v1/what-changed?"
		if strings.HasPrefix(query, "/") {
			path = "/api/v1/changes/" + logged.ID.String()
		}
		got := s.call("GET", path+query, "")
		if got.Status != http.StatusBadRequest || got.json(t)["field"] != field {
			t.Errorf("%s: %d %s; want %s", query, got.Status, got.Body, field)
		}
	}
	f("at=yesterday", "at")
	f("at=2999-01-01", "at")
	f("at=1969-12-31T23:59:59Z", "at")
	f("service_id=svc_nobody", "service_id")
	f("window=0s", "window")
	f("window=-1h", "window")
	f("window=8d", "window")
	f("window=long", "window")
	f("limit=0", "limit")
	f("limit=101", "limit")
	f("environment="+strings.Repeat("x", 201), "environment")
	f("colour=red", "colour")
	f("/window?before=8d", "before")
	f("/window?after=200h", "after")
	f("/window?before=-1m", "before")
	f("/window?after=soon", "after")
	f("/window?limit=101", "limit")
	f("/window?change_type=magic", "change_type")
	f("/window?start_date=2026-01-01", "start_date")
	f("/window?cursor=nonsense", "cursor")
	for _, odd := range []string{
		"at=1970-01-01T00:00:00Z&window=7d", "environment=%27%20OR%201%3D1%20--", "environment=%00%ff%0a", "window=1ns&at=2026-01-01", "window=168h&limit=100",
	} {
		if got := s.call("GET", "/api/v1/what-changed?"+odd, ""); got.Status >= http.StatusInternalServerError {
			t.Errorf("%s: %d %s", odd, got.Status, got.Body)
		}
	}
	for _, path := range []string{"/api/v1/changes/chg_nonsense/window", "/api/v1/changes/" + (change.ID{1}).String() + "/window"} {
		if got := s.call("GET", path, ""); got.Status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
}

// S0-30, S0-33: the window around a change selects what else went on, here and in any other stream of activity.
func TestChangeWindow_SelectsWhatElseWentOn(t *testing.T) {
	t.Parallel()
	s := start(t)
	noon := threeAM()
	s.service(client.NewService{ID: "svc_shop", Name: "Shop"})
	middle := s.log(s.admin, client.NewChange{Summary: "middle", ServiceID: "svc_shop", OccurredAt: at(noon)})
	for summary, minutes := range map[string]time.Duration{"too early": -16, "early": -15, "late": 14, "too late": 15} {
		s.log(s.admin, client.NewChange{Summary: summary, OccurredAt: at(noon.Add(minutes * time.Minute))})
	}
	ask := func(q client.ChangeWindowQuery) client.ChangeWindowPage {
		t.Helper()
		got, err := s.admin.ChangeWindow(t.Context(), middle.ID, q)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	summaries := func(p client.ChangeWindowPage) (out []string) {
		for _, c := range p.Data.Changes {
			out = append(out, c.Summary)
		}
		return out
	}
	got := ask(client.ChangeWindowQuery{})
	if !got.Data.Start.Equal(noon.Add(-15*time.Minute)) || !got.Data.End.Equal(noon.Add(15*time.Minute)) || got.Data.Change.ID != middle.ID {
		t.Errorf("window %s to %s of %s", got.Data.Start, got.Data.End, got.Data.Change.Summary)
	}
	if diff := cmp.Diff([]string{"late", "middle", "early"}, summaries(got)); diff != "" || got.Meta.Total != 3 {
		t.Errorf("total %d (-want +got):\n%s", got.Meta.Total, diff)
	}
	if alone := ask(client.ChangeWindowQuery{Before: -1, After: -1}); !cmp.Equal(summaries(alone), []string{"middle"}) {
		t.Errorf("no time around it: %v", summaries(alone))
	}
	if own := ask(client.ChangeWindowQuery{ChangeFilter: client.ChangeFilter{ServiceID: "svc_shop"}}); !cmp.Equal(summaries(own), []string{"middle"}) {
		t.Errorf("of the service: %v", summaries(own))
	}
	if none := ask(client.ChangeWindowQuery{ChangeFilter: client.ChangeFilter{Environment: "staging"}}); len(none.Data.Changes) != 0 || none.Data.Changes == nil {
		t.Errorf("in staging: %v", summaries(none))
	}

	// Every link works, and the pages together are the whole.
	first := ask(client.ChangeWindowQuery{ChangeFilter: client.ChangeFilter{Limit: 2, Environment: "production"}, After: time.Hour})
	second := s.call("GET", first.Data.Links.Next, "")
	if second.Status != http.StatusOK || !strings.Contains(second.Body, `"early"`) || !first.Meta.HasMore || !strings.Contains(second.Body, `"total":4`) {
		t.Errorf("next: %+v %s", first.Meta, second.Body)
	}
	for link, want := range map[string]string{
		got.Data.Links.Change: `"middle"`, got.Data.Links.Changes: `"total":3`, got.Data.Links.WhatChanged: `"service_id":"svc_shop"`,
	} {
		if got := s.call("GET", link, ""); got.Status != http.StatusOK || !strings.Contains(got.Body, want) {
			t.Errorf("%s: %d %s", link, got.Status, got.Body)
		}
	}
}

// habit stores deliveries of a source as they came, newest first.
func (s *system) habit(sourceID string, ages ...time.Duration) {
	s.t.Helper()
	batch := store.Batch{Chain: sourceID, Frame: 1, Lane: change.Fresh}
	for i, age := range ages {
		received := change.At(time.Now().Add(-age))
		d := change.NewDeliveryID(received.Time)
		c := change.Change{
			ID: change.NewID(received.Add(-30*time.Second), orgName, "test", d.String()), Org: orgName, Type: change.Incident, Summary: "x",
			OccurredAt: change.At(received.Add(-30 * time.Second)), CreatedAt: received,
			Provenance: change.Provenance{SourceID: sourceID, DeliveryID: d},
		}
		batch.Results = append(batch.Results, change.Result{
			DeliveryID: d, Org: orgName, SourceID: sourceID, ReceivedAt: received, NormalizedAt: received, Place: i,
			Outcome: change.Stored, Changes: []change.Change{c},
		})
	}
	if err := s.store.InsertChanges(s.t.Context(), []store.Batch{batch}); err != nil {
		s.t.Fatal(err)
	}
	if err := s.store.InsertDeliveries(s.t.Context(), []store.Batch{batch}); err != nil {
		s.t.Fatal(err)
	}
}

// S0-4: an empty answer can be trusted, or says why not.
func TestWhatChanged_SaysUpToWhenTheRecordIsComplete(t *testing.T) {
	t.Parallel()
	s := start(t)
	ids := map[string]string{}
	for _, name := range []string{"lively", "silent", "unheard", "new", "disabled"} {
		made, err := s.admin.CreateSource(t.Context(), client.NewSource{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = made.ID
	}
	off := true
	if _, err := s.admin.UpdateSource(t.Context(), ids["disabled"], client.SourcePatch{Disabled: &off}); err != nil {
		t.Fatal(err)
	}
	var every []time.Duration
	for n := range 60 { // every hour
		every = append(every, time.Duration(n)*time.Hour+time.Minute)
	}
	s.habit(ids["lively"], every...)
	s.habit(ids["silent"], every[5:]...)
	s.habit(ids["new"], time.Minute, time.Hour)
	s.habit(ids["disabled"], every[5:]...)

	asked := time.Now()
	got := s.whatChanged(client.WhatChangedQuery{})
	if len(got.Suspects) != 0 || got.Completeness.Complete {
		t.Errorf("suspects %v, complete %v; want none, and that a source is silent", names(got.Suspects), got.Completeness.Complete)
	}
	of := map[string]client.SourceCompleteness{}
	for _, c := range got.Completeness.Sources {
		of[c.Name] = c
	}
	if len(of) != 4 {
		t.Errorf("sources %+v; want all but the disabled", got.Completeness.Sources)
	}
	lively, silent, unheard, young := of["lively"], of["silent"], of["unheard"], of["new"]
	if lively.Silent || lively.Deliveries != 60 || lively.LongestPause != 3600 || lively.UsualLag != (client.Lag{Median: 30, P95: 30}) || lively.Note != "" {
		t.Errorf("lively: %+v", lively)
	}
	if gap := asked.Sub(lively.CompleteUntil.Time); gap > time.Minute || gap < 20*time.Second {
		t.Errorf("lively is complete until %s ago; want its usual lag", gap)
	}
	if !silent.Silent || silent.QuietFor < 5*3600 || !strings.Contains(silent.Note, "quiet for 5 h") || !silent.CompleteUntil.Equal(silent.LastDelivery.Add(-30*time.Second)) {
		t.Errorf("silent: %+v", silent)
	}
	if unheard.Silent || !unheard.LastDelivery.IsZero() || !unheard.CompleteUntil.IsZero() || !strings.Contains(unheard.Note, "nothing came") {
		t.Errorf("unheard: %+v", unheard)
	}
	if young.Silent || !strings.Contains(young.Note, "too little") {
		t.Errorf("new: %+v", young)
	}
	if !got.Completeness.CompleteUntil.Equal(silent.CompleteUntil.Time) {
		t.Errorf("complete until %s, want the earliest, %s", got.Completeness.CompleteUntil, silent.CompleteUntil)
	}
	if past := s.whatChanged(client.WhatChangedQuery{At: asked.Add(-8 * time.Hour)}); !past.Completeness.Complete {
		t.Errorf("before it fell silent: %+v", past.Completeness)
	}

	// What could not be processed may be what one looks for.
	s.deliver(orgName, ids["new"], `{"broken`, http.Header{"X-Github-Event": {"push"}})
	if got := s.whatChanged(client.WhatChangedQuery{At: asked.Add(-8 * time.Hour), Window: time.Hour}); got.Completeness.Complete {
		t.Errorf("a dead delivery: %+v", got.Completeness)
	}
}

// S0-3, S0-5: what is found has who, what version and where.
func TestWhatChanged_ShowsChangesWhole(t *testing.T) {
	t.Parallel()
	s := start(t)
	in := client.NewChange{
		Summary: "Deploy v2.4.1", ChangedBy: "jane.doe", Version: "v2.4.1", CommitSHA: "abc1234", Description: "why",
		Tags: []string{"team:shop"}, Metadata: map[string]any{"old_version": "v2.4.0"},
	}
	logged := s.log(s.admin, in)
	got := s.whatChanged(client.WhatChangedQuery{})
	if len(got.Suspects) != 1 {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff(logged.Change, got.Suspects[0].Change); diff != "" {
		t.Errorf("(-logged +suspect):\n%s", diff)
	}
	if text := s.call("GET", "/api/v1/what-changed?at="+url.QueryEscape(logged.OccurredAt.String())+"&window=1s", ""); !strings.Contains(text.Body, `"v2.4.1"`) {
		t.Errorf("at its very moment: %s", text.Body)
	}
}

// S0-4: what was taken in and is not recorded yet holds up what is said to be complete.
func TestWhatChanged_IsCompleteUntilWhatWaits(t *testing.T) {
	t.Parallel()
	s := start(t)
	made, err := s.admin.CreateSource(t.Context(), client.NewSource{Name: "hook"})
	if err != nil {
		t.Fatal(err)
	}
	s.habit(made.ID, time.Minute, 2*time.Minute)
	took := make(chan struct{}, 1)
	s.run(func(ctx context.Context) error { // a writer that does not come to an end
		return s.bus.ConsumeChangeBatches(ctx, bus.Writer, bus.BatchLimit{Bytes: 1 << 20, Records: 1}, func(ctx context.Context, _ []*bus.ChangeFrame) error {
			took <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
	})
	before := time.Now()
	s.deliver(orgName, made.ID, `{"title": "Raise pool size"}`, nil)
	<-took
	after := time.Now()
	got := s.whatChanged(client.WhatChangedQuery{}).Completeness.Sources[0]
	lag := time.Duration(got.UsualLag.P95 * float64(time.Second))
	if until := got.CompleteUntil.Add(lag); until.Before(before.Add(-10*time.Millisecond)) || until.After(after) {
		t.Errorf("complete until %s with a lag of %s; want from %s to %s", got.CompleteUntil, lag, before, after)
	}
}

// S0-4: a window with more than can be ranked says so, and keeps what is asked about.
func TestWhatChanged_SaysWhenThereIsMore(t *testing.T) {
	t.Parallel()
	s := start(t)
	now := time.Now()
	if err := s.store.Fill(t.Context(), store.FillConfig{Rows: store.MaxCandidates + 1, Orgs: []string{orgName}, Until: now, Span: time.Minute}); err != nil {
		t.Fatal(err)
	}
	s.service(client.NewService{ID: "svc_shop", Name: "Shop"})
	s.log(s.admin, client.NewChange{Summary: "the one", ServiceID: "svc_shop", OccurredAt: at(now.Add(-55 * time.Minute))})
	got := s.whatChanged(client.WhatChangedQuery{ServiceID: "svc_shop", Limit: 100})
	if !got.Truncated || got.Considered > store.MaxCandidates || len(got.Suspects) != 100 || got.Suspects[0].Change.Summary != "the one" {
		t.Errorf("truncated %v, %d considered, %d shown, first %q", got.Truncated, got.Considered, len(got.Suspects), got.Suspects[0].Change.Summary)
	}
}

// S0-4, S4-2: whatever is asked, the answer is one or says what is wrong with the question.
func TestWhatChanged_AnswersOrRefusesWhateverIsAsked(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.service(client.NewService{ID: "svc_a", Name: "A"})
	s.service(client.NewService{ID: "svc_b", Name: "B", Dependencies: []string{"svc_a"}})
	if _, err := s.admin.UpdateService(t.Context(), "svc_a", client.ServicePatch{Dependencies: &[]string{"svc_b"}}); err != nil {
		t.Fatal(err)
	}
	logged := s.log(s.admin, client.NewChange{Summary: "x", ServiceID: "svc_a"})
	values := []string{"", "svc_a", "svc_b", "1h", "0s", "7d", "2026-01-01", "2026-01-01T00:00:00+14:00", "1970-01-01", "9999-12-31T23:59:59Z", "-1", "1e9", "%00", "%ff", "'", "*", "null", "[]"}
	for _, path := range []string{"/api/v1/what-changed", "/api/v1/changes/" + logged.ID.String() + "/window"} {
		for _, name := range []string{"at", "service_id", "environment", "window", "limit", "before", "after", "sort", "offset", "cursor", "q", "tag"} {
			for _, value := range values {
				got := s.call("GET", path+"?"+name+"="+value, "")
				if got.Status != http.StatusOK && (got.Status != http.StatusBadRequest || got.json(t)["field"] != name) {
					t.Errorf("%s?%s=%s: %d %s", path, name, value, got.Status, got.Body)
				}
			}
		}
	}
}
