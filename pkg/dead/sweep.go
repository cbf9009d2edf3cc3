package dead

import (
	"context"
	"fmt"
	"time"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

const (
	sweepEvery = time.Minute
	sweepMost  = 100 // letters a turn: each is a look-up
	settledFor = time.Minute
)

// Run takes letters off the list that are over, until ctx ends: those of
// deliveries that have another outcome since, because somebody who re-drove
// them stopped before he was done, or replayed them.
func (d *Desk) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	after := ""
	for {
		next, err := d.Sweep(ctx, after)
		if err != nil && ctx.Err() == nil {
			d.Log.Warn("dead letters that are over cannot be looked for now", "error", err)
		}
		after = next
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Sweep looks at the letters after a cursor ("" is the beginning) and returns
// the next one.
func (d *Desk) Sweep(ctx context.Context, after string) (next string, err error) {
	page, err := d.Bus.DeadLetters(ctx, bus.DeadQuery{Org: bus.AllOrgs, End: time.Now().Add(-settledFor), Limit: sweepMost, Cursor: after})
	if err != nil {
		return "", err
	}
	for i := range page.Letters {
		l := &page.Letters[i]
		if l.Org == "" || l.DeliveryID.IsZero() || l.Stage != bus.StageNormalize && l.Stage != bus.StageInsert {
			continue
		}
		row, err := d.Store.Delivery(ctx, l.Org, l.DeliveryID)
		if err != nil && problem.KindOf(err) == problem.NotFound {
			continue
		}
		if err != nil {
			return after, fmt.Errorf("look up delivery %s: %w", l.DeliveryID, err)
		}
		since := row.NormalizedAt.After(l.At.Time) && row.Outcome != change.Dead
		if !since || !l.Whole && row.DeadRecords > 0 {
			continue
		}
		if err := d.Bus.RemoveDead(ctx, *l); err != nil {
			return after, err
		}
		d.Log.Info("a dead letter is over", "id", l.ID, "org", l.Org, "delivery_id", l.DeliveryID, "outcome", row.Outcome)
	}
	return page.Next, nil
}
