//go:build failpoint

package failpoint

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Enabled reports whether this binary has failpoints.
const Enabled = true

const (
	variablePoints = "WHATCHANGED_FAILPOINTS"
	variableClock  = "WHATCHANGED_CLOCK"
)

// Variables are the names of the environment's variables that arm failpoints.
func Variables() []string { return []string{variablePoints, variableClock} }

// ErrInjected is what Fail returns.
var ErrInjected = errors.New("injected by a failpoint")

// point is an armed failpoint.
type point struct {
	action string
	word   []byte        // of panic and error: what the data must contain
	delay  time.Duration // of delay
	at     int64         // the pass that counts; 0: each
	passed atomic.Int64
}

// armed reads the environment once: a failpoint is armed from the start of a
// process to its end.
var armed = sync.OnceValue(func() map[string]*point {
	points, err := parse(os.Getenv(variablePoints))
	if err != nil {
		panic(fmt.Sprintf("%s: %v", variablePoints, err)) // a test's mistake
	}
	return points
})

func parse(spec string) (map[string]*point, error) {
	points := map[string]*point{}
	for one := range strings.SplitSeq(spec, ",") {
		if one == "" {
			continue
		}
		name, what, ok := strings.Cut(one, "=")
		if !ok {
			return nil, fmt.Errorf("%q: want name=action", one)
		}
		p := &point{}
		var err error
		what, at, numbered := strings.Cut(what, "@")
		if numbered {
			if p.at, err = strconv.ParseInt(at, 10, 64); err != nil {
				return nil, fmt.Errorf("%q: %w", one, err)
			}
		}
		action, argument, _ := strings.Cut(what, ":")
		p.action = action
		switch action {
		case "kill":
			p.at = max(p.at, 1)
		case "panic", "error":
			p.word = []byte(argument)
		case "delay":
			if p.delay, err = time.ParseDuration(argument); err != nil {
				return nil, fmt.Errorf("%q: %w", one, err)
			}
		default:
			return nil, fmt.Errorf("%q: there is no action %q", one, action)
		}
		points[name] = p
	}
	return points, nil
}

// due reports whether this pass is the one that counts.
func (p *point) due() bool {
	if p == nil {
		return false
	}
	n := p.passed.Add(1)
	return p.at == 0 || n == p.at
}

// Hit is passed at the moment called name. It may end the process, wait, or panic.
func Hit(name string) {
	if p := armed()[name]; p.due() {
		_ = p.act(name) // who cannot return an error has none
	}
}

// Fail is Hit that may return an error.
func Fail(name string) error {
	if p := armed()[name]; p.due() {
		return p.act(name)
	}
	return nil
}

// Touch is Hit for those who handle data: panic and error happen only where
// data contains the word, and an error is a panic here.
func Touch(name string, data []byte) {
	p := armed()[name]
	if p == nil || !bytes.Contains(data, p.word) || !p.due() {
		return
	}
	if err := p.act(name); err != nil {
		panic(err)
	}
}

func (p *point) act(name string) error {
	switch p.action {
	case "kill":
		fmt.Fprintf(os.Stderr, "failpoint %s: killed at pass %d\n", name, p.at)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it comes within moments, and nothing may happen before
	case "delay":
		time.Sleep(p.delay)
	case "panic":
		panic("failpoint " + name)
	case "error":
		return fmt.Errorf("%s: %w", name, ErrInjected)
	}
	return nil
}

// Wall returns t, a reading of the clock, moved by what the clock's file says.
// It has no monotonic reading then, as the time of another machine has none.
func Wall(t time.Time) time.Time {
	path := os.Getenv(variableClock)
	if path == "" {
		return t
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return t.Round(0) // not written yet
	}
	moved, err := time.ParseDuration(string(bytes.TrimSpace(text)))
	if err != nil {
		return t.Round(0) // being written
	}
	return t.Round(0).Add(moved)
}
