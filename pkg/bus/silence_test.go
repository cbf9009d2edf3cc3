package bus

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSilences_AreLongAfterCallsInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s silences
		ask := func(ctx context.Context, what string, takes time.Duration, err error) {
			began := time.Now()
			time.Sleep(takes)
			s.heard(ctx, what, began, err)
		}
		want := func(when string, long bool) {
			t.Helper()
			if err := s.long(); (err != nil) != long {
				t.Errorf("%s: %v", when, err)
			}
		}
		late := context.DeadlineExceeded
		ask(t.Context(), "a publish", 2*time.Second, late)
		ask(t.Context(), "a publish", 2*time.Second, late)
		want("after four seconds", false)
		time.Sleep(time.Minute)
		want("when nobody asked again", false)
		ask(t.Context(), "a publish", 0, errors.New("an answer, if a bad one"))
		ask(t.Context(), "a publish", 2*time.Second, late)
		want("after an answer", false)
		time.Sleep(2 * time.Second)
		ask(t.Context(), "a publish", 2*time.Second, late)
		want("after six seconds", true)
		s.forget()
		want("after a restart", false)
		ask(t.Context(), "a publish", 2*time.Second, late)
		time.Sleep(time.Hour)
		ask(t.Context(), "a publish", 2*time.Second, late)
		want("after two calls in vain, an hour apart", false)
		s.forget()

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for range 3 {
			ask(gone, "another", 5*time.Second, late)
		}
		want("when the callers gave up", false)
	})
}
