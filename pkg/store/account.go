package store

import (
	"context"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

type accountRow struct {
	Start     int64  `ch:"start"` // milliseconds
	SourceID  string `ch:"source_id"`
	Stored    uint64 `ch:"stored"`
	Duplicate uint64 `ch:"duplicate"`
	Ignored   uint64 `ch:"ignored"`
	Dead      uint64 `ch:"dead"`
	InFlight  uint64 `ch:"in_flight"`
}

// accountStatement asks both tables, each written by its own consumer: a
// delivery is in one, the other or both.
const accountStatement = `SELECT intDiv(toUnixTimestamp64Milli(at), {bucket:Int64}) * {bucket:Int64} AS start, source_id,
    countIf(fate = 'stored') AS stored, countIf(fate = 'duplicate') AS duplicate,
    countIf(fate = 'ignored') AS ignored, countIf(fate = 'dead') AS dead, countIf(fate = '') AS in_flight
FROM (
    SELECT at, source_id, id, max(outcome) AS fate
    FROM (
        SELECT received_at AS at, source_id, id, toString(outcome) AS outcome FROM deliveries FINAL
        WHERE {where}
        UNION ALL
        SELECT received_at AS at, source_id, id, '' AS outcome FROM payloads
        WHERE {where}
    )
    GROUP BY at, source_id, id
)
GROUP BY start, source_id
ORDER BY start, source_id`

// Account says what became of everything that was received, by source and
// bucket, as far as it is written: what is only on the bus is not in it.
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
			Received: int64(r.Stored + r.Duplicate + r.Ignored + r.Dead + r.InFlight),
			Stored:   int64(r.Stored), Duplicate: int64(r.Duplicate), Ignored: int64(r.Ignored),
			Dead: int64(r.Dead), InFlight: int64(r.InFlight),
		}
	}
	return out, nil
}

func (q *AccountQuery) statement() (string, []any, error) {
	w, err := forOrg(q.Org)
	if err != nil {
		return "", nil, err
	}
	w.equal("source_id", q.SourceID)
	w.between("received_at", q.Start, q.End)
	statement := strings.ReplaceAll(accountStatement, "{where}", indent(indent(w.String())))
	return statement, append(w.args, clickhouse.Named("bucket", q.Bucket.Milliseconds())), nil
}

// placeRow is a frame's places in one of the tables.
type placeRow struct {
	Frame    uint64   `ch:"frame_no"`
	Delivery []uint32 `ch:"deliveries"`
	Payload  []uint32 `ch:"payloads"`
}

const placesStatement = `SELECT frame_no,
    arraySort(groupUniqArrayIf(place, is_delivery)) AS deliveries,
    arraySort(groupUniqArrayIf(place, NOT is_delivery)) AS payloads
FROM (
    SELECT frame_no, place, true AS is_delivery FROM deliveries
    WHERE chain = {chain:String} AND frame_no BETWEEN {from:UInt64} AND {to:UInt64}
    UNION ALL
    SELECT frame_no, place, false AS is_delivery FROM payloads
    WHERE chain = {chain:String} AND frame_no BETWEEN {from:UInt64} AND {to:UInt64}
)
GROUP BY frame_no`

// StoredFrames returns which places of the frames are stored, of all orgs: it
// is for the reconciler. A frame of which nothing is stored is not in it.
func (s *Store) StoredFrames(ctx context.Context, ranges ...FrameRange) (map[FrameID]StoredFrame, error) {
	out := map[FrameID]StoredFrame{}
	for _, r := range ranges {
		var rows []placeRow
		if err := s.query(ctx, "frames", &rows, placesStatement,
			clickhouse.Named("chain", r.Chain), clickhouse.Named("from", r.From), clickhouse.Named("to", r.To)); err != nil {
			return nil, err
		}
		for _, row := range rows {
			out[FrameID{r.Chain, row.Frame}] = StoredFrame{Deliveries: ints(row.Delivery), Payloads: ints(row.Payload)}
		}
	}
	return out, nil
}

func ints(in []uint32) []int {
	out := make([]int, len(in))
	for i, v := range in {
		out[i] = int(v)
	}
	return out
}

// LastFrames returns, for each chain of which a delivery was received since
// then, the last frame that is stored: a chain on the bus must not end before.
func (s *Store) LastFrames(ctx context.Context, since time.Time) (map[string]uint64, error) {
	var rows []struct {
		Chain string `ch:"chain"`
		Last  uint64 `ch:"last"`
	}
	if err := s.query(ctx, "last frames", &rows,
		"SELECT chain, max(frame_no) AS last FROM deliveries WHERE received_at >= "+atParam("since")+" GROUP BY chain",
		clickhouse.Named("since", since.UnixMilli())); err != nil {
		return nil, err
	}
	out := make(map[string]uint64, len(rows))
	for _, r := range rows {
		out[r.Chain] = r.Last
	}
	return out, nil
}
