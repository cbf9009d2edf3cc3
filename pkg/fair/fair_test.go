package fair

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

// records is a registry of orgs and of what is stored of them.
type records struct {
	orgs   map[string]*registry.Org
	usages map[string]*registry.Usage
}

func (r *records) Org(id string) (*registry.Org, bool)     { o, ok := r.orgs[id]; return o, ok }
func (r *records) Usage(id string) (*registry.Usage, bool) { u, ok := r.usages[id]; return u, ok }

// world is Orgs whose clock the test turns.
type world struct {
	*Orgs
	*records
	now     time.Time
	waiting int
	lag     uint64
	lagErr  error
}

func newWorld(tb testing.TB, edit ...func(*Config)) *world {
	tb.Helper()
	cfg := DefaultConfig()
	for _, f := range edit {
		f(&cfg)
	}
	w := &world{records: &records{orgs: map[string]*registry.Org{}, usages: map[string]*registry.Usage{}}}
	var err error
	w.Orgs, err = New(Deps{
		Registry: w.records, Waiting: func() int { return w.waiting },
		Lag: func(context.Context) (uint64, error) { return w.lag, w.lagErr },
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	}, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	w.now = time.Now()
	w.looked = w.now
	return w
}

// send lets each org send so many deliveries a second for a while.
func (w *world) send(ctx context.Context, d time.Duration, rates map[string]int) {
	for range d / lookEvery {
		for id, rate := range rates {
			for range rate / int(time.Second/lookEvery) {
				w.Orgs.Org(id).take(100)
			}
		}
		w.now = w.now.Add(lookEvery)
		w.ask(ctx, w.now)
		w.look(w.now)
	}
}

// bulk lists which of the orgs are on the lane bulk.
func (w *world) bulk(ids ...string) (on []string) {
	for _, id := range ids {
		if w.Orgs.Org(id).bulk.Load() {
			on = append(on, id)
		}
	}
	return on
}

func TestOrgs_AFloodGoesToTheLaneBulkAndComesBack(t *testing.T) {
	w := newWorld(t)
	f := func(what string, d time.Duration, rates map[string]int, want ...string) {
		t.Helper()
		w.send(t.Context(), d, rates)
		if diff := cmp.Diff(want, w.bulk("quiet", "flood")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	f("who is alone is in nobody's way", 3*time.Second, map[string]int{"flood": 2000})
	f("as soon as there is another, he is", lookEvery, map[string]int{"flood": 2000, "quiet": 20}, "flood")
	f("also while the other is silent for minutes", 5*time.Minute, map[string]int{"flood": 2000}, "flood")
	f("and not forgotten at once", 2*time.Second, map[string]int{"flood": 100, "quiet": 20}, "flood")
	f("when he is like the others again, he is served like them", 30*time.Second, map[string]int{"flood": 50, "quiet": 20})
}

func TestOrgs_WithoutABacklogAllAreServedAlike(t *testing.T) {
	rates := map[string]int{"quiet": 5, "flood": 150}
	for name, c := range map[string]struct {
		edit func(*world)
		want []string
	}{
		"nothing waits":                     {func(*world) {}, nil},
		"deliveries wait to be committed":   {func(w *world) { w.waiting = manyWaiting }, []string{"flood"}},
		"frames wait to be normalized":      {func(w *world) { w.lag = manyBehind }, []string{"flood"}},
		"what waits cannot be known either": {func(w *world) { w.lag, w.lagErr = manyBehind, errors.New("not permitted") }, nil},
	} {
		w := newWorld(t)
		c.edit(w)
		w.send(t.Context(), 3*time.Second, rates)
		if diff := cmp.Diff(c.want, w.bulk("quiet", "flood")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestOrgs_WhoSendsLittleStaysWhateverTheOthersDo(t *testing.T) {
	w := newWorld(t)
	rates := map[string]int{"a": 10, "b": 20, "c": 15, "big": 1500, "bigger": 2000, "biggest": 4000}
	w.send(t.Context(), 2*time.Second, rates)
	if diff := cmp.Diff([]string{"big", "bigger", "biggest"}, w.bulk("a", "b", "c", "big", "bigger", "biggest")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Orgs that are all alike are nobody's flood.
	w = newWorld(t)
	w.send(t.Context(), 2*time.Second, map[string]int{"a": 1000, "b": 1200, "c": 1500})
	if got := w.bulk("a", "b", "c"); got != nil {
		t.Errorf("on the lane bulk: %v", got)
	}
}

func TestOrgs_LargeBodiesCountForMany(t *testing.T) {
	w := newWorld(t)
	w.Orgs.Org("quiet").take(100)
	for range 20 {
		w.Orgs.Org("large").take(1 << 20)
	}
	w.now = w.now.Add(lookEvery)
	w.look(w.now)
	if diff := cmp.Diff([]string{"large"}, w.bulk("quiet", "large")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOrg_LimitsAreItsOwnOrTheConfigurations(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.OrgRate, c.OrgBytes = 10, 1000 })
	w.orgs["own"] = &registry.Org{ID: "own", Limits: registry.Limits{Requests: 2, RequestBurst: 3, Bytes: 100, ByteBurst: 150}}
	w.orgs["bursts"] = &registry.Org{ID: "bursts", Limits: registry.Limits{RequestBurst: 30, ByteBurst: 3000}}
	w.orgs["free"] = &registry.Org{ID: "free", Limits: registry.Limits{Requests: -1, Bytes: -1}}
	f := func(org string, wantRequests, wantBytes int) {
		t.Helper()
		o := w.Orgs.Org(org)
		got := 0
		for ; got < 1000 && o.Admit(w.now) == nil; got++ {
		}
		if got != wantRequests {
			t.Errorf("%s: %d requests at once; want %d", org, got, wantRequests)
		}
		for got = 0; got < 10_000 && o.AdmitBytes(w.now, 10) == nil; got += 10 {
		}
		if got != wantBytes {
			t.Errorf("%s: %d bytes at once; want %d", org, got, wantBytes)
		}
	}
	f("own", 3, 150)
	f("other", 20, 2000)
	f("bursts", 30, 3000) // with the configuration's rates
	f("free", 1000, 10_000)

	e := w.Orgs.Org("own").Admit(w.now)
	if e == nil || e.Status() != 429 || e.Reason != reasonRequests || e.RetryAfter < time.Second {
		t.Errorf("refused with %+v", e)
	}
	if e := w.Orgs.Org("own").AdmitBytes(w.now.Add(time.Minute), 1<<20); e != nil {
		t.Errorf("a body larger than the burst never comes in: %v", e)
	}

	// What the record says later counts from the next look on.
	w.orgs["own"] = &registry.Org{ID: "own", Limits: registry.Limits{Requests: 100}}
	w.look(w.now)
	w.now = w.now.Add(10 * time.Second)
	f("own", 200, 2000)
}

func TestOrg_WhoHasStoredHisQuotaIsRefused(t *testing.T) {
	w := newWorld(t)
	o := w.Orgs.Org("acme")
	w.orgs["acme"] = &registry.Org{ID: "acme", QuotaBytes: 1000}
	w.usages["acme"] = &registry.Usage{Org: "acme", Bytes: 999}
	w.look(w.now)
	if e := o.Admit(w.now); e != nil {
		t.Errorf("below the quota: %v", e)
	}
	w.usages["acme"] = &registry.Usage{Org: "acme", Bytes: 1000}
	w.look(w.now)
	if e := o.Admit(w.now); e == nil || e.Reason != "quota" || e.Kind != problem.RateLimited || e.RetryAfter != quotaRetry {
		t.Errorf("at the quota: %+v", e)
	}
	w.orgs["acme"] = &registry.Org{ID: "acme", QuotaBytes: -1}
	w.look(w.now)
	if e := o.Admit(w.now); e != nil {
		t.Errorf("without a quota: %v", e)
	}
}

func TestOrgs_RemembersOnlySoMany(t *testing.T) {
	w := newWorld(t)
	for i := range maxOrgs + 10 {
		w.Orgs.Org(fmt.Sprint(i))
	}
	if n := len(w.young); n > maxOrgs {
		t.Errorf("%d orgs are remembered", n)
	}
	w.look(w.now)
	w.look(w.now.Add(forgotten + time.Second))
	w.look(w.now.Add(forgotten + time.Second))
	if n := len(*w.known.Load()); n != 0 {
		t.Errorf("%d orgs are remembered after an hour of silence", n)
	}
}

func TestLanes_CommitOnTheLaneOfTheOrg(t *testing.T) {
	w := newWorld(t)
	var fresh, bulk lane
	l := Lanes{Orgs: w.Orgs, Fresh: &fresh, Bulk: &bulk}
	w.Orgs.Org("flood").bulk.Store(true)
	for _, org := range []string{"flood", "quiet", "flood"} {
		if _, err := l.Commit(t.Context(), &change.Delivery{Org: org}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([][]string{{"quiet"}, {"flood", "flood"}}, [][]string{fresh.orgs, bulk.orgs}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// lane is a committer that notes whose deliveries it got.
type lane struct{ orgs []string }

func (l *lane) Commit(_ context.Context, d *change.Delivery) (bus.Position, error) {
	l.orgs = append(l.orgs, d.Org)
	return bus.Position{}, nil
}

func TestConfig_NamesEveryFault(t *testing.T) {
	err := Config{OrgRate: -1, Share: 1}.Validate()
	for _, want := range []string{"org_rate", "busy_rate", "share"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

// BenchmarkOrg is what the decision adds to a request: limits, and the lane.
func BenchmarkOrg(b *testing.B) {
	w := newWorld(b)
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = fmt.Sprintf("org-%d", i)
		w.Orgs.Org(ids[i])
		w.orgs[ids[i]] = &registry.Org{ID: ids[i], Limits: registry.Limits{Requests: 1 << 29, Bytes: 1 << 39}}
	}
	w.settle(w.now)
	run := func(b *testing.B) {
		now := time.Now()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := rand.IntN(len(ids)); pb.Next(); i++ {
				o := w.Orgs.Org(ids[i%len(ids)])
				if o.Admit(now) != nil || o.AdmitBytes(now, 2000) != nil || o.take(2000) {
					b.Fatal("refused")
				}
			}
		})
	}
	b.Run("unlimited", run)
	w.look(w.now)
	w.look(w.now)
	b.Run("limited", run)
}
