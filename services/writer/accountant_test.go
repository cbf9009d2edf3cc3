package writer_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/services/writer"
)

// An account that does not close is an alarm: a metric, one line in the log,
// and a word to whoever mends it. When it closes again, one line more.
func TestAccountant_SaysOnceThatTheAccountDoesNotClose(t *testing.T) {
	p := newPipeline(t)
	var logged bytes.Buffer
	var since []time.Time
	metrics := prometheus.NewRegistry()
	a, err := writer.NewAccountant(writer.AccountantDeps{
		Bus: p.bus, Books: p.store, Missing: func(at time.Time) { since = append(since, at) },
		Log: slog.New(slog.NewTextHandler(&logged, nil)), Metrics: metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	later := time.Duration(0)
	writer.SetClock(a, func() time.Time { return time.Now().Add(later) })
	counter := p.bus.NewCounter(a.Enter)
	turn := func() error {
		if err := counter.Count(t.Context()); err != nil {
			return err
		}
		return a.Turn(t.Context())
	}
	want := func(metric string, want float64) error {
		if got := value(t, metrics, "whatchanged_account_"+metric, ""); got != want {
			return fmt.Errorf("%s is %v, want %v", metric, got, want)
		}
		return nil
	}
	lines := func(level string) int { return strings.Count(logged.String(), "level="+level) }

	const count = 5
	first := p.deliver(`{"n": 0}`)
	for n := range count - 1 {
		p.deliver(fmt.Sprintf(`{"n": %d}`, n+1))
	}
	eventually(t, "the account to close", func() error {
		if err := turn(); err != nil {
			return err
		}
		if n := p.rows("deliveries"); n != count {
			return fmt.Errorf("%d rows", n)
		}
		return want("in_flight", 0)
	})
	if err := want("closed", 1); err != nil {
		t.Error(err)
	}

	for state, n := range map[string]float64{"received": count, "stored": count, "dead": 0, "missing": 0} {
		if got := value(t, metrics, "whatchanged_account_deliveries", state); got != n {
			t.Errorf("%v deliveries are %s, want %v", got, state, n)
		}
	}

	p.exec("TRUNCATE TABLE deliveries")
	later = 4 * time.Minute // the minute is over long enough
	for n := range 3 {
		if err := turn(); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{want("missing", count), want("closed", 0), want("in_flight", 0)} {
			if err != nil {
				t.Errorf("turn %d: %v", n, err)
			}
		}
	}
	if lines("ERROR") != 1 || !strings.Contains(logged.String(), "source_id=src_1") {
		t.Errorf("want one alarm that names the source:\n%s", &logged)
	}
	if len(since) != 3 || since[0].After(first.ReceivedAt.Time) || time.Since(since[0]) > 10*time.Minute {
		t.Errorf("told of %v; the first came at %s", since, first.ReceivedAt)
	}

	r := newReconciler(t, p.bus, p.store)
	later = 20 * time.Minute // an open minute is looked at again however old it is
	eventually(t, "the account to close again", func() error {
		if err := r.Turn(t.Context()); err != nil {
			return err
		}
		if err := turn(); err != nil {
			return err
		}
		return want("missing", 0)
	})
	if lines("ERROR") != 1 || lines("INFO") != 1 {
		t.Errorf("want one line more:\n%s", &logged)
	}
}

func TestAccountant_SeesSinceWhenSomethingIsInFlight(t *testing.T) {
	p := newPipeline(t)
	metrics := prometheus.NewRegistry()
	a, err := writer.NewAccountant(writer.AccountantDeps{
		Bus: p.bus, Books: p.store, Missing: func(time.Time) {}, Log: slog.New(slog.DiscardHandler), Metrics: metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	block := make(chan struct{})
	p.hold.Store(&block)
	p.deliver(`{"n": 0}`)
	writer.SetClock(a, func() time.Time { return time.Now().Add(10 * time.Minute) })
	if err := a.Turn(t.Context()); err != nil { // nobody has counted it yet
		t.Fatal(err)
	}
	flying, oldest := value(t, metrics, "whatchanged_account_in_flight", ""), value(t, metrics, "whatchanged_account_in_flight_oldest_seconds", "")
	missing := value(t, metrics, "whatchanged_account_missing", "")
	if flying != 1 || oldest < 500 || missing != 0 {
		t.Errorf("in flight %v, since %v s, missing %v", flying, oldest, missing)
	}
	close(block)
	eventually(t, "it to have landed", func() error {
		if err := a.Turn(context.WithoutCancel(t.Context())); err != nil {
			return err
		}
		if n := value(t, metrics, "whatchanged_account_in_flight", ""); n != 0 {
			return fmt.Errorf("%v in flight", n)
		}
		return nil
	})
}

func TestNewAccountant_SaysWhatIsMissing(t *testing.T) {
	if _, err := writer.NewAccountant(writer.AccountantDeps{}); err == nil {
		t.Error("no dependencies, and no error")
	}
}
