package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// silences are the calls that the server has not answered, by what was asked.
// A stream or a consumer whose file could not be written while the server
// started answers nothing from then on, and the server calls itself healthy.
type silences struct {
	mu sync.Mutex
	of map[string]silence
}

// silenceEnds is how long after a call in vain the next one is about another silence.
const silenceEnds = time.Minute

type silence struct {
	began, last time.Time // of the first call without an answer, and the end of the latest
	calls       int
}

// heard notes what became of a call that began then. Any answer ends a silence.
// A call that ended with its time goes into one, unless its caller gave up.
func (s *silences) heard(caller context.Context, what string, began time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !errors.Is(err, context.DeadlineExceeded) {
		delete(s.of, what)
		return
	}
	if caller.Err() != nil {
		return
	}
	if s.of == nil {
		s.of = map[string]silence{}
	}
	now := s.of[what]
	if began.Sub(now.last) > silenceEnds {
		now = silence{began: began}
	}
	now.last = time.Now()
	now.calls++
	s.of[what] = now
}

// long returns what was asked for more than once and has not been answered for
// wedgedAfter, or nil.
func (s *silences) long() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for what, now := range s.of {
		if now.calls > 1 && now.last.Sub(now.began) >= wedgedAfter {
			return fmt.Errorf("%s: no answer for %s", what, now.last.Sub(now.began).Round(time.Second))
		}
	}
	return nil
}

// forget begins anew.
func (s *silences) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.of)
}
