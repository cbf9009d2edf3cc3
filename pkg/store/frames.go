package store

import (
	"context"
	"encoding/hex"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
)

// placeRow is a frame's places in the tables.
type placeRow struct {
	Frame    uint64   `ch:"frame_no"`
	Delivery []uint32 `ch:"deliveries"`
	Payload  []uint32 `ch:"payloads"`
	Short    []uint32 `ch:"short"`
	Received uint64   `ch:"received"`
}

// placesStatement asks each table, which its own consumer writes. A delivery
// is short of changes when fewer are found under its place than its row says it
// made; the latest word on it counts.
const placesStatement = `SELECT frame_no,
    arraySort(groupArrayIf(place, is_delivery)) AS deliveries,
    arraySort(groupArrayIf(place, is_payload)) AS payloads,
    arraySort(groupArrayIf(place, found < made)) AS short,
    sum(counted) AS received
FROM (
    SELECT frame_no, place, max(kind = 1) AS is_delivery, max(kind = 2) AS is_payload,
        sumIf(n, kind = 1) AS made, sumIf(n, kind = 3) AS found, sumIf(n, kind = 4) AS counted
    FROM (
        SELECT frame_no, place, 1 AS kind, toUInt64(argMax(changes, version)) AS n FROM deliveries
        WHERE chain = {chain:String} AND frame_no BETWEEN {from:UInt64} AND {to:UInt64}
        GROUP BY frame_no, place
        UNION ALL
        SELECT DISTINCT frame_no, place, 2 AS kind, toUInt64(0) AS n FROM payloads
        WHERE chain = {chain:String} AND frame_no BETWEEN {from:UInt64} AND {to:UInt64}
        UNION ALL
        SELECT frame_no, place, 3 AS kind, uniqExact(id) AS n FROM changes
        WHERE chain = {chain:String} AND frame_no BETWEEN {from:UInt64} AND {to:UInt64}
        GROUP BY frame_no, place
        UNION ALL
        SELECT frame_no, toUInt32(0) AS place, 4 AS kind, toUInt64(max(receipts.received)) AS n FROM receipts
        WHERE chain = {chain:String} AND frame_no BETWEEN {from:UInt64} AND {to:UInt64}
        GROUP BY frame_no, org, minute, source_id
    )
    GROUP BY frame_no, place
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
			out[FrameID{r.Chain, row.Frame}] = StoredFrame{
				Deliveries: ints(row.Delivery), Payloads: ints(row.Payload), Short: ints(row.Short), Received: int(row.Received),
			}
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

const haveStatement = `SELECT DISTINCT id FROM changes
PREWHERE org = {org:String}
  AND (occurred_at, id) IN (
    SELECT fromUnixTimestamp64Milli(key.1, 'UTC'), toFixedString(unhex(key.2), 16)
    FROM (SELECT arrayJoin(arrayZip({times:Array(Int64)}, {ids:Array(String)})) AS key))`

// LacksChanges returns those of an org's changes that are not stored in any
// version: a fact that several deliveries report is stored once, as the first
// of them has it.
func (s *Store) LacksChanges(ctx context.Context, org string, ids []change.ID) ([]change.ID, error) {
	stored := map[change.ID]bool{}
	for chunk := range slices.Chunk(ids, identitiesPerQuery) {
		times, texts := make([]int64, len(chunk)), make([]string, len(chunk))
		for i, id := range chunk {
			times[i], texts[i] = id.Time().UnixMilli(), hex.EncodeToString(id[:])
		}
		var rows []struct {
			ID string `ch:"id"`
		}
		if err := s.query(ctx, "stored changes", &rows, haveStatement, clickhouse.Named("org", org),
			clickhouse.Named("times", times), clickhouse.Named("ids", texts)); err != nil {
			return nil, err
		}
		for _, r := range rows {
			stored[change.ID([]byte(r.ID))] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id change.ID) bool { return stored[id] }), nil
}
