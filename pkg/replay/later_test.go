package replay_test

import (
	"encoding/json"
	"testing"
	"time"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/replay"
)

// The ledger is one value for all jobs of an org: whoever changes one must not
// take from it what a later version has put in.
func TestJobs_KeepWhatALaterVersionWrote(t *testing.T) {
	ctx, kv := t.Context(), bustest.New(t).KV(bus.BucketState)
	jobs := replay.NewJobs(kv)
	first, _, err := jobs.Submit(ctx, replay.NewID(time.Now()), replay.Request{Org: "acme", Start: change.At(time.Now().Add(-time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	type ledger struct {
		Jobs  []map[string]any `json:"jobs"`
		Run   int              `json:"run"`
		Later any              `json:"later"`
	}
	var l ledger
	load := func() {
		t.Helper()
		entry, err := kv.Get(ctx, "replays.acme")
		if err != nil {
			t.Fatal(err)
		}
		l = ledger{}
		if err := json.Unmarshal(entry.Value(), &l); err != nil {
			t.Fatal(err)
		}
	}
	load()
	l.Later, l.Jobs[0]["later"] = "kept", "too"
	text, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(ctx, "replays.acme", text); err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error {
			_, _, err := jobs.Submit(ctx, replay.NewID(time.Now()), replay.Request{Org: "acme", Start: change.At(time.Now().Add(-2 * time.Hour))})
			return err
		},
		func() error { _, err := jobs.Begin(ctx, "acme", first.ID, 5, 0); return err },
		func() error {
			_, err := jobs.Update(ctx, "acme", first.ID, func(j *replay.Job) error { j.Counts.Deliveries = 5; return nil })
			return err
		},
		func() error { _, err := jobs.Cancel(ctx, "acme", first.ID); return err },
		func() error { _, err := jobs.Resume(ctx, "acme", first.ID); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	load()
	if len(l.Jobs) != 2 || l.Later != "kept" || l.Jobs[0]["later"] != "too" || l.Jobs[1]["later"] != nil {
		t.Errorf("the ledger has %+v", l)
	}
}
