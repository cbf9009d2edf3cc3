package dead

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
)

// group is the letters about one delivery: what it becomes is one answer.
type group struct {
	id      change.DeliveryID
	fates   []*Fate
	whole   bool         // else only the records of the letters
	records map[int]bool // of the letters
	row     store.Delivery
	job     Job
	frame   *bus.ChangeFrame
	wrote   change.Time
}

// redrive goes through letters: deliveries in chunks, everything else alone.
// An error of the store or the bus ends it only when nothing was done yet.
func (d *Desk) redrive(ctx context.Context, org string, fates []*Fate) error {
	var groups []*group
	byID := map[change.DeliveryID]*group{}
	for _, f := range fates {
		l := &f.Letter
		switch {
		case org == bus.NoOrg:
			refuse(f, conflict("not_redrivable", "damage to a frame cannot be re-driven; see docs/dead-letters.md, and discard it when it is understood"))
		case l.Stage == bus.StageFetch:
			d.fetch(ctx, f)
		case l.Kind != "" && len(l.Bytes) > 0:
			d.record(ctx, f)
		case (l.Stage == bus.StageNormalize || l.Stage == bus.StageInsert) && !l.DeliveryID.IsZero():
			g := byID[l.DeliveryID]
			if g == nil {
				g = &group{id: l.DeliveryID, records: map[int]bool{}}
				byID[l.DeliveryID], groups = g, append(groups, g)
			}
			g.fates = append(g.fates, f)
			g.whole = g.whole || l.Whole || l.Stage == bus.StageInsert
			g.records[l.Index] = true
		default:
			refuse(f, conflict("not_redrivable", "a dead letter of the stage "+l.Stage+" cannot be re-driven; discard it, or see docs/dead-letters.md"))
		}
	}
	if len(groups) == 0 {
		return nil
	}
	held, err := d.heldOf(ctx, org, byID)
	if err != nil {
		return err
	}
	lane := laneOf(len(groups))
	for begun := false; len(groups) > 0; begun = true {
		chunk, rest, err := d.prepare(ctx, org, lane, groups, held)
		if err == nil {
			err = d.drive(ctx, chunk)
		}
		if err != nil && !begun {
			return err
		}
		if err != nil {
			for _, g := range groups {
				for _, f := range g.fates {
					if f.Status == Gone {
						refuse(f, err)
					}
				}
			}
			return nil
		}
		groups = rest
	}
	return nil
}

// heldOf returns, for each delivery, the records that died and are not to be
// re-driven now: they stay dead whatever the normalizer makes of them today.
func (d *Desk) heldOf(ctx context.Context, org string, groups map[change.DeliveryID]*group) (map[change.DeliveryID]map[int]string, error) {
	deliveries := make(map[change.DeliveryID]bool, len(groups))
	for id := range groups {
		deliveries[id] = true
	}
	letters, err := d.Bus.DeadOf(ctx, org, deliveries)
	if err != nil {
		return nil, err
	}
	held := map[change.DeliveryID]map[int]string{}
	for i := range letters {
		l := &letters[i]
		if l.Whole || groups[l.DeliveryID].records[l.Index] {
			continue
		}
		if held[l.DeliveryID] == nil {
			held[l.DeliveryID] = map[int]string{}
		}
		held[l.DeliveryID][l.Index] = l.Reason
	}
	return held, nil
}

// prepare reads as many deliveries as are held in memory together, at least
// one. Those that cannot be had are refused.
func (d *Desk) prepare(ctx context.Context, org, lane string, groups []*group, held map[change.DeliveryID]map[int]string) (chunk, rest []*group, err error) {
	size := 0
	for i, g := range groups {
		if size >= chunkBytes {
			return chunk, groups[i:], nil
		}
		err := d.read(ctx, org, g)
		var p *problem.Error
		if errors.As(err, &p) && (p.Kind == problem.Conflict || p.Reason == "not_stored_yet") {
			for _, f := range g.fates {
				refuse(f, err)
			}
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		l := &g.fates[0].Letter
		g.job.Chain, g.job.Frame, g.job.Place, g.job.Lane = l.Chain, l.Frame, l.Place, lane
		g.job.Held = held[g.id]
		size += len(g.job.Delivery.Body)
		chunk = append(chunk, g)
	}
	return chunk, nil, nil
}

// read finds the delivery as it came, and what became of it.
func (d *Desk) read(ctx context.Context, org string, g *group) (err error) {
	g.row, err = d.Store.Delivery(ctx, org, g.id)
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return fmt.Errorf("look up delivery %s: %w", g.id, err)
	}
	if err != nil {
		return notThere("delivery", g.id) // its first outcome is still on its way, and would come after ours
	}
	p, err := d.Store.Payload(ctx, org, g.id)
	if problem.KindOf(err) == problem.NotFound && err != nil {
		return notThere("payload", g.id)
	}
	if err != nil {
		return fmt.Errorf("read payload of %s: %w", g.id, err)
	}
	g.job.Delivery = change.Delivery{
		ID: g.id, Org: org, SourceID: p.SourceID, ReceivedAt: p.ReceivedAt, Header: p.Header, Body: p.Body,
		Identity: p.Identity, Service: p.Service,
		Provider: cmp.Or(d.Provider(org, p.SourceID), p.Provider), // pinned anew, it may be right now
	}
	return nil
}

// drive normalizes a chunk and puts the results on the bus. What failed again
// is a letter again before its result says so, and what did not fail leaves the
// list after its result is on disk.
func (d *Desk) drive(ctx context.Context, chunk []*group) error {
	if len(chunk) == 0 {
		return nil
	}
	jobs := make([]Job, len(chunk))
	for i, g := range chunk {
		jobs[i] = g.job
	}
	results, err := d.Normalize(ctx, jobs)
	if err != nil {
		return fmt.Errorf("normalize %d deliveries again: %w", len(chunk), err)
	}
	if len(results) != len(jobs) {
		return fmt.Errorf("normalize again: %d results of %d deliveries", len(results), len(jobs))
	}
	var frames []*bus.ChangeFrame
	for i, g := range chunk {
		if err := d.settle(ctx, g, &results[i]); err != nil {
			return err
		}
		if g.frame != nil {
			frames = append(frames, g.frame)
		}
	}
	if err := d.Bus.PublishChanges(ctx, frames...); err != nil {
		return fmt.Errorf("publish what %d deliveries became: %w", len(frames), err)
	}
	d.await(ctx, chunk)
	for _, g := range chunk {
		for _, f := range g.fates {
			// As it was read: one that failed again is another message by now.
			if err := d.Bus.RemoveDead(ctx, f.Letter); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle says what becomes of each letter of a delivery, stores the letters of
// what failed again, and makes the frame that is to be published.
func (d *Desk) settle(ctx context.Context, g *group, res *change.Result) error {
	res.NormalizedAt = later(g.row.NormalizedAt)
	res.Place = g.job.Place
	failed := map[int]string{} // records, or -1 for the delivery
	if res.Outcome == change.Dead && len(res.Dead) == 0 {
		failed[-1] = res.Reason
	}
	all := res.Dead
	res.Dead = nil
	for _, r := range all {
		_, held := g.job.Held[r.Index]
		if !held && (g.whole || g.records[r.Index]) {
			failed[r.Index] = r.Reason
		} else if !held {
			continue // it was fine before, and stays as it is
		}
		res.Dead = append(res.Dead, r)
	}
	for index, reason := range failed {
		if err := d.Bus.PublishDead(ctx, g.letter(index, reason, res)); err != nil {
			return fmt.Errorf("store dead letter of %s: %w", g.id, err)
		}
	}
	for _, f := range g.fates {
		f.Status, f.Outcome, f.Reason = Redriven, res.Outcome, res.Reason
		reason, bad := failed[f.Letter.Index]
		if whole, ok := failed[-1]; ok {
			reason, bad = whole, true
		}
		if bad && (!f.Letter.Whole || res.Outcome == change.Dead) {
			f.Status, f.Reason = StillDead, reason
		}
	}
	if failed[-1] != "" && !g.whole {
		return nil // it cannot be opened any more: its other records stay as they are
	}
	if !g.whole {
		g.only(res)
	}
	g.wrote = res.NormalizedAt
	g.frame = &bus.ChangeFrame{
		Chain: g.job.Chain, Number: g.job.Frame, Run: uint16(g.row.Run), Lane: g.job.Lane,
		Results: []change.Result{*res}, Again: rand.Text(),
	}
	return nil
}

// only leaves in a result what the letters' records made: the others' rows are
// not touched.
func (g *group) only(res *change.Result) {
	res.Made = len(res.Changes)
	var changes []change.Change
	for i := range res.Changes {
		if g.records[res.Changes[i].Provenance.Index] {
			changes = append(changes, res.Changes[i])
		}
	}
	var incidents []change.IncidentReport
	for i := range res.Incidents {
		if g.records[res.Incidents[i].Provenance.Index] {
			incidents = append(incidents, res.Incidents[i])
		}
	}
	res.Changes, res.Incidents = changes, incidents
}

// letter is what a record (-1: the delivery) that failed again is reported as:
// under the id that it had, so that there is one.
func (g *group) letter(index int, reason string, res *change.Result) bus.DeadLetter {
	l := bus.DeadLetter{
		Stage: bus.StageNormalize, Org: g.job.Delivery.Org, SourceID: g.job.Delivery.SourceID, DeliveryID: g.id, Provider: res.Provider,
		Index: max(index, 0), Whole: index < 0, Chain: g.job.Chain, Frame: g.job.Frame, Place: g.job.Place,
		Reason: reason, FirstError: reason, LastError: reason, Attempts: 1, At: res.NormalizedAt,
	}
	for _, f := range g.fates {
		if f.Letter.Stage == bus.StageNormalize && f.Letter.Index == l.Index {
			l.ID = f.Letter.ID
		}
	}
	return l
}

// await waits until what was published is stored, and sees whether ClickHouse
// took it: what it refuses is a letter again, by the writer. What takes longer
// is on disk and will be stored.
func (d *Desk) await(ctx context.Context, chunk []*group) {
	ctx, cancel := context.WithTimeout(ctx, visibleIn)
	defer cancel()
	for _, g := range chunk {
		if g.frame == nil {
			continue
		}
		row, ok := d.awaitOne(ctx, g)
		if !ok {
			continue
		}
		for _, f := range g.fates {
			f.Stored = true
			if row.Outcome == change.Dead && f.Status == Redriven {
				f.Status, f.Outcome, f.Reason = StillDead, row.Outcome, row.Reason
			}
		}
	}
}

func (d *Desk) awaitOne(ctx context.Context, g *group) (store.Delivery, bool) {
	for {
		row, err := d.Store.Delivery(ctx, g.job.Delivery.Org, g.id)
		if err == nil && !row.NormalizedAt.Before(g.wrote.Time) {
			return row, true
		}
		timer := time.NewTimer(lookAgain)
		select {
		case <-ctx.Done():
			timer.Stop()
			return row, false
		case <-timer.C:
		}
	}
}

// fetch asks for a log file again. It is over when that is on disk: whether the
// file can be had is the fetcher's to find out, and another letter if not.
func (d *Desk) fetch(ctx context.Context, f *Fate) {
	var file bus.LogFile
	if err := json.Unmarshal(f.Letter.Task, &file); err != nil || file.Key == "" {
		refuse(f, conflict("not_redrivable", "the letter does not say which file; replay the delivery instead"))
		return
	}
	file.NoticedAt, file.Again = change.At(time.Now()), rand.Text()
	file.Tries, file.FirstAt = f.Letter.Attempts, f.Letter.FirstAt
	if err := d.Bus.PublishFetch(ctx, change.Bulk, file); err != nil {
		if errors.Is(err, bus.ErrFetchFull) {
			err = problem.BusyFor(time.Minute, "fetch_full", err.Error()+"; try again later", err)
		}
		refuse(f, err)
		return
	}
	f.Status, f.Outcome, f.Reason = Redriven, change.Ignored, "the log file is fetched again"
	if err := d.Bus.RemoveDead(ctx, f.Letter); err != nil {
		refuse(f, err) // it is fetched twice then, and recorded once
	}
}

// record inserts an audit record again.
func (d *Desk) record(ctx context.Context, f *Fate) {
	err := d.insertRecord(ctx, &f.Letter)
	if err != nil && !store.IsData(err) && !errors.Is(err, change.ErrMalformed) {
		refuse(f, err)
		return
	}
	if err != nil {
		again := f.Letter
		again.Attempts, again.LastError, again.At = 1, err.Error(), change.At(time.Now())
		f.Status, f.Outcome, f.Reason = StillDead, change.Dead, f.Letter.Reason
		if err := d.Bus.PublishDead(ctx, again); err != nil {
			refuse(f, err)
		}
		return
	}
	f.Status, f.Outcome, f.Stored = Redriven, change.Stored, true
	if err := d.Bus.RemoveDead(ctx, f.Letter); err != nil {
		refuse(f, err)
	}
}

func (d *Desk) insertRecord(ctx context.Context, l *bus.DeadLetter) error {
	switch l.Kind {
	case audit.Events:
		return insert(ctx, l.Bytes, d.Store.InsertAuditEvents)
	case audit.Uses:
		return insert(ctx, l.Bytes, d.Store.InsertUses)
	default:
		return fmt.Errorf("%w: there is no kind %q of audit records", change.ErrMalformed, l.Kind)
	}
}

func insert[T any](ctx context.Context, raw []byte, into func(context.Context, []T) error) error {
	var record T
	if err := json.Unmarshal(raw, &record); err != nil {
		return fmt.Errorf("%w: %w", change.ErrMalformed, err)
	}
	return into(ctx, []T{record})
}
