package problem_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

func TestWrite_TellsTheCallerAndNotTheCause(t *testing.T) {
	w := httptest.NewRecorder()
	err := problem.BusyFor(1500*time.Millisecond, "bus_full", "the bus is full; send it again", errors.New("10077 at /data"))
	problem.Write(w, fmt.Errorf("commit: %w", err))

	want := `{"title":"Busy","status":503,"detail":"the bus is full; send it again","reason":"bus_full"}` + "\n"
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if w.Code != 503 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
}

// Those who were refused together shall not come back together, nor late.
// C17.
func TestWrite_SpreadsWhoWasRefusedByOurFault(t *testing.T) {
	for wait, want := range map[time.Duration][2]int{0: {1, 5}, 1500 * time.Millisecond: {2, 6}, time.Hour: {26, 30}} {
		seen := map[int]bool{}
		for range 100 {
			w := httptest.NewRecorder()
			problem.Write(w, problem.BusyFor(wait, "busy", "try again", nil))
			seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
			if err != nil || seconds < want[0] || seconds > want[1] {
				t.Fatalf("after %s: Retry-After %q, want %v", wait, w.Header().Get("Retry-After"), want)
			}
			seen[seconds] = true
		}
		if len(seen) < 2 {
			t.Errorf("after %s: all are to come back together", wait)
		}
	}
	w := httptest.NewRecorder()
	problem.Write(w, &problem.Error{Kind: problem.RateLimited, RetryAfter: 1500 * time.Millisecond})
	if got := w.Header().Get("Retry-After"); got != "2" {
		t.Errorf("who asks too much: Retry-After %q, want 2", got)
	}
}

func TestFrom_WhatHasNoKindIsInternalAndSaysNothing(t *testing.T) {
	e := problem.From(errors.New("open /secret: permission denied"))
	if e.Kind != problem.Internal || e.Message != "something went wrong on our side; the server's log has the details" {
		t.Errorf("problem = %+v", e)
	}
}

func TestFrom_MalformedInputOfAnyLayerIsTheCallersToFix(t *testing.T) {
	e := problem.From(fmt.Errorf("%w: an id is 26 characters", change.ErrMalformed))
	if e.Status() != 400 || e.Message != "malformed: an id is 26 characters" {
		t.Errorf("problem = %+v", e)
	}
}

func TestWrite_NotAuthenticatedAsksForAKey(t *testing.T) {
	w := httptest.NewRecorder()
	problem.Write(w, problem.New(problem.Unauthenticated, "no_key", "send Authorization: Bearer <key>"))
	if w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
}
