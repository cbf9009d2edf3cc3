package normalizer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

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

// said is a log that can be read while it is written.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// breaks is a normalizer that cannot bear a payload, and quotes it.
type breaks struct{ normalizers.Normalizer }

func (breaks) Normalize(r normalizers.Record) (normalizers.Result, error) {
	panic(fmt.Sprintf("cannot make sense of %s", r.JSON))
}

// Where our code breaks on a payload, the log says where, and not on what: be
// it in a normalizer, around one, or in a consumer of the bus.
func TestService_APanicLogsNothingOfThePayload(t *testing.T) {
	log := &said{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b, err := bus.Connect(t.Context(), bustest.Config(t), logger, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	p := &pipeline{t: t, bus: b, store: storetest.New(t)}
	p.committer = b.NewCommitter(change.Fresh)
	w, err := writer.New(writer.Deps{Bus: b, Store: p.store, Log: logger, Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	marker := rand.Text()
	set := maps.Clone(all.Set())
	set[normalizers.Generic] = breaks{set[normalizers.Generic]}
	around := true
	n, err := normalizer.New(change.Fresh, normalizer.Deps{
		Bus: b, Known: p.store, Normalizers: set, Log: logger, Metrics: prometheus.NewRegistry(),
		Settings: func(string, string) normalizers.Settings {
			if around {
				around = false
				panic("around it: " + marker)
			}
			return normalizers.Settings{}
		},
		Fetches: func(string, string) bool { return false },
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, p.committer.Run)
	run(t, w.RunChanges)
	run(t, n.Run)
	run(t, func(ctx context.Context) error {
		return b.ConsumeDeliveryBatches(ctx, "breaks", "", bus.BatchLimit{Bytes: 1 << 20, Records: 100, Wait: time.Millisecond},
			func(_ context.Context, frames []*bus.DeliveryFrame) error {
				panic(errors.New(string(frames[0].Deliveries[0].Body)))
			})
	})
	for range 2 {
		if d := p.outcome(p.deliver(`{"title":"` + marker + `"}`)); d.Outcome != change.Dead || strings.Contains(d.Reason, marker) {
			t.Errorf("it ended %s: %s", d.Outcome, d.Reason)
		}
	}
	p.eventually(func() error {
		if !strings.Contains(log.String(), "panic of type *errors.errorString in") {
			return fmt.Errorf("the consumer did not break yet")
		}
		return nil
	})
	page, err := b.DeadLetters(t.Context(), bus.DeadQuery{Org: "acme"})
	if err != nil || len(page.Letters) != 2 {
		t.Errorf("dead letters: %+v, %v", page.Letters, err)
	}
	for _, letter := range page.Letters {
		if strings.Contains(fmt.Sprint(letter.Reason, letter.FirstError, letter.LastError), marker) {
			t.Errorf("a letter quotes the payload: %+v", letter)
		}
	}
	if text := log.String(); strings.Contains(text, marker) || !strings.Contains(text, "panic of type string in whatchanged/services/normalizer") {
		t.Errorf("the log says\n%s", text)
	}
}
