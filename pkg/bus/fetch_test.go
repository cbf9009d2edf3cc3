package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

func noticed(key string, at time.Time) bus.LogFile {
	return bus.LogFile{
		Org: "acme", SourceID: "src_1", DeliveryID: change.NewDeliveryID(at), Bucket: "trail", Key: key, Region: "eu-west-1", NoticedAt: change.At(at),
	}
}

// queued is how many log files wait.
func queued(t *testing.T, b *bus.Bus) uint64 {
	t.Helper()
	st, err := b.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range st.Streams {
		if s.Name == bus.Fetch {
			return s.Messages
		}
	}
	t.Fatal("there is no stream of log files")
	return 0
}

func TestFetch_AFileLeavesTheQueueWhenItIsDone(t *testing.T) {
	b := bustest.New(t)
	want := noticed("AWSLogs/1.json.gz", time.Now())
	for range 2 { // the frame of its notice is handled twice
		if err := b.PublishFetch(t.Context(), change.Fresh, want); err != nil {
			t.Fatal(err)
		}
	}
	if n := queued(t, b); n != 1 {
		t.Errorf("%d files wait, want one", n)
	}
	tries := &seen{}
	background(t, func(ctx context.Context) error {
		return b.ConsumeFetches(ctx, 2, func(_ context.Context, got bus.LogFile) error {
			if got != want {
				return fmt.Errorf("got %+v, want %+v", got, want)
			}
			tries.add(got.Key)
			if tries.len() == 1 {
				return errors.New("not yet")
			}
			return nil
		})
	})
	eventually(t, "the queue is empty", func() bool { return queued(t, b) == 0 })
	if tries.len() != 2 {
		t.Errorf("%d tries, want two", tries.len())
	}
}

func TestFetch_WhatCannotWorkAndWhatTakesADayAreDeadLetters(t *testing.T) {
	b := bustest.New(t)
	bad, late, slow := noticed("bad", time.Now()), noticed("late", time.Now().Add(-25*time.Hour)), noticed("slow", time.Now())
	for _, f := range []bus.LogFile{bad, late, slow} {
		if err := b.PublishFetch(t.Context(), change.Bulk, f); err != nil {
			t.Fatal(err)
		}
	}
	background(t, func(ctx context.Context) error {
		return b.ConsumeFetches(ctx, 1, func(_ context.Context, f bus.LogFile) error {
			if f.Key == "bad" {
				return fmt.Errorf("%w: it is no log file", change.ErrMalformed)
			}
			return errors.New("the endpoint is down")
		})
	})
	eventually(t, "two of three are buried", func() bool { return queued(t, b) == 1 })
	page, err := b.DeadLetters(t.Context(), bus.DeadQuery{Org: "acme"})
	letters := page.Letters
	if err != nil || len(letters) != 2 {
		t.Fatalf("dead letters %+v, %v", letters, err)
	}
	for _, l := range letters {
		about := bad
		if l.DeliveryID == late.DeliveryID {
			about = late
		}
		if l.Stage != bus.StageFetch || l.DeliveryID != about.DeliveryID || !strings.HasPrefix(l.Reason, "fetch s3://trail/"+about.Key+": ") || l.FirstError == "" {
			t.Errorf("dead letter %+v", l)
		}
	}
}

// Two files of one notice are two dead letters.
func TestFetch_EachFileHasALetterOfItsOwn(t *testing.T) {
	one := noticed("1", time.Now())
	two := one
	two.Key = "2"
	if a, b := one.Letter("full"), two.Letter("full"); a.ID == b.ID || !strings.HasPrefix(a.ID, "ded_") {
		t.Errorf("ids %s and %s", a.ID, b.ID)
	}
}
