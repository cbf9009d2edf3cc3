package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// deadOf makes the letter of the n-th delivery of an org.
func deadOf(org string, n int) bus.DeadLetter {
	return bus.DeadLetter{
		Stage: bus.StageNormalize, Org: org, SourceID: fmt.Sprintf("src_%d", n%2), Provider: []string{"github", "gitlab"}[n%2],
		DeliveryID: change.DeliveryID{0, byte(n + 1)}, Reason: fmt.Sprint("reason ", n), FirstError: fmt.Sprint("error ", n),
		LastError: fmt.Sprint("error ", n), Attempts: 1,
	}
}

func publishDead(t testing.TB, b *bus.Bus, letters ...bus.DeadLetter) {
	t.Helper()
	for _, l := range letters {
		if err := b.PublishDead(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
}

func findDead(t testing.TB, b *bus.Bus, q bus.DeadQuery) bus.DeadPage {
	t.Helper()
	page, err := b.DeadLetters(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func reasons(page bus.DeadPage) (out []string) {
	for _, l := range page.Letters {
		out = append(out, l.Reason)
	}
	return out
}

func TestPublishDead_WhatFailsAgainIsOneLetterInItsPlace(t *testing.T) {
	b := bustest.New(t)
	publishDead(t, b, deadOf("a", 0), deadOf("a", 1), deadOf("a", 2))
	again := deadOf("a", 0)
	again.LastError, again.FirstError, again.Reason = "later", "later", "later"
	publishDead(t, b, again) // within the minute in which a stream drops repeats
	page := findDead(t, b, bus.DeadQuery{Org: "a"})
	if diff := cmp.Diff([]string{"reason 2", "reason 1", "later"}, reasons(page)); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	l := page.Letters[2]
	if l.Attempts != 2 || l.FirstError != "error 0" || l.LastError != "later" || !l.At.After(l.FirstAt.Add(-time.Millisecond)) {
		t.Errorf("%+v", l)
	}
	if page.Total != 3 {
		t.Errorf("total %d", page.Total)
	}
	if n := stream(t, b, bus.Dead).CachedInfo().State.Msgs; n != 3 {
		t.Errorf("%d messages of 3 letters", n)
	}
}

func TestDeadLetters_Filters(t *testing.T) {
	b := bustest.New(t)
	for n := range 4 {
		publishDead(t, b, deadOf("a", n), deadOf("b", n))
	}
	insert := deadOf("a", 9)
	insert.Stage = bus.StageInsert
	publishDead(t, b, insert, bus.DeadLetter{Stage: bus.StageFrame, Reason: "a hole"})
	f := func(q bus.DeadQuery, want ...string) {
		t.Helper()
		if q.Org == "" {
			q.Org = "a"
		}
		if diff := cmp.Diff(want, reasons(findDead(t, b, q))); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", q, diff)
		}
	}
	f(bus.DeadQuery{Provider: "gitlab"}, "reason 9", "reason 3", "reason 1")
	f(bus.DeadQuery{SourceID: "src_0"}, "reason 2", "reason 0")
	f(bus.DeadQuery{Stage: bus.StageInsert}, "reason 9")
	f(bus.DeadQuery{DeliveryID: change.DeliveryID{0, 2}}, "reason 1")
	f(bus.DeadQuery{End: time.Now().Add(-time.Minute)})
	f(bus.DeadQuery{Start: time.Now().Add(-time.Minute), Limit: 1}, "reason 9")
	f(bus.DeadQuery{Org: bus.NoOrg}, "a hole")
	f(bus.DeadQuery{Org: "nobody"})
	if _, err := b.DeadLetters(t.Context(), bus.DeadQuery{}); err == nil {
		t.Error("no org is every org")
	}
	if _, err := b.DeadLetters(t.Context(), bus.DeadQuery{Org: "a", Cursor: "nonsense"}); problem.KindOf(err) != problem.Malformed {
		t.Errorf("a cursor that is none: %v", err)
	}
}

// Somebody pages while others re-drive: what fails again, what is over and what
// is new must not move what is left.
func TestDeadLetters_PagesNeitherRepeatNorSkip(t *testing.T) {
	b := bustest.New(t)
	for n := range 9 {
		publishDead(t, b, deadOf("a", n))
	}
	first := findDead(t, b, bus.DeadQuery{Org: "a", Limit: 3}) // 8 7 6
	again := deadOf("a", 2)
	publishDead(t, b, again, deadOf("a", 20), first.Letters[0])
	if err := b.RemoveDead(t.Context(), first.Letters[1]); err != nil {
		t.Fatal(err)
	}
	second := findDead(t, b, bus.DeadQuery{Org: "a", Limit: 3, Cursor: first.Next})
	third := findDead(t, b, bus.DeadQuery{Org: "a", Limit: 3, Cursor: second.Next})
	got := append(append(reasons(first), reasons(second)...), reasons(third)...)
	var want []string
	for n := 8; n >= 0; n-- {
		want = append(want, fmt.Sprint("reason ", n))
	}
	if diff := cmp.Diff(want, got); diff != "" || third.Next != "" {
		t.Errorf("next %q (-want +got):\n%s", third.Next, diff)
	}
}

func TestDeadLetter_IsFoundByItsIDInItsOrg(t *testing.T) {
	b := bustest.New(t)
	publishDead(t, b, deadOf("a", 0))
	l := findDead(t, b, bus.DeadQuery{Org: "a"}).Letters[0]
	if got, err := b.DeadLetter(t.Context(), "a", l.ID); err != nil || got.Reason != "reason 0" {
		t.Errorf("%+v %v", got, err)
	}
	for _, of := range [][2]string{{"b", l.ID}, {"a", "ded_other"}, {"a", "*"}, {"*", l.ID}, {bus.NoOrg, l.ID}, {"a", ">"}, {"", ""}} {
		if got, err := b.DeadLetter(t.Context(), of[0], of[1]); problem.KindOf(err) != problem.NotFound || err == nil {
			t.Errorf("org %q, id %q: %+v %v", of[0], of[1], got, err)
		}
	}
}

func TestDeadLetters_GoOnAfterOneThatIsOverMeanwhile(t *testing.T) {
	b := bustest.New(t)
	publishDead(t, b, deadOf("a", 0), deadOf("a", 1), deadOf("a", 2))
	all := findDead(t, b, bus.DeadQuery{Org: "a"}).Letters
	letters, next, err := b.CutDead(t.Context(), "a", 2, func() {
		if err := b.RemoveDead(t.Context(), all[1]); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil || len(letters) != 1 || letters[0].ID != all[0].ID {
		t.Errorf("first page: %+v %v", letters, err)
	}
	rest := findDead(t, b, bus.DeadQuery{Org: "a", Limit: 2, Cursor: next})
	if diff := cmp.Diff([]string{all[2].Reason}, reasons(rest)); next == "" || diff != "" {
		t.Errorf("second page, from %q (-want +got):\n%s", next, diff)
	}
}

func TestDiscardDead_LeavesTheListAndIsNotReportedAgain(t *testing.T) {
	b := bustest.New(t)
	l := deadOf("a", 0)
	l.Bytes = []byte("bytes")
	publishDead(t, b, l)
	found := findDead(t, b, bus.DeadQuery{Org: "a"}).Letters[0]
	if err := b.DiscardDead(t.Context(), found, bus.Discard{By: "jane", Reason: "no use"}); err != nil {
		t.Fatal(err)
	}
	publishDead(t, b, l)
	if page := findDead(t, b, bus.DeadQuery{Org: "a"}); page.Total != 0 {
		t.Errorf("%+v", page)
	}
	page := findDead(t, b, bus.DeadQuery{Org: "a", Discarded: true})
	if page.Total != 1 || page.Letters[0].Discarded.By != "jane" || len(page.Letters[0].Bytes) != 0 {
		t.Errorf("%+v", page)
	}
}

// RemoveDead is of what was read: what failed again meanwhile stays.
func TestRemoveDead_NotWhatFailedAgainSince(t *testing.T) {
	b := bustest.New(t)
	publishDead(t, b, deadOf("a", 0))
	read := findDead(t, b, bus.DeadQuery{Org: "a"}).Letters[0]
	publishDead(t, b, deadOf("a", 0))
	for range 2 {
		if err := b.RemoveDead(t.Context(), read); err != nil {
			t.Fatal(err)
		}
	}
	if page := findDead(t, b, bus.DeadQuery{Org: "a"}); page.Total != 1 || page.Letters[0].Attempts != 2 {
		t.Errorf("%+v", page)
	}
}

// A stream full of what is nowhere else sheds nothing: an alarm, and the letter
// that finds no room waits until somebody makes some.
func TestPublishDead_WaitsWhileEverythingIsTheOnlyCopy(t *testing.T) {
	cfg := bustest.Config(t)
	cfg.MaxBytes = 12 << 20 // DEAD: 1 MiB
	b := bustest.Connect(t, cfg)
	letter := func(n int) bus.DeadLetter {
		return bus.DeadLetter{ID: fmt.Sprint(n), Stage: bus.StageNormalize, Org: "a", Reason: "x", Bytes: make([]byte, 100<<10)}
	}
	full := 0
	for ; full < 20; full++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := b.PublishDead(ctx, letter(full))
		cancel()
		if err != nil {
			break
		}
	}
	if full < 8 || full == 20 {
		t.Fatalf("full after %d letters", full)
	}
	if n := findDead(t, b, bus.DeadQuery{Org: "a"}).Total; n != full {
		t.Errorf("%d of %d are left: the only copy of something was shed", n, full)
	}
	if b.FullAlarms() == 0 {
		t.Error("no alarm")
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	go func() { done <- b.PublishDead(ctx, letter(100)) }()
	l := findDead(t, b, bus.DeadQuery{Org: "a", Limit: 100}).Letters
	for _, one := range l[:3] {
		if err := b.RemoveDead(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("there is room, and it does not get it: %v", err)
	}
}

func TestTrim_CountsWhatWaits(t *testing.T) {
	reg := prometheus.NewRegistry()
	b, err := bus.Connect(t.Context(), bustest.Config(t), bustest.Log(t), reg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	old := deadOf("a", 0)
	old.FirstAt, old.At = change.At(time.Now().Add(-time.Hour)), change.At(time.Now())
	publishDead(t, b, old, deadOf("a", 1), deadOf("b", 2), bus.DeadLetter{Stage: bus.StageFrame, Reason: "a hole"})
	gone := findDead(t, b, bus.DeadQuery{Org: "b"}).Letters[0]
	if err := b.DiscardDead(t.Context(), gone, bus.Discard{By: "jane"}); err != nil {
		t.Fatal(err)
	}
	if err := b.NewTrimmer(bus.KeepStored).Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	depth, oldest := gauges(t, reg, "whatchanged_bus_dead_depth"), gauges(t, reg, "whatchanged_bus_dead_oldest_seconds")
	want := map[string]float64{"normalize": 2, "frame": 1, "insert": 0, "fetch": 0, "alert": 0, "forward": 0}
	if diff := cmp.Diff(want, depth); diff != "" {
		t.Errorf("depth (-want +got):\n%s", diff)
	}
	if oldest["normalize"] < 3600 || oldest["frame"] > 60 || oldest["insert"] != 0 {
		t.Errorf("oldest %v", oldest)
	}
}

func gauges(t *testing.T, reg *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				out[label(m)] = m.GetGauge().GetValue()
			}
		}
	}
	return out
}

func label(m *dto.Metric) string { return m.GetLabel()[0].GetValue() }

func TestExclusively_OneAtATimeInAllProcesses(t *testing.T) {
	b := bustest.New(t)
	var mu sync.Mutex
	inside, most := 0, 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := b.Exclusively(t.Context(), "it", 30*time.Second, func(context.Context) error {
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				inside--
				mu.Unlock()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most != 1 {
		t.Errorf("%d at the same time", most)
	}
	err := b.Exclusively(t.Context(), "it", time.Second, func(context.Context) error {
		other := b.Exclusively(t.Context(), "another", time.Second, func(context.Context) error { return errors.New("its own") })
		if other == nil || !strings.Contains(other.Error(), "its own") {
			t.Errorf("another thing: %v", other)
		}
		return b.Exclusively(t.Context(), "it", time.Millisecond, func(context.Context) error { return nil })
	})
	if problem.KindOf(err) != problem.Busy {
		t.Errorf("while somebody is at it: %v", err)
	}
}
