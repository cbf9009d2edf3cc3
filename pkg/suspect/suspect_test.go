package suspect_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/suspect"
)

var noon = time.Date(2026, 3, 30, 12, 0, 0, 0, time.UTC)

// made returns a change some minutes before noon.
func made(name string, minutes int, edit func(*change.Change)) change.Change {
	at := noon.Add(-time.Duration(minutes) * time.Minute)
	c := change.Change{ID: change.NewID(at, "acme", "test", name), Org: "acme", Summary: name, Type: change.Other, OccurredAt: change.At(at)}
	if edit != nil {
		edit(&c)
	}
	return c
}

// S0-4: each part stands for what it says, and is there when it applies.
func TestRank_ScoresByNamedParts(t *testing.T) {
	q := suspect.Query{
		At: noon, Window: time.Hour, ServiceID: "svc_a", ServiceName: "A", Environment: "production",
		Hops: map[string]int{"svc_b": 1, "svc_c": 2, "svc_d": 3, "svc_e": 9},
		New:  func(c *change.Change) bool { return c.ChangedBy == "stranger" },
	}
	f := func(what string, minutes int, edit func(*change.Change), want ...string) {
		t.Helper()
		ranked := suspect.Rank(q, []change.Change{made("x", minutes, edit)})
		if len(ranked) != 1 {
			t.Fatalf("%s: %d suspects", what, len(ranked))
		}
		got, sum := []string{}, 0
		for _, p := range ranked[0].Parts {
			got = append(got, fmt.Sprint(p.Name, " ", p.Points))
			sum += p.Points
			if p.Reason == "" {
				t.Errorf("%s: %s has no reason", what, p.Name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || sum != ranked[0].Score {
			t.Errorf("%s: score %d (-want +got):\n%s", what, ranked[0].Score, diff)
		}
	}
	other := func(c *change.Change) { c.Environment = "staging" }
	f("nothing but the type", 60, other, "time 1", "type 1")
	f("at that moment", 0, other, "time 20", "type 1")
	f("a quarter of the window before", 15, other, "time 10", "type 1")
	f("half of it before", 30, other, "time 5", "type 1")
	f("the environment", 30, func(c *change.Change) { c.Environment = "production" }, "environment 20", "time 5", "type 1")
	f("no environment", 30, nil, "environment 8", "time 5", "type 1")
	service := func(id string) func(*change.Change) {
		return func(c *change.Change) { c.ServiceID, c.Environment = id, "staging" }
	}
	f("the service", 30, service("svc_a"), "service 40", "time 5", "type 1")
	f("a direct dependency", 30, service("svc_b"), "dependency 25", "time 5", "type 1")
	f("one through another", 30, service("svc_c"), "dependency 16", "time 5", "type 1")
	f("one through two", 30, service("svc_d"), "dependency 8", "time 5", "type 1")
	f("one far away", 30, service("svc_e"), "dependency 8", "time 5", "type 1")
	f("another service", 30, service("svc_z"), "time 5", "type 1")
	for risk, want := range map[change.Risk][]string{
		change.Critical: {"risk 12", "time 5", "type 1"}, change.High: {"risk 8", "time 5", "type 1"},
		change.Medium: {"time 5", "risk 4", "type 1"}, change.Low: {"time 5", "type 1"},
	} {
		f(string(risk), 30, func(c *change.Change) { other(c); c.Risk = risk }, want...)
	}
	f("a rollback elsewhere", 30, func(c *change.Change) { other(c); c.Type = change.Rollback }, "type 10", "time 5")
	f("a rollback of the service", 30, func(c *change.Change) { service("svc_a")(c); c.Type = change.Rollback }, "service 40", "type 10", "rollback 6", "time 5")
	for status, want := range map[change.Status][]string{
		change.Failed: {"status 8", "time 5", "type 1"}, change.Cancelled: {"time 5", "status 4", "type 1"},
		change.Started: {"time 5", "status 3", "type 1"}, change.Succeeded: {"time 5", "type 1"},
	} {
		f(string(status), 30, func(c *change.Change) { other(c); c.Status = status }, want...)
	}
	f("a new actor", 30, func(c *change.Change) { service("svc_z")(c); c.ChangedBy = "stranger" }, "actor 6", "time 5", "type 1")
	f("after the moment", -1, other, "type 1")

	q = suspect.Query{At: noon, Window: time.Hour} // nothing known but the time
	f("a service, and none is asked about", 15, service("svc_a"), "time 10", "type 1")
	f("no service, and none is asked about", 15, nil, "time 10", "type 1")
	q.Window = 24 * time.Hour
	f("near is relative to the window", 6*60, nil, "time 10", "type 1")
}

func TestRank_EveryTypeHasItsPoints(t *testing.T) {
	points := map[change.Type]int{}
	for _, w := range suspect.Weights() {
		if w.Part == suspect.Type {
			points[change.Type(w.Case)] = w.Points
		}
	}
	for _, typ := range change.Types() {
		if (points[typ] == 0) != (typ == change.Incident) {
			t.Errorf("%s has %d points", typ, points[typ])
		}
	}
}

// S0-4: the page shows every weight, and no other.
func TestWeights_AreThoseOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/what-changed.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, w := range suspect.Weights() {
		want = append(want, fmt.Sprintf("| `%s` | %s | %d |", w.Part, w.Case, w.Points))
	}
	_, table, _ := strings.Cut(string(page), "| part | when | points |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	got = strings.Split(table, "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/what-changed.md (-code +page):\n%s", diff)
	}
}

// S0-4: the order is the same however the changes come.
func TestRank_OrderDoesNotDependOnHowChangesCome(t *testing.T) {
	var all []change.Change
	for i := range 60 {
		all = append(all, made(fmt.Sprint(i), i/6, func(c *change.Change) {
			c.ServiceID = []string{"svc_a", "svc_b", ""}[i%3]
			c.CorrelationID = []string{"", "one", "two"}[i%5%3]
			c.Status = []change.Status{change.Started, change.Succeeded, ""}[i%7%3]
		}))
	}
	q := suspect.Query{At: noon, Window: time.Hour, ServiceID: "svc_a", Hops: map[string]int{"svc_b": 1}}
	want := suspect.Rank(q, all)
	for i, s := range want[1:] {
		before := want[i]
		if s.Score > before.Score || s.Score == before.Score && s.Change.OccurredAt.After(before.Change.OccurredAt.Time) {
			t.Errorf("%s (%d) comes after %s (%d)", s.Change.Summary, s.Score, before.Change.Summary, before.Score)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if diff := cmp.Diff(want, suspect.Rank(q, all)); diff != "" {
			t.Fatalf("(-before +after):\n%s", diff)
		}
	}
}

// S0-4: steps of one thing are shown once, by the last; what only shares a word is not joined.
func TestRank_JoinsStepsOfOneThing(t *testing.T) {
	step := func(name string, minutes int, status change.Status, edit func(*change.Change)) change.Change {
		return made(name, minutes, func(c *change.Change) {
			c.Type, c.Status, c.CorrelationID, c.ServiceID, c.Environment = change.Deployment, status, "run 1", "svc_a", "production"
			if edit != nil {
				edit(c)
			}
		})
	}
	f := func(what string, changes []change.Change, want ...string) {
		t.Helper()
		var got []string
		for _, s := range suspect.Rank(suspect.Query{At: noon, Window: time.Hour}, changes) {
			text := s.Change.Summary
			for _, c := range s.Steps {
				text += " " + c.Summary
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	f("started and succeeded", []change.Change{step("end", 1, change.Succeeded, nil), step("begin", 2, change.Started, nil)}, "end begin end")
	f("in the same moment", []change.Change{step("end", 1, change.Succeeded, nil), step("begin", 1, change.Started, nil)}, "end begin end")
	f("found to be a rollback", []change.Change{
		step("begin", 2, change.Started, nil), step("end", 1, change.Succeeded, func(c *change.Change) { c.Type = change.Rollback }),
	}, "end begin end")
	f("another environment", []change.Change{
		step("a", 1, change.Succeeded, nil), step("b", 9, change.Succeeded, func(c *change.Change) { c.Environment = "staging" }),
	}, "a", "b")
	f("another type", []change.Change{
		step("a", 1, change.Succeeded, nil), step("b", 9, change.Succeeded, func(c *change.Change) { c.Type = change.DatabaseMigration }),
	}, "a", "b")
	f("without a status", []change.Change{step("a", 1, "", nil), step("b", 9, "", nil)}, "a", "b")
	f("without a correlation", []change.Change{
		step("a", 1, change.Succeeded, func(c *change.Change) { c.CorrelationID = "" }), step("b", 9, change.Started, func(c *change.Change) { c.CorrelationID = "" }),
	}, "a", "b")
	f("an incident", []change.Change{step("a", 1, "", func(c *change.Change) { c.Type = change.Incident })})
	f("nothing", nil)
}

func TestHops_GoRoundCirclesOnce(t *testing.T) {
	needs := map[string][]string{
		"shop": {"pay", "stock"}, "pay": {"db", "shop"}, "stock": {"db", "gone"}, "db": {"disk", "db"}, "disk": {"shop"},
	}
	got := suspect.Hops("shop", func(id string) []string { return needs[id] })
	if diff := cmp.Diff(map[string]int{"pay": 1, "stock": 1, "db": 2, "gone": 2, "disk": 3}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	many := make([]string, 2*suspect.MaxDependencies)
	for i := range many {
		many[i] = fmt.Sprint("svc_", i)
	}
	if got := suspect.Hops("shop", func(string) []string { return many }); len(got) != suspect.MaxDependencies || got["svc_0"] != 1 {
		t.Errorf("many: %d", len(got))
	}
	if alone := suspect.Hops("blog", func(string) []string { return nil }); len(alone) != 0 {
		t.Errorf("nothing: %v", alone)
	}
}
