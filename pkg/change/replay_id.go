package change

import (
	"crypto/rand"
	"time"
)

const replayIDPrefix = "rpl_"

// NewReplayID returns a fresh name for a replay that is asked for at t. Names
// sort by that time.
func NewReplayID(t time.Time) string {
	var id [16]byte
	putMilli(id[:], t)
	rand.Read(id[6:]) // never fails: see crypto/rand.Read
	return format(replayIDPrefix, id)
}
