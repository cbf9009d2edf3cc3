package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
)

// A Fault is one way in which things go wrong. A round prepares it, starts the
// target under load, lets it strike as often as the round says, heals it, and
// then wants all back.
type Fault struct {
	Name    string                                    // "kill", "failpoint/after-insert", "power-cut", "disk-full/bus"
	About   string                                    // one line for the report
	Short   bool                                      // part of `make chaos`
	Check   func() error                              // why it cannot run here (no root, no /dev/fuse); nil: it always can
	Prepare func(ctx context.Context, r *Round) error // before the first start: mounts, wrappers, environment; may be nil
	Strike  func(ctx context.Context, r *Round) error // under load: does harm, and undoes what must be undone; the target may be down afterwards
	After   func(ctx context.Context, r *Round) error // all is settled, and the target still runs; may be nil
	Finish  func(ctx context.Context, r *Round) error // after the oracle, always: unmount and the like; may be nil
}

// Round is one installation under load, struck some times, then compared with
// the journal. What a fault may change in Prepare, it finds here.
type Round struct {
	Dir     string     // scratch of this round; kept when the round fails
	DataDir string     // of the target: bus/ and clickhouse/ are made under it; a fault may mount something there first
	Rand    *rand.Rand // seeded: all choices come from here
	Log     *slog.Logger
	Target  *Target // the running product
	Load    LoadConfig
	Strikes int
	Struck  int  // how many of the strikes are done
	Failed  bool // known when the fault finishes

	// Want is what the fault is known to do to the account.
	Want Expected
	// BusURL is where the oracle finds the bus, when that is not in DataDir.
	BusURL string

	split   *split   // nil: serve
	cluster *cluster // nil: one server
	turn    []int    // what is left to strike, where strikes take turns

	// Notes are figures of the fault's own, for the journal of rounds.
	Notes map[string]float64
}

// Expected is what the oracle shall not count as a violation, and what it shall.
type Expected struct {
	DeadLetters bool  // letters of poisoned requests are explained, and must be there
	Answered    bool  // nobody's connection was cut: what is there was answered
	Wall        bool  // the wall clock was moved: when a delivery was received says nothing
	Began       int64 // when the round began, in Unix milliseconds; 0: not known
}
