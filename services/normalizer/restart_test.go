package normalizer_test

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/store/storetest"
	"whatchanged/services/writer"
)

// A sender that got no answer because we died sends again as soon as we are
// back, before anything has come out at the other end.
func TestRestart_ARepeatOfWhatIsNotStoredYetIsADuplicate(t *testing.T) {
	p := &pipeline{t: t, bus: bustest.New(t), store: storetest.New(t)}
	p.committer = p.bus.NewCommitter(change.Fresh)
	run(t, p.committer.Run)
	const body, header, key = `{"title":"Raise the pool size"}`, "Idempotency-Key", "k-1"

	stop := run(t, p.service(p.store).Run)
	p.deliver(body, header, key)
	p.eventually(func() error {
		now, err := p.bus.Progress(t.Context())
		if err == nil && now.ChangesEnd == 0 {
			err = fmt.Errorf("nothing is normalized yet")
		}
		return err
	})
	stop()

	again := p.deliver(body, header, key)
	run(t, p.service(p.store).Run)
	p.eventually(func() error {
		now, err := p.bus.Progress(t.Context())
		if err == nil && now.ChangesEnd < 2 {
			err = fmt.Errorf("the repeat is not normalized yet")
		}
		return err
	})
	w, err := writer.New(writer.Deps{Bus: p.bus, Store: p.store, Log: bustest.Log(t), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	run(t, w.RunChanges)
	if d := p.outcome(again); d.Outcome != change.Duplicate {
		t.Errorf("the repeat is %s", d.Outcome)
	}
	p.stored(1)
}
