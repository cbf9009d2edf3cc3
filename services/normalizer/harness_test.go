package normalizer_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
	"whatchanged/services/normalizer"
	"whatchanged/services/writer"
)

func TestMain(m *testing.M) { os.Exit(chdbtest.Main(m)) }

// patience is how long a test waits for something that must come.
const patience = 30 * time.Second

// pipeline is a bus, a store, and all between them.
type pipeline struct {
	t         *testing.T
	bus       *bus.Bus
	store     *store.Store
	committer *bus.Committer
	settings  normalizers.Settings
	fetches   bool
}

func start(t *testing.T) *pipeline {
	t.Helper()
	p := &pipeline{t: t, bus: bustest.New(t), store: storetest.New(t)}
	p.committer = p.bus.NewCommitter(change.Fresh)
	w, err := writer.New(writer.Deps{Bus: p.bus, Store: p.store, Log: bustest.Log(t), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	run(t, p.committer.Run)
	run(t, w.RunChanges)
	run(t, w.RunBulkChanges)
	return p
}

// service returns a normalizer with an empty memory.
func (p *pipeline) service(known normalizer.Known) *normalizer.Service {
	p.t.Helper()
	n, err := normalizer.New(change.Fresh, normalizer.Deps{
		Bus: p.bus, Known: known, Normalizers: all.Set(), Log: bustest.Log(p.t), Metrics: prometheus.NewRegistry(),
		Settings: func(string, string) normalizers.Settings { return p.settings },
		Fetches:  func(string, string) bool { return p.fetches },
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// run runs a part of the pipeline until the returned function is called, or the
// test ends.
func run(t *testing.T, part func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = part(ctx) }) // it ends with ctx's error
	stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// deliver commits a delivery as the receiver would.
func (p *pipeline) deliver(body string, headers ...string) change.DeliveryID {
	p.t.Helper()
	return p.deliverAs("", body, headers...)
}

// deliverAs is deliver through a source that pins the provider.
func (p *pipeline) deliverAs(provider, body string, headers ...string) change.DeliveryID {
	p.t.Helper()
	header := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		header.Set(headers[i], headers[i+1])
	}
	now := time.Now()
	d := &change.Delivery{
		ID: change.NewDeliveryID(now), Org: "acme", SourceID: "src_1", ReceivedAt: change.At(now),
		Header: header, Body: []byte(body), Identity: normalizers.Identity(header), Provider: provider,
	}
	if _, err := p.committer.Commit(p.t.Context(), d); err != nil {
		p.t.Fatalf("commit a delivery: %v", err)
	}
	return d.ID
}

// outcome waits for a delivery's row.
func (p *pipeline) outcome(id change.DeliveryID) store.Delivery {
	p.t.Helper()
	var got store.Delivery
	p.eventually(func() (err error) {
		got, err = p.store.Delivery(p.t.Context(), "acme", id)
		return err
	})
	return got
}

// changes returns all changes that are stored, oldest first.
func (p *pipeline) changes() []change.Change {
	p.t.Helper()
	page, err := p.store.FindChanges(p.t.Context(), store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}, Sort: store.Asc, Limit: 1000})
	if err != nil {
		p.t.Fatal(err)
	}
	return page.Data
}

// eventually waits until f returns nil.
func (p *pipeline) eventually(f func() error) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stored waits until n changes are stored and returns them.
func (p *pipeline) stored(n int) []change.Change {
	p.t.Helper()
	var got []change.Change
	p.eventually(func() error {
		if got = p.changes(); len(got) != n {
			return fmt.Errorf("%d changes are stored, want %d", len(got), n)
		}
		return nil
	})
	return got
}

// frames returns all frames of deliveries that are on the bus.
func (p *pipeline) frames() []*bus.DeliveryFrame {
	p.t.Helper()
	var frames []*bus.DeliveryFrame
	err := p.bus.Heads(p.t.Context(), 1, func(h bus.Head) error {
		f, err := p.bus.Frame(p.t.Context(), h.Seq)
		frames = append(frames, f)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return frames
}

// caughtUp waits until the writer is at the end of the bus.
func (p *pipeline) caughtUp() {
	p.t.Helper()
	p.eventually(func() error {
		now, err := p.bus.Progress(p.t.Context())
		if err != nil {
			return err
		}
		if now.Written < now.ChangesEnd {
			return fmt.Errorf("written %d of %d", now.Written, now.ChangesEnd)
		}
		return nil
	})
}
