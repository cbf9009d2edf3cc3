package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

// The positions in the bucket STATE are read, moved on and written again.
func TestPositions_KeepWhatALaterVersionWrote(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	kv := b.KV(bus.BucketState)
	f := func(key string, move func(context.Context) error) {
		t.Helper()
		commit(t, c, delivery(1, "{}"))
		if err := move(t.Context()); err != nil {
			t.Fatal(err)
		}
		entry, err := kv.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		with := strings.Replace(string(entry.Value()), "{", `{"later":{"x":12345678901234567890},`, 1)
		if _, err := kv.PutString(t.Context(), key, with); err != nil {
			t.Fatal(err)
		}
		commit(t, c, delivery(2, "{}"))
		if err := move(t.Context()); err != nil {
			t.Fatal(err)
		}
		moved, err := kv.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if moved.Revision() == entry.Revision()+1 || !strings.Contains(string(moved.Value()), `"later":{"x":12345678901234567890}`) {
			t.Errorf("%s at revision %d is %s", key, moved.Revision(), moved.Value())
		}
	}
	f("auditor."+bus.Deliveries, b.NewAuditor().Audit)
	f("counter."+bus.Deliveries, b.NewCounter(func(context.Context, []bus.Receipt) error { return nil }).Count)
}

// A letter is written again when the same thing fails again, and when it is
// given up; a log file when it is asked for again.
func TestDeadLetters_KeepWhatALaterVersionWrote(t *testing.T) {
	b := bustest.New(t)
	file := bus.LogFile{Org: "acme", SourceID: "src_1", DeliveryID: change.DeliveryID{1}, Bucket: "logs", Key: "one.json", Later: `{"checksum":"abc"}`}
	letter := file.Letter("gone")
	letter.Later = `{"severity":{"x":1}}`
	if err := b.PublishDead(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	read := func() bus.DeadLetter {
		t.Helper()
		d, err := b.DeadLetter(t.Context(), "acme", letter.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d.Later != `{"severity":{"x":1}}` {
			t.Errorf("a later version's members are %q", d.Later)
		}
		return d
	}
	d := read()
	var again bus.LogFile
	if err := json.Unmarshal(d.Task, &again); err != nil || again.Later != file.Later || again.Key != file.Key {
		t.Errorf("the task is %+v, %v", again, err)
	}
	twice := file.Letter("gone")
	if err := b.PublishDead(t.Context(), twice); err != nil { // by one who knows nothing of it
		t.Fatal(err)
	}
	if d = read(); d.Attempts != 2 {
		t.Errorf("%d attempts", d.Attempts)
	}
	if err := b.DiscardDead(t.Context(), d, bus.Discard{By: "mona", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	if d = read(); d.Discarded == nil {
		t.Error("it is not discarded")
	}

	// On its way through the queue, and into a letter of this version.
	if err := b.PublishFetch(t.Context(), change.Bulk, again); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	err := b.ConsumeFetches(ctx, 1, func(_ context.Context, f bus.LogFile) error {
		if task := string(f.Letter("x").Task); !strings.Contains(task, `"checksum":"abc"`) {
			t.Errorf("its letter would have the task %s", task)
		}
		stop()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
