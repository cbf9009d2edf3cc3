package store

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// keysAtOnce bounds the keys that one statement looks up: they are part of its URL.
const keysAtOnce = 2000

// ReplayQuery selects the deliveries that a replay goes through, oldest first.
type ReplayQuery struct {
	Org        string
	SourceID   string
	Provider   string
	Start, End time.Time         // of received_at, half-open; both required
	After      change.DeliveryID // the last one that is done; zero: from Start
	Limit      int
}

func (q *ReplayQuery) where() (*where, error) {
	w, err := forOrg(q.Org)
	if err != nil {
		return nil, err
	}
	w.equal("source_id", q.SourceID)
	w.equal("provider", q.Provider)
	return w, nil
}

// DeliveriesToReplay returns the next deliveries of a replay.
func (s *Store) DeliveriesToReplay(ctx context.Context, q ReplayQuery) ([]Delivery, error) {
	w, err := q.where()
	if err != nil {
		return nil, err
	}
	p := paging{start: q.Start, end: q.End, limit: q.Limit, sort: Asc}
	if !q.After.IsZero() {
		p.after = &cursor{at: q.After.Time(), id: q.After}
	}
	keys, err := deliveryList.keys(ctx, s, w, p, false)
	if err != nil {
		return nil, fmt.Errorf("find deliveries to replay: %w", err)
	}
	return s.deliveriesAt(ctx, w, keys[:min(len(keys), q.Limit)])
}

// CountToReplay counts what is left for a replay to go through.
func (s *Store) CountToReplay(ctx context.Context, q ReplayQuery) (int64, error) {
	w, err := q.where()
	if err != nil {
		return 0, err
	}
	return deliveryList.count(ctx, s, w, q.Start, q.End)
}

// DeliveriesByID returns what became of these deliveries, oldest first. Those
// that are not there are left out.
func (s *Store) DeliveriesByID(ctx context.Context, org string, ids []change.DeliveryID) ([]Delivery, error) {
	w, err := forOrg(org)
	if err != nil {
		return nil, err
	}
	return s.deliveriesAt(ctx, w, deliveryKeys(ids))
}

func (s *Store) deliveriesAt(ctx context.Context, w *where, keys []key) ([]Delivery, error) {
	var out []Delivery
	for some := range slices.Chunk(keys, keysAtOnce) {
		rows, err := deliveryList.read(ctx, s, w, Asc, some)
		if err != nil {
			return nil, fmt.Errorf("read deliveries: %w", err)
		}
		for i := range rows {
			out = append(out, rows[i].delivery())
		}
	}
	return out, nil
}

// Payloads returns deliveries as they came, by id. Those that are not kept, or
// not written yet, are left out. The caller bounds how large they are together.
func (s *Store) Payloads(ctx context.Context, org string, ids []change.DeliveryID) (map[change.DeliveryID]Payload, error) {
	w, err := forOrg(org)
	if err != nil {
		return nil, err
	}
	out := make(map[change.DeliveryID]Payload, len(ids))
	for some := range slices.Chunk(deliveryKeys(ids), keysAtOnce) {
		rows, err := payloadList.read(ctx, s, w, Asc, some)
		if err != nil {
			return nil, fmt.Errorf("read payloads: %w", err)
		}
		for i := range rows {
			p, err := rows[i].payload()
			if err != nil {
				return nil, err
			}
			out[p.ID] = p
		}
	}
	return out, nil
}

func deliveryKeys(ids []change.DeliveryID) []key {
	keys := make([]key, len(ids))
	for i, id := range ids {
		keys[i] = key{At: id.Time(), ID: string(id[:])}
	}
	return keys
}

const changesOfStatement = `SELECT DISTINCT occurred_at AS at, id FROM changes
WHERE org = {org:String}
  AND delivery_id IN (SELECT toFixedString(unhex(hex), 16) FROM (SELECT arrayJoin({deliveries:Array(String)}) AS hex))`

// ChangesOf returns the changes that have one of these ids, or that one of
// these deliveries brought, as readers see them now.
func (s *Store) ChangesOf(ctx context.Context, org string, ids []change.ID, deliveries []change.DeliveryID) (map[change.ID]change.Change, error) {
	w, err := forOrg(org)
	if err != nil {
		return nil, err
	}
	wanted := make(map[change.ID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	for some := range slices.Chunk(deliveries, 200) { // with more, the index finds something everywhere
		texts := make([]string, len(some))
		for i, id := range some {
			texts[i] = hex.EncodeToString(id[:])
		}
		var found []key
		if err := s.query(ctx, "changes of deliveries", &found, changesOfStatement, w.args[0], clickhouse.Named("deliveries", texts)); err != nil {
			return nil, err
		}
		for _, k := range found {
			wanted[change.ID([]byte(k.ID))] = true
		}
	}
	keys := make([]key, 0, len(wanted))
	for id := range wanted {
		keys = append(keys, key{At: id.Time(), ID: string(id[:])})
	}
	out := make(map[change.ID]change.Change, len(keys))
	for some := range slices.Chunk(keys, keysAtOnce) {
		rows, err := changeList.read(ctx, s, w, Asc, some)
		if err != nil {
			return nil, fmt.Errorf("read changes: %w", err)
		}
		for i := range rows {
			c := rows[i].change()
			out[c.ID] = c
		}
	}
	return out, nil
}

// LastRun returns the highest run that an org's deliveries have.
func (s *Store) LastRun(ctx context.Context, org string) (uint16, error) {
	w, err := forOrg(org)
	if err != nil {
		return 0, err
	}
	var rows []struct {
		Run uint16 `ch:"run"`
	}
	if err := s.query(ctx, "last run", &rows, "SELECT max(run) AS run FROM deliveries WHERE "+w.String(), w.args...); err != nil {
		return 0, err
	}
	return rows[0].Run, nil
}

// revisedKeys is the keys that a statement about revisions is for.
const revisedKeys = `(
    SELECT fromUnixTimestamp64Milli(key.1, 'UTC'), toFixedString(unhex(key.2), 16)
    FROM (SELECT arrayJoin(arrayZip({times:Array(Int64)}, {ids:Array(String)})) AS key))`

// keepStatement copies the rows that a run replaces. It looks at every version
// by itself: FINAL hides what was removed, and once some of the run's own rows
// are there they must not be taken for what was before.
var keepStatement = `INSERT INTO change_revisions ({columns}, replaced_run, replaced_at)
SELECT {columns}, {run:UInt16}, ` + atParam("now") + `
FROM changes
WHERE org = {org:String}
  AND (occurred_at, id) IN ` + revisedKeys + `
  AND run < {run:UInt16}
ORDER BY version DESC
LIMIT 1 BY org, occurred_at, id`

// addedStatement notes of what a run makes for the first time that it was not
// there before. What an earlier try of the run has copied stays.
var addedStatement = `INSERT INTO change_revisions (org, occurred_at, id, is_deleted, replaced_run, replaced_at)
SELECT {org:String}, key.1, key.2, 1, {run:UInt16}, ` + atParam("now") + `
FROM (SELECT arrayJoin(arrayMap((at, hex) -> (fromUnixTimestamp64Milli(at, 'UTC'), toFixedString(unhex(hex), 16)),
    {times:Array(Int64)}, {ids:Array(String)})) AS key)
WHERE (key.1, key.2) NOT IN (
    SELECT occurred_at, id FROM changes
    WHERE org = {org:String} AND (occurred_at, id) IN ` + revisedKeys + ` AND run < {run:UInt16})
  AND (key.1, key.2) NOT IN (
    SELECT occurred_at, id FROM change_revisions
    WHERE org = {org:String} AND (occurred_at, id) IN ` + revisedKeys + ` AND replaced_run = {run:UInt16})`

// KeepRevisions copies what replays are about to replace or remove, so that it
// can be shown later. It comes before InsertChanges, and does nothing for what
// is made the first time. Doing it again is harmless.
func (s *Store) KeepRevisions(ctx context.Context, batches []Batch) error {
	type part struct {
		org   string
		run   uint16
		month int
	}
	ids := map[part][]change.ID{}
	for i := range batches {
		b := &batches[i]
		if b.Run == 0 {
			continue
		}
		for j := range b.Results {
			r := &b.Results[j]
			add := func(id change.ID) {
				at := part{r.Org, b.Run, month(id.Time())}
				ids[at] = append(ids[at], id)
			}
			for k := range r.Changes {
				add(r.Changes[k].ID)
			}
			for _, id := range r.Removed {
				add(id)
			}
		}
	}
	now := s.now().UnixMilli()
	for at, all := range ids {
		for some := range slices.Chunk(all, keysAtOnce) {
			if err := s.keepRevisions(ctx, at.org, at.run, now, some); err != nil {
				return fmt.Errorf("keep %d revisions: %w", len(some), err)
			}
		}
	}
	return nil
}

func (s *Store) keepRevisions(ctx context.Context, org string, run uint16, now int64, ids []change.ID) error {
	times, texts := make([]int64, len(ids)), make([]string, len(ids))
	for i, id := range ids {
		times[i], texts[i] = id.Time().UnixMilli(), hex.EncodeToString(id[:])
	}
	args := []any{
		clickhouse.Named("org", org), clickhouse.Named("run", run), clickhouse.Named("now", now),
		clickhouse.Named("times", times), clickhouse.Named("ids", texts),
	}
	settings := clickhouse.Settings{"async_insert": 0, "insert_deduplicate": 0}
	if s.cfg.Cluster != "" {
		settings["insert_quorum"] = "auto"
		settings["insert_quorum_timeout"] = int(insertTimeout.Milliseconds() / 2)
		settings["distributed_foreground_insert"] = 1
		settings["distributed_product_mode"] = "local"
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(settings))
	// The second looks at what the first has copied.
	for _, statement := range []string{strings.ReplaceAll(keepStatement, "{columns}", strings.Join(columns[changeRow](), ", ")), addedStatement} {
		if err := s.conn.Exec(ctx, statement, args...); err != nil {
			s.stumbled(err)
			return queryError(ctx, err)
		}
	}
	return nil
}

// ChangeAsOf returns a change as it was known at a time: replays may have made
// it anew, removed or added it since. What was not known then is not found.
func (s *Store) ChangeAsOf(ctx context.Context, org string, id change.ID, asOf time.Time) (change.Change, error) {
	w, err := forOrg(org)
	if err != nil {
		return change.Change{}, err
	}
	var rows []changeRow
	statement := fmt.Sprintf(`SELECT %s
FROM change_revisions FINAL
WHERE org = {org:String} AND occurred_at = %s AND id = %s AND replaced_at > %s
ORDER BY replaced_run
LIMIT 1`, strings.Join(columns[changeRow](), ", "), atParam("at"), idParam("id"), atParam("as_of"))
	if err := s.query(ctx, "revision", &rows, statement, w.args[0], clickhouse.Named("at", id.Time().UnixMilli()),
		clickhouse.Named("id", hex.EncodeToString(id[:])), clickhouse.Named("as_of", asOf.UnixMilli())); err != nil {
		return change.Change{}, err
	}
	unknown := problem.New(problem.NotFound, "change_not_found", "there is no such change")
	var c change.Change
	switch {
	case len(rows) == 0:
		if c, err = s.Change(ctx, org, id); err != nil {
			return change.Change{}, err
		}
	case rows[0].IsDeleted > 0:
		return change.Change{}, unknown
	default:
		c = rows[0].change()
	}
	if c.CreatedAt.After(asOf) {
		return change.Change{}, unknown
	}
	return c, nil
}

// Difference is one thing that a replay changes, or would.
type Difference struct {
	Org        string
	Replay     string
	DeliveryID change.DeliveryID
	ChangeID   change.ID // zero: of the delivery itself
	Kind       string
	Provider   string
	Summary    string
	Fields     []FieldChange
}

// FieldChange is a field that a replay gives another value; nil is no value.
type FieldChange struct {
	Name string          `json:"name"`
	Old  json.RawMessage `json:"old,omitempty"`
	New  json.RawMessage `json:"new,omitempty"`
}

type differenceRow struct {
	Org        string    `ch:"org"`
	Replay     string    `ch:"replay"`
	DeliveryID string    `ch:"delivery_id"`
	Record     string    `ch:"record"`
	FoundAt    time.Time `ch:"found_at"`
	Kind       string    `ch:"kind"`
	Provider   string    `ch:"provider"`
	Summary    string    `ch:"summary"`
	Fields     string    `ch:"fields"`
}

var differencesTable = table[differenceRow]{"replay_differences", func(r *differenceRow) int { return week(r.FoundAt) }}

// InsertDifferences stores what a replay found out. Storing it again replaces it.
func (s *Store) InsertDifferences(ctx context.Context, differences []Difference) error {
	now := change.At(s.now()).Time
	rows := make([]differenceRow, len(differences))
	for i := range differences {
		d := &differences[i]
		fields, err := json.Marshal(d.Fields)
		if err != nil {
			return fmt.Errorf("encode difference: %w", err)
		}
		rows[i] = differenceRow{
			Org: d.Org, Replay: d.Replay, DeliveryID: string(d.DeliveryID[:]), Record: string(d.ChangeID[:]), FoundAt: now,
			Kind: d.Kind, Provider: d.Provider, Summary: d.Summary, Fields: string(fields),
		}
	}
	return insert(ctx, s, differencesTable, rows)
}

// DifferenceQuery asks for a page of what a replay found out.
type DifferenceQuery struct {
	Org    string
	Replay string
	Kind   string // empty: all
	Cursor string
	Limit  int
}

// Differences returns a page of what a replay found out, in the order in which
// its deliveries were received.
func (s *Store) Differences(ctx context.Context, q DifferenceQuery) (Page[Difference], error) {
	out := Page[Difference]{Total: -1, Limit: q.Limit, Data: []Difference{}}
	w, err := forOrg(q.Org)
	if err != nil {
		return out, err
	}
	w.add("replay = {replay:String}", "replay", q.Replay)
	w.equal("kind", q.Kind)
	bound := fingerprint("differences", [2]string{q.Replay, q.Kind})
	if q.Cursor != "" {
		after, err := hex.DecodeString(q.Cursor)
		if err != nil || len(after) != 32+sumSize || !slices.Equal(after[32:], checksum(after[:32], bound)) {
			return out, problem.Invalid("cursor", "is not a cursor of this list: take next_cursor as it is, or leave it out to begin anew")
		}
		w.add("(delivery_id, record) > ("+idParam("delivery")+", "+idParam("record")+")", "delivery", hex.EncodeToString(after[:16]))
		w.args = append(w.args, clickhouse.Named("record", hex.EncodeToString(after[16:32])))
	}
	var rows []differenceRow
	if err := s.ask(ctx, "differences", &rows, fmt.Sprintf("SELECT %s FROM replay_differences FINAL\nWHERE %s\nORDER BY delivery_id, record\nLIMIT {limit:UInt32}",
		strings.Join(columns[differenceRow](), ", "), w), append(w.args, clickhouse.Named("limit", q.Limit+1))...); err != nil {
		return out, err
	}
	if out.HasMore = len(rows) > q.Limit; out.HasMore {
		rows = rows[:q.Limit]
		last := []byte(rows[q.Limit-1].DeliveryID + rows[q.Limit-1].Record)
		out.NextCursor = hex.EncodeToString(append(last, checksum(last, bound)...))
	}
	for i := range rows {
		r := &rows[i]
		d := Difference{
			Org: r.Org, Replay: r.Replay, DeliveryID: change.DeliveryID([]byte(r.DeliveryID)), ChangeID: change.ID([]byte(r.Record)),
			Kind: r.Kind, Provider: r.Provider, Summary: r.Summary,
		}
		if err := json.Unmarshal([]byte(r.Fields), &d.Fields); err != nil {
			return out, fmt.Errorf("decode difference: %w", err)
		}
		out.Data = append(out.Data, d)
	}
	return out, nil
}

// Arrived returns which of these identities a source has received a delivery
// with, whatever became of it.
func (s *Store) Arrived(ctx context.Context, org, sourceID string, identities []string) (map[string]bool, error) {
	w, err := forOrg(org)
	if err != nil {
		return nil, err
	}
	w.add("source_id = {source_id:String}", "source_id", sourceID)
	out := make(map[string]bool, len(identities))
	for some := range slices.Chunk(identities, identitiesPerQuery) {
		var rows []struct {
			Identity string `ch:"identity"`
		}
		if err := s.query(ctx, "arrived", &rows, "SELECT DISTINCT identity FROM deliveries\nWHERE "+w.String()+
			"\n  AND identity IN {identities:Array(String)}", append(slices.Clip(w.args), clickhouse.Named("identities", some))...); err != nil {
			return nil, err
		}
		for _, r := range rows {
			out[r.Identity] = true
		}
	}
	return out, nil
}
