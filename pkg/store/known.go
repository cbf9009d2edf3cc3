package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
)

const knownChanges = `SELECT id FROM changes
WHERE org = {org:String}
  AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND hex(substring(id, 7)) IN {facts:Array(String)}
ORDER BY occurred_at`

// KnownChanges returns which of these changes are stored as having occurred
// since start, perhaps at another time than their id says: what tells two
// facts apart is the rest of the id. The first in time counts.
func (s *Store) KnownChanges(ctx context.Context, org string, start time.Time, ids []change.ID) (map[change.Fact]change.ID, error) {
	known := map[change.Fact]change.ID{}
	if len(ids) == 0 {
		return known, nil
	}
	facts := make([]string, len(ids))
	for i, id := range ids {
		fact := id.Fact()
		facts[i] = fmt.Sprintf("%X", fact[:])
	}
	var rows []struct {
		ID string `ch:"id"`
	}
	if err := s.query(ctx, "known changes", &rows, knownChanges, clickhouse.Named("org", org),
		clickhouse.Named("start", start.UnixMilli()), clickhouse.Named("facts", facts)); err != nil {
		return nil, err
	}
	for _, r := range rows {
		id := change.ID([]byte(r.ID))
		if _, ok := known[id.Fact()]; !ok {
			known[id.Fact()] = id
		}
	}
	return known, nil
}
