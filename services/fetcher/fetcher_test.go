package fetcher_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
	"whatchanged/services/fetcher"
)

const key = "AWSLogs/123456789012/CloudTrail/eu-central-1/2026/03/30/123456789012_CloudTrail_eu-central-1_20260330T1200Z_abc.json.gz"

func TestFetcher_ANoticedLogFileIsADeliveryOfItsSource(t *testing.T) {
	p := newProduct(t)
	p.s3.put(key, zipped(t, logFile(3)))
	plain := strings.TrimSuffix(key, ".gz")
	p.s3.put(plain, []byte(strings.ReplaceAll(string(logFile(1)), "sg-0", "sg-plain")))
	p.start(bustest.New(t), true)
	notice := p.notice(key, plain)

	files := p.fetched(2)
	identities := map[string]change.Outcome{}
	for _, d := range files {
		identities[d.Identity] = d.Outcome
		if d.SourceID != "src_trail" || d.DetectedBy != "source" && !strings.HasPrefix(d.DetectedBy, "shape:") {
			t.Errorf("delivery %+v", d)
		}
	}
	for _, k := range []string{key, plain} {
		if identities["s3:"+bucket+"/"+k] != change.Stored {
			t.Errorf("outcomes %v", identities)
		}
	}
	if got := p.changes(); len(got) != 3 { // the plain file repeats an event
		t.Errorf("changes %q, want three", got)
	}
	d, err := p.store.Delivery(t.Context(), "acme", notice)
	if err != nil || d.Outcome != change.Ignored || !strings.Contains(d.Reason, "log file is fetched") {
		t.Errorf("the notice ended %s: %s (%v)", d.Outcome, d.Reason, err)
	}
}

func TestFetcher_AnObjectAnnouncedTwiceIsTakenInOnce(t *testing.T) {
	p := newProduct(t)
	p.s3.put(key, zipped(t, logFile(2)))
	p.start(bustest.New(t), true)
	p.notice(key)
	p.fetched(1)
	p.notice(key)
	files := p.fetched(2)
	if files[0].Outcome != change.Stored || files[1].Outcome != change.Duplicate || files[1].Conflict {
		t.Errorf("outcomes %s and %s (%s)", files[0].Outcome, files[1].Outcome, files[1].Reason)
	}
	if got := p.changes(); len(got) != 2 {
		t.Errorf("changes %q, want two", got)
	}
}

func TestFetcher_WhatCannotBeFetchedIsADeadLetter(t *testing.T) {
	f := func(outcome, says string, arrange func(*product)) {
		t.Helper()
		t.Run(outcome, func(t *testing.T) {
			p := newProduct(t)
			arrange(p)
			p.start(bustest.New(t), true)
			notice := p.notice(key)
			p.tried(outcome)
			letter := p.letter()
			if letter.Stage != bus.StageFetch || letter.DeliveryID != notice || letter.SourceID != "src_trail" ||
				!strings.Contains(letter.Reason, "s3://"+bucket+"/"+key) || !strings.Contains(letter.Reason, says) {
				t.Errorf("dead letter %+v", letter)
			}
			if strings.Contains(letter.Reason, rootSecret) {
				t.Error("the dead letter holds a secret")
			}
		})
	}
	f("missing", "no such object", func(*product) {})
	f("no_credentials", "no AWS credentials", func(p *product) {
		p.s3.put(key, zipped(t, logFile(1)))
		p.account.Store(nil)
	})
	f("too_large", "at most 100", func(p *product) {
		p.s3.put(key, zipped(t, logFile(50)))
		p.cfg.MaxObject = 100
	})
	f("malformed", "gzip", func(p *product) { p.s3.put(key, zipped(t, logFile(50))[:200]) })
}

// A permission is given when somebody sees that it is missing.
func TestFetcher_DeniedIsTriedAgainUntilItIsAllowed(t *testing.T) {
	p := newProduct(t)
	p.s3.addStranger()
	p.s3.put(key, zipped(t, logFile(1)))
	good := *p.account.Load()
	stranger := good
	stranger.AccessKeyID, stranger.Secret = strangerID, auth.Secret(strangerIs)
	p.account.Store(&stranger)
	p.start(bustest.New(t), true)
	p.notice(key)
	p.tried("denied")
	p.account.Store(&good)
	if d := p.fetched(1)[0]; d.Outcome != change.Stored {
		t.Errorf("outcome %s: %s", d.Outcome, d.Reason)
	}
}

func TestFetcher_WaitsForAnEndpointThatIsDown(t *testing.T) {
	p := newProduct(t)
	p.s3.put(key, zipped(t, logFile(1)))
	p.s3.stop()
	p.start(bustest.New(t), true)
	p.notice(key)
	p.tried("failed")
	p.s3.start()
	if d := p.fetched(1)[0]; d.Outcome != change.Stored {
		t.Errorf("outcome %s: %s", d.Outcome, d.Reason)
	}
}

func TestFetcher_ALargeFileIsSplitBetweenItsRecords(t *testing.T) {
	p := newProduct(t)
	const records = 40
	p.s3.put(key, zipped(t, logFile(records)))
	p.cfg.MaxBody = len(logFile(records)) / 4
	p.start(bustest.New(t), true)
	p.notice(key)
	files := p.fetched(5) // a quarter is a little less than ten records
	slices.SortFunc(files, func(a, b store.Delivery) int { return strings.Compare(a.Identity, b.Identity) })
	total := 0
	for i, d := range files {
		want := "s3:" + bucket + "/" + key
		if i > 0 {
			want += fmt.Sprint("#", i+1)
		}
		if d.Identity != want || d.Outcome != change.Stored || d.Size > p.cfg.MaxBody {
			t.Errorf("part %d: %s, %s, %d bytes", i+1, d.Identity, d.Outcome, d.Size)
		}
		total += d.Changes
	}
	if total != records || len(p.changes()) != records {
		t.Errorf("%d changes in parts and %d stored, want %d", total, len(p.changes()), records)
	}
	p.notice(key)
	count := map[change.Outcome]int{}
	for _, d := range p.fetched(10) {
		if count[d.Outcome]++; d.Conflict {
			t.Errorf("%s has another body the second time", d.Identity)
		}
	}
	if diff := cmp.Diff(map[change.Outcome]int{change.Stored: 5, change.Duplicate: 5}, count); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// The process ends after the notice is settled, and before its file is fetched.
func TestFetcher_ARestartForgetsNoFile(t *testing.T) {
	p := newProduct(t)
	p.s3.put(key, zipped(t, logFile(2)))
	cfg := bustest.Config(t)
	b, err := bus.Connect(t.Context(), cfg, bustest.Log(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	p.start(b, false)
	notice := p.notice(key)
	p.eventually(func() error {
		_, err := p.store.Delivery(t.Context(), "acme", notice)
		return err
	})
	p.stop()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	p.start(bustest.Connect(t, cfg), true)
	t.Cleanup(p.stop) // before the bus closes
	if d := p.fetched(1)[0]; d.Outcome != change.Stored || d.Changes != 2 {
		t.Errorf("outcome %s, %d changes", d.Outcome, d.Changes)
	}
}

// unsure commits, and then does not say so, the first time.
type unsure struct {
	fetcher.Committer
	told atomic.Bool
}

func (u *unsure) Commit(ctx context.Context, d *change.Delivery) (bus.Position, error) {
	pos, err := u.Committer.Commit(ctx, d)
	if err == nil && !u.told.Swap(true) {
		return pos, errors.New("the answer is lost")
	}
	return pos, err
}

// The process ends after the file is committed, and before it is off the queue.
func TestFetcher_AFileCommittedTwiceIsTakenInOnce(t *testing.T) {
	p := newProduct(t)
	p.s3.put(key, zipped(t, logFile(2)))
	p.wrap = func(c fetcher.Committer) fetcher.Committer { return &unsure{Committer: c} }
	p.start(bustest.New(t), true)
	p.notice(key)
	files := p.fetched(2)
	if files[0].Outcome != change.Stored || files[1].Outcome != change.Duplicate || len(p.changes()) != 2 {
		t.Errorf("outcomes %s and %s, %d changes", files[0].Outcome, files[1].Outcome, len(p.changes()))
	}
}
