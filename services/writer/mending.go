package writer

import (
	"context"
	"fmt"
	"slices"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
)

// mending stores frames' payloads again, and makes their results again, some
// frames at a time. Both replace what is there with the same.
type mending struct {
	*Reconciler
	payloads, results []*bus.DeliveryFrame
	doubts            []doubt
	heads             map[*bus.DeliveryFrame]bus.Head
	bytes             int

	driven int // frames that were not whole
	first  bus.Head
}

// doubt is a frame of which perhaps changes are missing: fewer are found under
// some places than were made. But a fact that another delivery reports as well
// is stored once, and may be that one's.
type doubt struct {
	frame  *bus.DeliveryFrame
	places []int
}

// add reads a frame and finds out what it needs. A frame that can never be
// processed, or is not on the bus any more, needs nothing.
func (m *mending) add(ctx context.Context, g gap) error {
	f, err := m.Bus.Frame(ctx, g.Seq)
	switch {
	case bus.IsGone(err):
		return nil
	case bus.IsDead(err):
		return m.bury(ctx, g.Head, err)
	case err != nil:
		return err
	}
	if m.heads == nil {
		m.heads = map[*bus.DeliveryFrame]bus.Head{}
	}
	m.heads[f] = g.Head
	for i := range f.Deliveries {
		m.bytes += len(f.Deliveries[i].Body)
	}
	if g.payloads {
		m.drive(&m.payloads, f, "payloads")
	}
	switch {
	case g.deliveries:
		m.drive(&m.results, f, "deliveries")
	case g.anyhow: // and it may be whole
		m.results = append(m.results, f)
	case len(g.short) > 0:
		m.doubts = append(m.doubts, doubt{f, g.short})
	}
	if len(m.heads) >= driveFrames || m.bytes >= driveBytes {
		return m.flush(ctx)
	}
	return nil
}

func (m *mending) drive(list *[]*bus.DeliveryFrame, f *bus.DeliveryFrame, missing string) {
	m.Log.Debug("driving a frame again", "chain", f.Chain, "frame", f.Number, "missing", missing)
	if m.driven++; m.driven == 1 {
		m.first = m.heads[f]
	}
	m.Reconciler.driven.WithLabelValues(missing).Inc()
	*list = append(*list, f)
}

// flush drives what was added.
func (m *mending) flush(ctx context.Context) error {
	if err := m.settleDoubts(ctx); err != nil {
		return err
	}
	if len(m.payloads) > 0 {
		if err := m.Store.InsertPayloads(ctx, payloadsOf(m.payloads)); err != nil {
			return err
		}
	}
	if len(m.results) > 0 {
		if err := m.normalize(ctx, m.results); err != nil {
			return err
		}
	}
	m.payloads, m.results, m.doubts, m.heads, m.bytes = nil, nil, nil, nil, 0
	return nil
}

// normalize makes results again. When they are refused for what they hold, each
// frame alone shows which it is.
func (m *mending) normalize(ctx context.Context, frames []*bus.DeliveryFrame) error {
	err := m.Normalize(ctx, frames)
	switch {
	case !bus.IsDead(err):
		return err
	case len(frames) == 1:
		return m.bury(ctx, m.heads[frames[0]], err)
	}
	for i := range frames {
		if err := m.normalize(ctx, frames[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// bury lets the account say that a frame's deliveries are dead. Whoever should
// have processed it has written its dead letter: all consumers are past it.
func (m *mending) bury(ctx context.Context, h bus.Head, cause error) error {
	m.Log.Warn("a frame can never be processed", "chain", h.Chain, "frame", h.Number, "deliveries", h.Deliveries, "error", cause)
	receipts, err := m.Bus.Receipts(ctx, h)
	if bus.IsDead(err) || bus.IsGone(err) {
		return nil // nobody knows whose they were
	}
	if err != nil {
		return err
	}
	return m.Store.InsertReceipts(ctx, storedReceipts(receipts, true))
}

// settleDoubts drives the frames of which changes are missing indeed.
func (m *mending) settleDoubts(ctx context.Context) error {
	if len(m.doubts) == 0 {
		return nil
	}
	frames := make([]*bus.DeliveryFrame, len(m.doubts))
	for i, d := range m.doubts {
		frames[i] = d.frame
	}
	made, err := m.Results(ctx, frames)
	if err != nil {
		return fmt.Errorf("make results: %w", err)
	}
	type fact struct {
		org string
		id  change.ID
	}
	wanted := make([][]fact, len(frames))
	ids := map[string][]change.ID{} // by org
	for i, d := range m.doubts {
		for _, res := range made[i].Results {
			if !slices.Contains(d.places, res.Place) {
				continue
			}
			for j := range res.Changes {
				wanted[i] = append(wanted[i], fact{res.Org, res.Changes[j].ID})
				ids[res.Org] = append(ids[res.Org], res.Changes[j].ID)
			}
		}
	}
	missing := map[fact]bool{}
	for org, all := range ids {
		lacks, err := m.Store.LacksChanges(ctx, org, all)
		if err != nil {
			return err
		}
		for _, id := range lacks {
			missing[fact{org, id}] = true
		}
	}
	for i, f := range frames {
		lacks := slices.ContainsFunc(wanted[i], func(f fact) bool { return missing[f] })
		if m.again(f, lacks) {
			m.drive(&m.results, f, "changes")
		}
	}
	return nil
}

// again reports whether a frame is driven once more, for want of changes.
func (m *mending) again(f *bus.DeliveryFrame, lacks bool) bool {
	id := store.FrameID{Chain: f.Chain, Frame: f.Number}
	if !lacks {
		delete(m.drives, id)
		return false
	}
	if m.drives[id]++; m.drives[id] <= maxDrives {
		return true
	}
	delete(m.drives, id)
	m.unhealed.Inc()
	m.Log.Error("a frame lacks changes however often it is driven again", "chain", f.Chain, "frame", f.Number)
	return false
}
