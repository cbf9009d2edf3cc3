package store

import (
	"context"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// receiptRow is a row of the table receipts.
type receiptRow struct {
	Org      string    `ch:"org"`
	Minute   time.Time `ch:"minute"`
	SourceID string    `ch:"source_id"`
	Chain    string    `ch:"chain"`
	Frame    uint64    `ch:"frame_no"`
	Seq      uint64    `ch:"seq"`
	Received uint32    `ch:"received"`
	IsDead   bool      `ch:"is_dead"`
}

var receiptsTable = table[receiptRow]{"receipts", func(r *receiptRow) int { return month(r.Minute) }}

// InsertReceipts stores what frames brought. The same again is harmless.
func (s *Store) InsertReceipts(ctx context.Context, receipts []Receipt) error {
	rows := make([]receiptRow, len(receipts))
	for i, r := range receipts {
		rows[i] = receiptRow{
			Org: r.Org, Minute: r.Minute.UTC(), SourceID: r.SourceID, Chain: r.Chain, Frame: r.Frame, Seq: r.Seq,
			Received: uint32(r.Count), IsDead: r.Dead,
		}
	}
	return insert(ctx, s, receiptsTable, rows)
}

type accountRow struct {
	Start     int64  `ch:"start"` // milliseconds
	SourceID  string `ch:"source_id"`
	Received  int64  `ch:"received"`
	Stored    int64  `ch:"stored"`
	Duplicate int64  `ch:"duplicate"`
	Ignored   int64  `ch:"ignored"`
	Dead      int64  `ch:"dead"`
	InFlight  int64  `ch:"in_flight"`
	Missing   int64  `ch:"missing"`
	Uncounted int64  `ch:"uncounted"`
	Oldest    int64  `ch:"oldest"` // seconds
}

// accountStatement compares, frame by frame, what was received with what became
// of it. Receipts repeat until they are merged, and those that are not stored
// yet come as lists: the largest of each counts.
const accountStatement = `SELECT intDiv(toInt64(toUnixTimestamp(minute)) * 1000, {bucket:Int64}) * {bucket:Int64} AS start, source_id,
    sum(greatest(counted, known)) AS received,
    sum(is_stored) AS stored, sum(is_duplicate) AS duplicate, sum(is_ignored) AS ignored,
    sum(was_dead) + sumIf(lack, frame_dead) AS dead,
    sumIf(lack, flying AND NOT frame_dead) AS in_flight,
    sumIf(lack, NOT flying AND NOT frame_dead) AS missing,
    sum(greatest(known - counted, 0)) AS uncounted,
    toInt64(toUnixTimestamp(minIf(minute, lack > 0 AND flying AND NOT frame_dead))) AS oldest
FROM (
    SELECT minute, source_id, chain, frame_no,
        max(toInt64(n)) AS counted, max(sequence) AS seq, max(dead_frame) AS frame_dead,
        toInt64(sum(n_stored)) AS is_stored, toInt64(sum(n_duplicate)) AS is_duplicate,
        toInt64(sum(n_ignored)) AS is_ignored, toInt64(sum(n_dead)) AS was_dead,
        is_stored + is_duplicate + is_ignored + was_dead AS known,
        greatest(counted - known, 0) AS lack,
        seq > {settled:UInt64} AND seq <= {on_bus:UInt64} AND minute >= toDateTime({began:Int64}, 'UTC') AS flying
    FROM (
        SELECT minute, source_id, chain, frame_no, received AS n, seq AS sequence, is_dead AS dead_frame,
            0 AS n_stored, 0 AS n_duplicate, 0 AS n_ignored, 0 AS n_dead
        FROM receipts
        WHERE {where_minute}
        UNION ALL
        SELECT toDateTime(late.1, 'UTC') AS minute, late.2 AS source_id, late.3 AS chain, late.4 AS frame_no, late.5 AS n, late.6 AS sequence, 0 AS dead_frame,
            0 AS n_stored, 0 AS n_duplicate, 0 AS n_ignored, 0 AS n_dead
        FROM (
            SELECT arrayJoin(arrayZip({late_minutes:Array(UInt32)}, {late_sources:Array(String)}, {late_chains:Array(String)},
                {late_frames:Array(UInt64)}, {late_counts:Array(UInt32)}, {late_seqs:Array(UInt64)})) AS late
        )
        UNION ALL
        SELECT toDateTime(toStartOfMinute(received_at), 'UTC') AS minute, source_id, chain, frame_no, 0 AS n, 0 AS sequence, 0 AS dead_frame,
            countIf(outcome = 'stored') AS n_stored, countIf(outcome = 'duplicate') AS n_duplicate,
            countIf(outcome = 'ignored') AS n_ignored, countIf(outcome = 'dead') AS n_dead
        FROM deliveries FINAL
        WHERE {where}
        GROUP BY minute, source_id, chain, frame_no
    )
    GROUP BY minute, source_id, chain, frame_no
)
GROUP BY start, source_id
ORDER BY start, source_id`

// Account says what became of everything that was received, by source and
// bucket. It counts whole minutes: those that the range begins and ends in too.
func (s *Store) Account(ctx context.Context, q AccountQuery) ([]AccountRow, error) {
	if q.Bucket == 0 {
		q.Bucket = time.Minute
	}
	switch {
	case q.Start.IsZero() || q.End.IsZero():
		return nil, problem.Invalid("start_date", "and end_date are required")
	case !q.Start.Before(q.End):
		return nil, problem.Invalid("end_date", "must be after start_date")
	case q.Bucket < time.Minute:
		return nil, problem.Invalid("bucket", "must be at least a minute")
	case q.End.Sub(q.Start)/q.Bucket > maxBuckets:
		return nil, problem.Invalid("bucket", "makes too many buckets: take a longer one or a shorter range")
	}
	statement, args, err := q.statement()
	if err != nil {
		return nil, err
	}
	var rows []accountRow
	if err := s.ask(ctx, "account", &rows, statement, args...); err != nil {
		return nil, err
	}
	out := make([]AccountRow, len(rows))
	for i, r := range rows {
		out[i] = AccountRow{
			Start: change.AtMilli(r.Start), SourceID: r.SourceID,
			Received: r.Received, Stored: r.Stored, Duplicate: r.Duplicate, Ignored: r.Ignored,
			Dead: r.Dead, InFlight: r.InFlight, Missing: r.Missing, Uncounted: r.Uncounted,
		}
		if r.InFlight > 0 {
			out[i].Oldest = change.AtMilli(r.Oldest * 1000)
		}
	}
	return out, nil
}

func (q *AccountQuery) statement() (string, []any, error) {
	w, err := forOrg(q.Org)
	if err != nil {
		return "", nil, err
	}
	start, end := q.Start.Truncate(time.Minute), q.End.Add(time.Minute-time.Nanosecond).Truncate(time.Minute)
	w.equal("source_id", q.SourceID)
	w.between("received_at", start, end)
	deep := func(s string) string { return indent(indent(s)) }
	statement := strings.NewReplacer(
		"{where}", deep(w.String()),
		"{where_minute}", deep(strings.ReplaceAll(w.String(), "received_at", "minute")),
	).Replace(accountStatement)
	var late lateReceipts
	for _, r := range q.Bus.Late {
		if r.Org == q.Org && (q.SourceID == "" || r.SourceID == q.SourceID) && !r.Minute.Before(start) && r.Minute.Before(end) {
			late.add(r)
		}
	}
	args := append(w.args, clickhouse.Named("bucket", q.Bucket.Milliseconds()),
		clickhouse.Named("settled", q.Bus.Settled), clickhouse.Named("on_bus", q.Bus.End),
		clickhouse.Named("began", q.Bus.Began.Truncate(time.Minute).Unix()))
	return statement, append(args, late.args()...), nil
}

// lateReceipts are receipts as lists, one a column.
type lateReceipts struct {
	minutes         []uint32
	sources, chains []string
	frames, seqs    []uint64
	counts          []uint32
}

func (l *lateReceipts) add(r Receipt) {
	l.minutes = append(l.minutes, uint32(r.Minute.Unix()))
	l.sources, l.chains = append(l.sources, r.SourceID), append(l.chains, r.Chain)
	l.frames, l.seqs = append(l.frames, r.Frame), append(l.seqs, r.Seq)
	l.counts = append(l.counts, uint32(r.Count))
}

func (l *lateReceipts) args() []any {
	return []any{
		clickhouse.Named("late_minutes", l.minutes), clickhouse.Named("late_sources", l.sources), clickhouse.Named("late_chains", l.chains),
		clickhouse.Named("late_frames", l.frames), clickhouse.Named("late_counts", l.counts), clickhouse.Named("late_seqs", l.seqs),
	}
}

// ReceivingOrgs returns the orgs of which something was received from start on
// and before end: it is for who checks all accounts.
func (s *Store) ReceivingOrgs(ctx context.Context, start, end time.Time) ([]string, error) {
	var rows []struct {
		Org string `ch:"org"`
	}
	if err := s.query(ctx, "receiving orgs", &rows,
		"SELECT DISTINCT org FROM receipts WHERE minute >= "+atParam("start")+" AND minute < "+atParam("end")+" ORDER BY org",
		clickhouse.Named("start", start.Truncate(time.Minute).UnixMilli()), clickhouse.Named("end", end.UnixMilli())); err != nil {
		return nil, err
	}
	orgs := make([]string, len(rows))
	for i, r := range rows {
		orgs[i] = r.Org
	}
	return orgs, nil
}
