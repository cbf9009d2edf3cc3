package normalizer_test

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/store/storetest"
	"whatchanged/services/normalizer"
	"whatchanged/services/writer"
)

// The payload names no time, so a second change of it would have an id of its own.
func TestService_KnowsARepeatAfterARestartThoughTheFirstIsNotYetStored(t *testing.T) {
	p := &pipeline{t: t, bus: bustest.New(t), store: storetest.New(t)}
	p.committer = p.bus.NewCommitter(change.Fresh)
	run(t, p.committer.Run)
	stop := run(t, p.service(p.store).Run)
	first := p.deliver(`{"title":"Deploy api","author":"jane"}`, "Idempotency-Key", "build-1")
	p.eventually(func() error {
		now, err := p.bus.Progress(t.Context())
		if err != nil || now.ChangesEnd == 0 {
			return fmt.Errorf("nothing is normalized yet: %w", err)
		}
		return nil
	})
	stop()

	run(t, p.service(p.store).Run) // another process, with an empty memory
	again := p.deliver(`{"title":"Deploy api","author":"jane"}`, "Idempotency-Key", "build-1")
	w, err := writer.New(writer.Deps{Bus: p.bus, Store: p.store, Log: bustest.Log(t), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	p.eventually(func() error {
		now, err := p.bus.Progress(t.Context())
		if err != nil || now.ChangesEnd < 2 {
			return fmt.Errorf("the repeat is not normalized yet: %w", err)
		}
		return nil
	})
	run(t, w.RunChanges)
	if d := p.outcome(first); d.Outcome != change.Stored {
		t.Errorf("the first ended %s: %s", d.Outcome, d.Reason)
	}
	if d := p.outcome(again); d.Outcome != change.Duplicate {
		t.Errorf("the repeat ended %s: %s", d.Outcome, d.Reason)
	}
	p.stored(1)
}

func TestService_APanicIsADeadLetterAndTheNextGoesOn(t *testing.T) {
	p := start(t)
	panicked := false
	n, err := normalizer.New(change.Fresh, normalizer.Deps{
		Bus: p.bus, Known: p.store, Normalizers: all.Set(), Log: bustest.Log(t), Metrics: prometheus.NewRegistry(),
		Settings: func(string, string) normalizers.Settings {
			if !panicked {
				panicked = true
				panic("a fault of ours")
			}
			return normalizers.Settings{}
		},
		Fetches: func(string, string) bool { return false },
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, n.Run)
	bad, good := p.deliver(`{"title":"one"}`), p.deliver(`{"title":"two"}`)
	if d := p.outcome(bad); d.Outcome != change.Dead {
		t.Errorf("what broke the normalizer ended %s", d.Outcome)
	}
	if d := p.outcome(good); d.Outcome != change.Stored {
		t.Errorf("the next ended %s: %s", d.Outcome, d.Reason)
	}
	page, err := p.bus.DeadLetters(t.Context(), bus.DeadQuery{Org: "acme"})
	if err != nil || len(page.Letters) != 1 || page.Letters[0].DeliveryID != bad {
		t.Errorf("dead letters: %+v, %v", page.Letters, err)
	}
}
