package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// The states of a request in the journal.
const (
	stateSent    = "sent"    // written before the request's first byte
	stateOK      = "ok"      // answered 2xx: it must be there
	stateRefused = "refused" // answered otherwise, or never sent: nothing was promised
	stateUnknown = "unknown" // no answer: it may be there once, or not at all
)

// entry is one line of the journal.
type entry struct {
	State string `json:"e"`
	ID    int64  `json:"id"` // of the request; a repeat has its own
	At    int64  `json:"t"`  // microseconds since the round began, on the clock that never jumps

	// With sent.
	Fact     int64  `json:"fact,omitempty"`     // what it says; a repeat has the same
	Kind     string `json:"kind,omitempty"`     // of request
	Identity string `json:"identity,omitempty"` // as the product names it; empty: it names itself in no way
	Hash     string `json:"sha,omitempty"`      // SHA-256 of the body, in hex

	// With the others.
	Status   int    `json:"status,omitempty"` // 0: no answer
	Delivery string `json:"dlv,omitempty"`
	Why      string `json:"why,omitempty"`
}

// journal is written line by line, each before what it tells of goes on. The
// kernel has the lines even if this process is killed.
type journal struct {
	mu sync.Mutex
	f  *os.File
}

func createJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create the journal: %w", err)
	}
	return &journal{f: f}, nil
}

func (j *journal) write(e *entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

func (j *journal) close() error { return j.f.Close() }

// request is what the journal says of one request.
type request struct {
	entry         // the line before it was sent
	state  string // the last word
	status int
	answer int64 // when, as At
	dlv    string
}

// readJournal reads what was sent and what became of it, in the order of
// sending. A last line that was cut off when the writer was killed counts as
// not written: nothing was sent after it.
func readJournal(path string) ([]*request, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	defer f.Close()
	return scanJournal(f)
}

func scanJournal(in io.Reader) ([]*request, error) {
	var all []*request
	byID := map[int64]*request{}
	r := bufio.NewReaderSize(in, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the journal: %w", err)
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("read the journal: %w", err)
		}
		if e.State == stateSent {
			q := &request{entry: e, state: stateUnknown}
			byID[e.ID] = q
			all = append(all, q)
			continue
		}
		q := byID[e.ID]
		if q == nil {
			return nil, fmt.Errorf("read the journal: request %d has an answer and was not sent", e.ID)
		}
		q.state, q.status, q.answer, q.dlv = e.State, e.Status, e.At, e.Delivery
	}
}
