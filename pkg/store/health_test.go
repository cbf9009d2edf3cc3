package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

func TestHealth_TriesAServerThatFailedMoreAndMoreSeldom(t *testing.T) {
	now := time.Unix(0, 0)
	h := newHealth(slog.New(slog.DiscardHandler), newMetrics(noRegistry{}))
	h.now = func() time.Time { return now }
	if h.failed("a") {
		t.Error("left alone without a reason")
	}
	for _, seconds := range []int{1, 2, 4, 8, 16, 30, 30} {
		h.left("a", errors.New("refused"))
		h.left("a", errors.New("refused")) // what was under way makes no rest longer
		now = now.Add(time.Duration(seconds)*time.Second - time.Millisecond)
		if !h.failed("a") || h.mayTry("a") {
			t.Errorf("tried again before %d s", seconds)
		}
		now = now.Add(time.Millisecond)
		if !h.mayTry("a") {
			t.Errorf("not tried after %d s", seconds)
		}
		if h.mayTry("a") {
			t.Error("two try at the same time")
		}
	}
	now = now.Add(connectTimeout) // whoever tried it has gone
	if !h.mayTry("a") {
		t.Error("never tried again")
	}
	if h.well("a"); h.failed("a") {
		t.Error("it answers, and is left alone")
	}
}

func TestAway_TellsAServerThatIsGoneFromOneThatRefuses(t *testing.T) {
	f := func(want bool, err error) {
		t.Helper()
		if away(t.Context(), err) != want {
			t.Errorf("%v: want %t", err, want)
		}
	}
	f(false, nil)
	f(true, fmt.Errorf("insert: %w", &net.OpError{Op: "dial", Err: errors.New("refused")}))
	f(true, fmt.Errorf("query: %w", io.ErrUnexpectedEOF))
	f(true, &clickhouse.HTTPError{StatusCode: http.StatusBadGateway, Err: errors.New("proxy")})
	f(true, &clickhouse.HTTPError{StatusCode: 500, Err: &clickhouse.Exception{Code: 242}})
	f(false, &clickhouse.HTTPError{StatusCode: 503, Err: &clickhouse.Exception{Code: memoryLimit}})
	f(false, clickhouse.ErrAcquireConnTimeout)
	f(false, clickhouse.ErrBatchInvalid)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if away(gone, io.EOF) {
		t.Error("a caller who left says something of the server")
	}
	silent, giveUp := context.WithCancelCause(t.Context())
	giveUp(errSilent)
	if !away(silent, context.Canceled) {
		t.Error("a server that says nothing is not away")
	}
}
