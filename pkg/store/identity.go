package store

import (
	"context"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
)

// A statement asks for this many identities at most: as an HTTP parameter they
// must stay under ClickHouse's limit of a URL, 1 MiB.
const identitiesPerQuery = 2000

type knownRow struct {
	Org           string    `ch:"org"`
	SourceID      string    `ch:"source_id"`
	Identity      string    `ch:"identity"`
	DeliveryID    string    `ch:"first_id"`
	FirstReceived time.Time `ch:"first"`
	BodyHash      string    `ch:"hash"`
	Chain         string    `ch:"first_chain"`
	Frame         uint64    `ch:"first_frame"`
	Place         uint32    `ch:"first_place"`
}

// knownStatement needs no FINAL over the table, which would give up the index:
// it takes the latest word on each delivery by itself.
const knownStatement = `SELECT org, source_id, identity,
    argMin(id, (received_at, id)) AS first_id,
    argMin(first_received, (received_at, id)) AS first,
    argMin(body_hash, (received_at, id)) AS hash,
    argMin(chain, (received_at, id)) AS first_chain,
    argMin(frame_no, (received_at, id)) AS first_frame,
    argMin(place, (received_at, id)) AS first_place
FROM (
    SELECT org, source_id, identity, received_at, id,
        argMax(deliveries.first_received, version) AS first_received,
        argMax(deliveries.body_hash, version) AS body_hash,
        argMax(deliveries.chain, version) AS chain,
        argMax(deliveries.frame_no, version) AS frame_no,
        argMax(deliveries.place, version) AS place,
        argMax(deliveries.outcome, version) AS outcome
    FROM deliveries
    WHERE org IN {orgs:Array(String)}
      AND identity IN {identities:Array(String)}
    GROUP BY org, source_id, identity, received_at, id
)
WHERE outcome != 'dead'
GROUP BY org, source_id, identity`

// KnownIdentities returns, for each of the identities that is known, the first
// delivery that had it and did not end dead. Ask for many at once: the cost is
// in the asking.
func (s *Store) KnownIdentities(ctx context.Context, identities []Identity) (map[Identity]Known, error) {
	asked := make(map[Identity]bool, len(identities))
	var distinct []Identity
	for _, id := range identities {
		if id.Identity != "" && !asked[id] {
			asked[id] = true
			distinct = append(distinct, id)
		}
	}
	known := map[Identity]Known{}
	for chunk := range slices.Chunk(distinct, identitiesPerQuery) {
		var orgs, names []string
		for _, id := range chunk {
			orgs, names = append(orgs, id.Org), append(names, id.Identity)
		}
		slices.Sort(orgs)
		var rows []knownRow
		if err := s.query(ctx, "identities", &rows, knownStatement,
			clickhouse.Named("orgs", slices.Compact(orgs)), clickhouse.Named("identities", names)); err != nil {
			return nil, err
		}
		for i := range rows {
			r := &rows[i]
			id := Identity{r.Org, r.SourceID, r.Identity}
			if !asked[id] { // the same name, of another source or org
				continue
			}
			known[id] = Known{
				DeliveryID: change.DeliveryID([]byte(r.DeliveryID)), FirstReceived: change.At(r.FirstReceived),
				BodyHash: [32]byte([]byte(r.BodyHash)), Chain: r.Chain, Frame: r.Frame, Place: int(r.Place),
			}
		}
	}
	return known, nil
}
