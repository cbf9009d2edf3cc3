package dead

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
)

// Discard gives letters of an org up. They leave the list, their deliveries stay
// dead and say why, and the normalizer does not report them again.
func (d *Desk) Discard(ctx context.Context, org string, ids []string, why bus.Discard) ([]Fate, error) {
	return d.each(ctx, org, ids, func(ctx context.Context, org string, fates []*Fate) error {
		rows := map[change.DeliveryID]*store.Delivery{}
		var frames []*bus.ChangeFrame
		for _, f := range fates {
			l := &f.Letter
			if l.DeliveryID.IsZero() || l.Stage != bus.StageNormalize && l.Stage != bus.StageInsert {
				continue
			}
			row, err := d.row(ctx, org, l.DeliveryID, rows)
			if err != nil {
				return err
			}
			if row == nil {
				continue // expired, or never stored: the letter and the audit trail say it
			}
			res := resultOf(row)
			res.NormalizedAt = later(row.NormalizedAt)
			res.Reason = who(why, l, row.Reason)
			frames = append(frames, &bus.ChangeFrame{
				Chain: row.Chain, Number: row.Frame, Run: uint16(row.Run), Lane: laneOf(len(fates)),
				Results: []change.Result{res}, Again: rand.Text(),
			})
			row.NormalizedAt, row.Reason = res.NormalizedAt, res.Reason // for the next record of it
		}
		if err := d.Bus.PublishChanges(ctx, frames...); err != nil {
			return fmt.Errorf("note %d discarded deliveries: %w", len(frames), err)
		}
		for _, f := range fates {
			if err := d.Bus.DiscardDead(ctx, f.Letter, why); err != nil {
				refuse(f, err)
				continue
			}
			f.Status, f.Outcome, f.Reason = Discarded, change.Dead, why.Reason
			if row := rows[f.Letter.DeliveryID]; row != nil {
				f.Outcome = row.Outcome
			}
		}
		return nil
	})
}

func (d *Desk) row(ctx context.Context, org string, id change.DeliveryID, known map[change.DeliveryID]*store.Delivery) (*store.Delivery, error) {
	if row, ok := known[id]; ok {
		return row, nil
	}
	row, err := d.Store.Delivery(ctx, org, id)
	if err != nil && problem.KindOf(err) == problem.NotFound {
		known[id] = nil
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up delivery %s: %w", id, err)
	}
	known[id] = &row
	return &row, nil
}

// resultOf is a delivery's row as the result it was made from, less the changes.
func resultOf(row *store.Delivery) change.Result {
	res := change.Result{
		DeliveryID: row.ID, Org: row.Org, SourceID: row.SourceID, Identity: row.Identity, ReceivedAt: row.ReceivedAt,
		FirstReceived: row.FirstReceived, NormalizedAt: row.NormalizedAt, Place: row.Place, Size: row.Size, Outcome: row.Outcome,
		Reason: row.Reason, Provider: row.Provider, DetectedBy: row.DetectedBy, Conflict: row.Conflict, Made: row.Changes,
		Dead: make([]change.DeadRecord, row.DeadRecords),
	}
	if sum, err := hex.DecodeString(row.BodySHA256); err == nil && len(sum) == len(res.BodyHash) {
		res.BodyHash = [32]byte(sum)
	}
	return res
}
