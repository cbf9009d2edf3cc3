package normalizer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"whatchanged/normalizers"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/replay"
	"whatchanged/pkg/store"
)

// stepping is the deliveries of one step of a replay on their way.
type stepping struct {
	*Replayer
	job         *replay.Job
	counts      replay.Counts
	to          change.DeliveryID // the last one of the step
	done        int
	differences []store.Difference

	frames []*bus.ChangeFrame
	rows   map[change.DeliveryID]store.Delivery
	old    map[change.ID]change.Change // as readers see them; kept up to what the step makes
	owned  map[change.DeliveryID][]change.ID
}

// prepare normalizes deliveries and compares what comes of them with what is
// stored. It writes nothing.
func (s *stepping) prepare(ctx context.Context, rows []store.Delivery) error {
	s.to, s.done = rows[len(rows)-1].ID, len(rows)
	deliveries, err := s.fetch(ctx, rows)
	if err != nil {
		return err
	}
	if err := s.normalize(ctx, rows, deliveries); err != nil {
		return err
	}
	s.counts.Deliveries += int64(s.done)
	s.counts.Missing += int64(s.done)
	for _, f := range s.frames {
		s.counts.Missing -= int64(len(f.Results))
	}
	if err := s.look(ctx); err != nil {
		return err
	}
	for _, f := range s.frames {
		kept := f.Results[:0]
		for i := range f.Results {
			if s.compare(&f.Results[i]) {
				kept = append(kept, f.Results[i])
			}
		}
		f.Results = kept
	}
	s.frames = slices.DeleteFunc(s.frames, func(f *bus.ChangeFrame) bool { return len(f.Results) == 0 })
	return nil
}

// fetch returns the deliveries as they came: from the table of payloads, and
// from the bus what is not written there yet, or was lost. Those whose payload
// is not kept any more are left out.
func (s *stepping) fetch(ctx context.Context, rows []store.Delivery) ([]change.Delivery, error) {
	s.rows = make(map[change.DeliveryID]store.Delivery, len(rows))
	ids := make([]change.DeliveryID, len(rows))
	for i, row := range rows {
		s.rows[row.ID], ids[i] = row, row.ID
	}
	payloads, err := s.Store.Payloads(ctx, s.job.Org, ids)
	if err != nil {
		return nil, err
	}
	var missing []bus.Position
	var first, last time.Time
	for _, row := range rows {
		if _, ok := payloads[row.ID]; ok {
			continue
		}
		if len(missing) == 0 {
			first = row.ReceivedAt.Time
		}
		last = row.ReceivedAt.Time
		missing = append(missing, placeOfRow(&row))
	}
	var onBus map[bus.Position]change.Delivery
	if len(missing) > 0 {
		if onBus, err = s.Bus.DeliveriesAt(ctx, missing, first, last); err != nil {
			return nil, err
		}
	}
	deliveries := make([]change.Delivery, 0, len(rows))
	for i := range rows {
		row := &rows[i]
		d, ok := onBus[placeOfRow(row)]
		if p, stored := payloads[row.ID]; stored {
			d, ok = change.Delivery{
				ID: row.ID, Org: row.Org, SourceID: row.SourceID, ReceivedAt: row.ReceivedAt, Header: p.Header, Body: p.Body,
				Identity: row.Identity, Provider: p.Provider, Service: p.Service,
			}, true
		}
		if !ok || d.ID != row.ID || d.Org != row.Org {
			continue
		}
		s.pin(&d)
		deliveries = append(deliveries, d)
	}
	return deliveries, nil
}

func placeOfRow(d *store.Delivery) bus.Position {
	return bus.Position{Chain: d.Chain, Frame: d.Frame, Place: d.Place}
}

// pin says who speaks, as the source says now. What we made of a request
// ourselves, or have fetched, has no say of a source about it.
func (s *stepping) pin(d *change.Delivery) {
	if d.Header.Get(normalizers.FaceHeader) != "" {
		d.Provider = apiProvider
		return
	}
	if d.Header.Get("Whatchanged-Object") != "" {
		return
	}
	if pinned, ok := s.Pinned(d.Org, d.SourceID); ok {
		d.Provider = pinned
	}
}

// normalize makes the results, in frames like those that they came in.
func (s *stepping) normalize(ctx context.Context, rows []store.Delivery, deliveries []change.Delivery) error {
	var asked []store.Identity
	for i := range deliveries {
		if deliveries[i].Identity != "" {
			asked = append(asked, identity(&deliveries[i]))
		}
	}
	known := map[store.Identity]store.Known{}
	if len(asked) > 0 {
		var err error
		if known, err = s.Store.KnownIdentities(ctx, asked); err != nil {
			return fmt.Errorf("look up known identities: %w", err)
		}
	}
	made := 0
	for i := range deliveries {
		d := &deliveries[i]
		if made > stepChanges && s.job.Step == nil {
			// They unfold to more than was thought: the rest is for the next step.
			s.done = slices.IndexFunc(rows, func(r store.Delivery) bool { return r.ID == d.ID })
			s.to = rows[s.done-1].ID
			break
		}
		row := s.rows[d.ID]
		res := s.again(d, &row, known)
		made += len(res.Changes)
		s.frame(&row).Results = append(s.frame(&row).Results, res)
	}
	// What was deployed lately is in the store: the writer is past the step before.
	s.service.deployed = newDeployed()
	return s.service.findRollbacks(ctx, s.frames)
}

// frame returns the frame of changes for a row's place, the last one if it fits.
func (s *stepping) frame(row *store.Delivery) *bus.ChangeFrame {
	if n := len(s.frames); n > 0 && s.frames[n-1].Chain == row.Chain && s.frames[n-1].Number == row.Frame {
		return s.frames[n-1]
	}
	f := &bus.ChangeFrame{Chain: row.Chain, Number: row.Frame, Run: s.job.Run, Lane: change.Bulk}
	s.frames = append(s.frames, f)
	return f
}

// again normalizes one delivery as Service does, but for what its row knows
// better: when the first with its identity was received. A delivery never is a
// duplicate of itself.
func (s *stepping) again(d *change.Delivery, row *store.Delivery, known map[store.Identity]store.Known) change.Result {
	first := row.FirstReceived
	k, ok := known[identity(d)]
	duplicate := d.Identity != "" && ok && k.DeliveryID != d.ID
	if duplicate {
		first = k.FirstReceived
	}
	res := s.Normalizers.Process(d, s.Settings(d.Org, d.SourceID), first.Time, time.Now())
	res.Place = row.Place
	if duplicate && res.Outcome != change.Dead {
		res.Outcome = change.Duplicate
		res.Reason = "the same request as " + k.DeliveryID.String()
		res.Conflict = k.BodyHash != res.BodyHash
		res.Changes, res.Incidents = nil, nil
	}
	s.service.logFiles(d, &res) // was fetched when it came, if it could be
	if res.Outcome == change.Ignored && row.Outcome == change.Ignored && res.Reason == reasonFetched {
		res.Reason = row.Reason
	}
	return res
}

// look reads what is stored of the same facts and by the same deliveries.
func (s *stepping) look(ctx context.Context) error {
	var ids []change.ID
	var by []change.DeliveryID
	for _, f := range s.frames {
		for i := range f.Results {
			by = append(by, f.Results[i].DeliveryID)
			for j := range f.Results[i].Changes {
				ids = append(ids, f.Results[i].Changes[j].ID)
			}
		}
	}
	old, err := s.Store.ChangesOf(ctx, s.job.Org, ids, by)
	if err != nil {
		return err
	}
	s.old, s.owned = old, map[change.DeliveryID][]change.ID{}
	for id, c := range old {
		s.owned[c.Provenance.DeliveryID] = append(s.owned[c.Provenance.DeliveryID], id)
	}
	return nil
}

// compare counts and notes what differs for one delivery, and leaves in res what
// is to be written. It reports whether that is anything at all.
func (s *stepping) compare(res *change.Result) bool {
	row := s.rows[res.DeliveryID]
	if res.Outcome == change.Dead {
		// Never gives up what was made once: neither the changes nor the outcome.
		if row.Outcome != change.Dead {
			s.counts.Failed++
			s.differ(replay.Broken, res, nil, res.Reason, nil)
		}
		return false
	}
	s.compareOutcome(&row, res)
	res.Made = len(res.Changes)
	last := make(map[change.ID]int, len(res.Changes)) // of two alike the later counts, as when it was stored
	for i := range res.Changes {
		last[res.Changes[i].ID] = i
	}
	write := res.Changes[:0]
	for i := range res.Changes {
		c := &res.Changes[i]
		if last[c.ID] == i && s.compareChange(c, res) {
			write = append(write, *c)
			s.old[c.ID] = *c
		}
	}
	res.Changes = write
	s.findRemoved(res, last)
	return true
}

// compareChange reports whether a change is to be written.
func (s *stepping) compareChange(c *change.Change, res *change.Result) bool {
	old, ok := s.old[c.ID]
	if !ok {
		s.counts.Count(replay.Added, c.Provenance.Normalizer, c.Action)
		s.differ(replay.Added, res, c, c.Summary, nil)
		return true
	}
	if by := old.Provenance.DeliveryID; by != c.Provenance.DeliveryID && !by.Time().After(c.Provenance.DeliveryID.Time()) {
		return false // the first delivery that brought a fact has the word on it
	}
	if c.Provenance.Provider == apiProvider && c.ServiceID == "" {
		c.ServiceID, c.ServiceName = old.ServiceID, old.ServiceName // resolved at the door, in the days when only the row knew
	}
	fields := fieldChanges(&old, c)
	if len(fields) > 0 {
		s.counts.Count(replay.Changed, c.Provenance.Normalizer, c.Action)
		s.differ(replay.Changed, res, c, c.Summary, fields)
		return true
	}
	s.counts.Same++
	return old.Provenance != c.Provenance || !old.CreatedAt.Equal(c.CreatedAt.Time)
}

// findRemoved finds the changes that the delivery brought and does not make any
// more. What a record made that cannot be processed now is kept.
func (s *stepping) findRemoved(res *change.Result, made map[change.ID]int) {
	for _, id := range s.owned[res.DeliveryID] {
		old, ok := s.old[id]
		_, still := made[id]
		if !ok || still || old.Provenance.DeliveryID != res.DeliveryID ||
			slices.ContainsFunc(res.Dead, func(d change.DeadRecord) bool { return d.Index == old.Provenance.Index }) {
			continue
		}
		res.Removed = append(res.Removed, id)
		delete(s.old, id) // whoever makes it in this run adds it again
		s.counts.Count(replay.Removed, old.Provenance.Normalizer, old.Action)
		s.differ(replay.Removed, res, &old, old.Summary, nil)
	}
}

// compareOutcome notes when the delivery ends in another way.
func (s *stepping) compareOutcome(row *store.Delivery, res *change.Result) {
	var fields []store.FieldChange
	add := func(name string, old, now any) {
		if old != now {
			fields = append(fields, store.FieldChange{Name: name, Old: encode(old), New: encode(now)})
		}
	}
	add("outcome", string(row.Outcome), string(res.Outcome))
	add("provider", row.Provider, res.Provider)
	add("dead_records", row.DeadRecords, len(res.Dead))
	if row.Outcome != res.Outcome {
		s.counts.Outcomes++
		add("reason", row.Reason, res.Reason)
	}
	if len(fields) > 0 {
		s.differ(replay.Outcome, res, nil, res.Reason, fields)
	}
}

// differ keeps a difference for reading, as long as there are not too many.
func (s *stepping) differ(kind string, res *change.Result, c *change.Change, summary string, fields []store.FieldChange) {
	if s.counts.Differences >= replay.MaxDifferences {
		return
	}
	s.counts.Differences++
	d := store.Difference{
		Org: s.job.Org, Replay: s.job.ID, DeliveryID: res.DeliveryID, Kind: kind, Provider: res.Provider,
		Summary: normalizers.Truncate(summary, change.MaxSummary), Fields: fields,
	}
	if c != nil {
		d.ChangeID = c.ID
	}
	s.differences = append(s.differences, d)
}

// apply puts the step on the bus and waits until the writer has stored it. Dead
// letters of records that could be processed before come first.
func (s *stepping) apply(ctx context.Context) error {
	for _, f := range s.frames {
		var newly []change.Result
		for i := range f.Results {
			if res := &f.Results[i]; len(res.Dead) > 0 && s.rows[res.DeliveryID].DeadRecords == 0 {
				newly = append(newly, *res)
			}
		}
		if err := s.service.bury(ctx, &bus.DeliveryFrame{Chain: f.Chain, Number: f.Number}, newly); err != nil {
			return err
		}
	}
	if len(s.frames) == 0 {
		return nil
	}
	if err := s.Bus.PublishChanges(ctx, s.frames...); err != nil {
		return fmt.Errorf("publish a step of replay %s: %w", s.job.ID, err)
	}
	return s.Bus.WrittenAll(ctx)
}

// maxShown is how much of a value a difference shows.
const maxShown = 4 << 10

// fieldChanges lists the fields that differ, by their names in the API. Where
// the change came from is not among them: it is ours, not the fact's.
func fieldChanges(old, now *change.Change) []store.FieldChange {
	before, after := fieldsOf(old), fieldsOf(now)
	var out []store.FieldChange
	for i, name := range changeFields {
		if !bytes.Equal(before[i], after[i]) {
			out = append(out, store.FieldChange{Name: name, Old: shown(before[i]), New: shown(after[i])})
		}
	}
	return out
}

// changeFields are the fields that are compared, in the order of fieldsOf.
var changeFields = []string{
	"service_id", "service_name", "change_type", "action", "status", "summary", "description", "source", "environment",
	"risk_level", "risk_hints", "changed_by", "actor", "resource", "repository", "commit_sha", "commit_message", "branch",
	"version", "pr_number", "pr_url", "pipeline_url", "account", "region", "external_id", "correlation_id", "session_id",
	"tags", "metadata", "occurred_at",
}

func fieldsOf(c *change.Change) [][]byte {
	values := []any{
		c.ServiceID, c.ServiceName, c.Type, c.Action, c.Status, c.Summary, c.Description, c.Source, c.Environment,
		c.Risk, c.RiskHints, c.ChangedBy, c.Actor, c.Resource, c.Repository, c.CommitSHA, c.CommitMessage, c.Branch,
		c.Version, c.PRNumber, c.PRURL, c.PipelineURL, c.Account, c.Region, c.ExternalID, c.CorrelationID, c.SessionID,
		c.Tags, c.Metadata, c.OccurredAt,
	}
	texts := make([][]byte, len(values))
	for i, v := range values {
		texts[i] = encode(v)
	}
	return texts
}

// encode is a value as JSON; what is empty is nothing.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	switch {
	case err != nil:
		return nil
	case string(text) == `""`, string(text) == "null", string(text) == "{}", string(text) == "[]":
		return nil
	}
	return text
}

// shown is a value as a difference shows it: whole, or how large it is.
func shown(text []byte) json.RawMessage {
	if len(text) > maxShown {
		return json.RawMessage(fmt.Sprintf(`"(%d bytes)"`, len(text)))
	}
	return text
}
