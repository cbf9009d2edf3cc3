package api

import (
	"bufio"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/store"
)

func frameOf(org string, count int) *bus.ChangeFrame {
	r := change.Result{Org: org, Outcome: change.Stored}
	for i := range count {
		r.Changes = append(r.Changes, change.Change{Summary: fmt.Sprint("change ", i)})
	}
	return &bus.ChangeFrame{Results: []change.Result{r}}
}

// C29: who does not keep up is told so and left behind, and holds up nobody.
func TestHub_SlowReaderIsToldAndDropped(t *testing.T) {
	a := &API{cfg: DefaultConfig(), log: slog.New(slog.DiscardHandler), metrics: newMetrics(nil)}
	a.hub = newHub(nil, a.cfg, a.log, a.metrics)
	slow, err := a.hub.subscribe("acme", "key_1", store.ChangeFilter{})
	if err != nil {
		t.Fatal(err)
	}
	quick, err := a.hub.subscribe("acme", "key_2", store.ChangeFilter{})
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for range 2 {
		a.hub.publish(frameOf("acme", tailBuffer))
		for range tailBuffer {
			<-quick.changes
			read++
		}
	}
	if read != 2*tailBuffer {
		t.Errorf("the quick reader got %d changes", read)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.follow(r.Context(), w, slow); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	res, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	last := ""
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if lines.Text() != "" {
			last = lines.Text()
		}
	}
	if last != `data: {"reason":"too_slow"}` {
		t.Errorf("the slow reader's last line: %q", last)
	}
	a.hub.leave(slow)
	a.hub.leave(quick)
	if len(a.hub.subs) != 0 || len(a.hub.byKey) != 0 {
		t.Errorf("left behind: %d tails, %v", len(a.hub.subs), a.hub.byKey)
	}
}

// The live tail shows what the list would: see store.ChangeFilter.
func TestMatches_IsTheListsFilter(t *testing.T) {
	id := change.NewDeliveryID(time.Now())
	c := change.Change{
		ServiceID: "svc_a", Type: change.Code, Source: "github", Environment: "production", Repository: "acme/gw", Risk: change.Low,
		Status: change.Failed, ChangedBy: "mona@example.com", Actor: change.Actor{ID: "u-1", Name: "Mona"}, Tags: []string{"red", "k:v"},
		Summary: "Merged #12: fix Café-menu", Provenance: change.Provenance{DeliveryID: id, Provider: "github"},
		Action: "deployment.failed", Resource: change.Resource{ID: "api-gateway", Name: "gw"}, SessionID: "ses", CorrelationID: "op", ExternalID: "7",
		Account: "1234", Region: "eu", Branch: "main", Version: "v2", CommitSHA: "abc1234",
	}
	f := func(want bool, filters ...store.ChangeFilter) {
		t.Helper()
		for _, filter := range filters {
			if matches(&filter, &c) != want {
				t.Errorf("%+v: %t", filter, !want)
			}
		}
	}
	type F = store.ChangeFilter
	f(true, F{}, F{ServiceID: "svc_a"}, F{Types: []change.Type{change.Code}}, F{Source: "github"}, F{Environment: "production"}, F{Repository: "acme/gw"},
		F{Risks: []change.Risk{change.Low}}, F{Statuses: []change.Status{change.Failed}}, F{Actor: "mona@example.com"}, F{Actor: "u-1"}, F{Actor: "Mona"}, F{Tag: "k:v"},
		F{Q: "menu FIX"}, F{Q: "café"}, F{Q: "12"}, F{DeliveryID: id}, F{Source: "github", Tag: "red"},
		F{Types: []change.Type{change.Other, change.Code}}, F{Action: "deployment.*"}, F{Action: "deployment.failed"}, F{ActorID: "u-1"},
		F{ResourceID: "gw"}, F{ResourceID: "api-gateway"}, F{SessionID: "ses", CorrelationID: "op", ExternalID: "7"},
		F{Account: "1234", Region: "eu", Branch: "main", Version: "v2", Provider: "github"}, F{CommitSHA: "abc1"}, F{CommitSHA: "abc1234"})
	f(false, F{ServiceID: "svc_b"}, F{Types: []change.Type{change.Other}}, F{Source: "git"}, F{Actor: "mona"}, F{Tag: "k"}, F{Q: "men"}, F{Q: "menu gone"},
		F{DeliveryID: change.NewDeliveryID(time.Now())}, F{Source: "github", Tag: "blue"}, F{Repository: "acme"}, F{Risks: []change.Risk{change.High}},
		F{Statuses: []change.Status{change.Started}}, F{Environment: "prod"}, F{Action: "deployment"}, F{Action: "rollback.*"}, F{ActorID: "Mona"},
		F{ResourceID: "api"}, F{SessionID: "s"}, F{CorrelationID: "o"}, F{ExternalID: "8"}, F{Account: "12"}, F{Region: "us"}, F{Branch: "next"},
		F{Version: "v1"}, F{Provider: "gitlab"}, F{CommitSHA: "bc12"}, F{CommitSHA: "abc12345"})
}

// What the document says of a change is what a change is.
func TestDocument_DescribesEveryFieldOfAChange(t *testing.T) {
	names := func(v any) (names []string) {
		for f := range reflect.TypeOf(v).Fields() {
			if tag := f.Tag.Get("json"); tag != "-" {
				names = append(names, tag)
			}
		}
		return names
	}
	if diff := cmp.Diff(names(change.Change{}), names(changeDoc{})); diff != "" {
		t.Errorf("change.Change and changeDoc (-change +doc):\n%s", diff)
	}
	// S1-11: the endpoint's own list of types is part of all types.
	f, _ := reflect.TypeFor[client.NewChange]().FieldByName("Type")
	var all []string
	for _, typ := range change.Types() {
		all = append(all, string(typ))
	}
	for typ := range strings.SplitSeq(f.Tag.Get("enum"), ",") {
		if !strings.Contains(strings.Join(all, ","), typ) {
			t.Errorf("%s is no type of change", typ)
		}
	}
	filter, _ := reflect.TypeFor[Filter]().FieldByName("Type")
	if diff := cmp.Diff(strings.Join(all, ","), filter.Tag.Get("enum")); diff != "" {
		t.Errorf("the filter's types (-want +got):\n%s", diff)
	}
}
