package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Damaged is a part of a table that cannot be read and was put aside: its rows
// are missing until they are stored again.
type Damaged struct {
	Table  string `ch:"table"`
	Part   string `ch:"name"`
	Reason string `ch:"reason"`
}

// damage remembers the parts that questions stumbled over. A part that a merge
// wrote to a full disk, or that the disk changed, fails every question that
// reads it, for ever.
type damage struct {
	mu    sync.Mutex
	parts []suspect
	full  time.Time // since when inserts had no room; zero: they have
	wake  chan struct{}
}

// suspect is a part that a question stumbled over, in a table that is known by
// its name or by its id.
type suspect struct{ table, id, part string }

// An error of ClickHouse names the part and its table, or a file of the part.
var (
	unreadable     = regexp.MustCompile(`from part \S*?([0-9]+_[0-9]+_[0-9]+_[0-9]+(?:_[0-9]+)?)/? in table (\w+)\.(\w+) `)
	unreadableFile = regexp.MustCompile(`/store/[0-9a-f]{3}/([0-9a-f-]{36})/([0-9]+_[0-9]+_[0-9]+_[0-9]+(?:_[0-9]+)?)/`)
)

// stumbled notes the part that an error names, if it names one. Whether it is
// damaged is for Mend to see: the disk may merely have failed for a moment.
func (s *Store) stumbled(err error) {
	refused, ok := errors.AsType[*clickhouse.Exception](err)
	if !ok || s.cfg.Cluster != "" { // a replica mends itself from the others
		return
	}
	var part suspect
	if found := unreadable.FindStringSubmatch(refused.Message); found != nil && found[2] == s.cfg.Database {
		part = suspect{table: found[3], part: found[1]}
	} else if found := unreadableFile.FindStringSubmatch(refused.Message); found != nil {
		part = suspect{id: found[1], part: found[2]}
	} else {
		return
	}
	s.damage.mu.Lock()
	defer s.damage.mu.Unlock()
	if len(s.damage.parts) < 1000 && !slices.Contains(s.damage.parts, part) {
		s.damage.parts = append(s.damage.parts, part)
	}
	select {
	case s.damage.wake <- struct{}{}:
	default:
	}
}

// Stumbled has a token when there may be something for Mend to do.
func (s *Store) Stumbled() <-chan struct{} { return s.damage.wake }

// Mend looks at the parts that questions stumbled over and puts those aside
// that are damaged, so that the rest can be read again. They stay on the disk,
// under detached/. It returns what it put aside.
func (s *Store) Mend(ctx context.Context) ([]Damaged, error) {
	s.damage.mu.Lock()
	parts, full := s.damage.parts, s.damage.full
	s.damage.parts, s.damage.full = nil, time.Time{}
	s.damage.mu.Unlock()
	var aside []Damaged
	var errs []error
	if !full.IsZero() {
		written, err := s.writtenSince(ctx, full.Add(-beforeFull))
		if err != nil {
			errs = append(errs, fmt.Errorf("find what was written to a full disk: %w", err))
			s.noRoom(full)
		}
		parts = append(parts, written...)
	}
	for _, suspected := range parts {
		p, err := s.partOf(ctx, suspected)
		if err != nil {
			errs = append(errs, fmt.Errorf("find the table of part %s: %w", suspected.part, err))
			continue
		}
		if !name.MatchString(p.Table) {
			continue
		}
		var whole uint8
		err = s.conn.QueryRow(ctx, fmt.Sprintf("CHECK TABLE %s PART '%s' SETTINGS check_query_single_value_result = 1", p.Table, p.Part)).Scan(&whole)
		if refused, ok := errors.AsType[*clickhouse.Exception](err); ok && refused.Code == noSuchPart || err == nil && whole == 1 {
			continue // merged away meanwhile, or readable again
		}
		if err == nil {
			err = s.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DETACH PART '%s'", p.Table, p.Part))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("put part %s of %s aside: %w", p.Part, p.Table, err))
			continue
		}
		p.Reason = "damaged"
		aside = append(aside, p)
		s.log.Error("a damaged part was put aside; its rows are stored again as far as the bus has them",
			"table", p.Table, "part", p.Part)
	}
	s.metrics.damaged.Add(float64(len(aside)))
	return aside, errors.Join(errs...)
}

// Codes of ClickHouse's errors.
const (
	noSuchPart     = 232 // NO_SUCH_DATA_PART
	notEnoughSpace = 243 // NOT_ENOUGH_SPACE
	cannotWrite    = 75  // CANNOT_WRITE_TO_FILE_DESCRIPTOR
)

// beforeFull is how long an insert that was answered before may have been writing
// when the first one was refused.
const beforeFull = 30 * time.Second

// refusedFor notes that an insert had no room. What was written about then may be
// damaged, and is read as if it were not until ClickHouse starts again.
func (s *Store) refusedFor(err error) {
	refused, ok := errors.AsType[*clickhouse.Exception](err)
	if ok && s.cfg.Cluster == "" && (refused.Code == notEnoughSpace || refused.Code == cannotWrite) {
		s.noRoom(s.now())
	}
}

func (s *Store) noRoom(since time.Time) {
	s.damage.mu.Lock()
	defer s.damage.mu.Unlock()
	if s.damage.full.IsZero() || since.Before(s.damage.full) {
		s.damage.full = since
	}
}

// writtenSince lists the parts that an insert or a merge wrote since then.
func (s *Store) writtenSince(ctx context.Context, since time.Time) ([]suspect, error) {
	var found []Damaged
	err := s.query(ctx, "parts", &found, `SELECT table, name FROM system.parts
WHERE database = {database:String} AND active AND modification_time >= toDateTime({since:Int64})`,
		clickhouse.Named("database", s.cfg.Database), clickhouse.Named("since", since.Unix()))
	written := make([]suspect, len(found))
	for i, p := range found {
		written[i] = suspect{table: p.Table, part: p.Part}
	}
	return written, err
}

// partOf finds the table of a part. Without one the table is not ours, or gone.
func (s *Store) partOf(ctx context.Context, p suspect) (Damaged, error) {
	if p.id == "" {
		return Damaged{Table: p.table, Part: p.part}, nil
	}
	var tables []struct {
		Name string `ch:"name"`
	}
	err := s.query(ctx, "tables", &tables, `SELECT name FROM system.tables WHERE database = {database:String} AND toString(uuid) = {id:String}`,
		clickhouse.Named("database", s.cfg.Database), clickhouse.Named("id", p.id))
	if err != nil || len(tables) == 0 {
		return Damaged{}, err
	}
	return Damaged{Table: tables[0].Name, Part: p.part}, nil
}

// Aside lists the parts that are damaged and were put aside, also by ClickHouse
// itself when it started.
func (s *Store) Aside(ctx context.Context) ([]Damaged, error) {
	var found []Damaged
	err := s.query(ctx, "damaged parts", &found, `SELECT table, name, reason FROM system.detached_parts
WHERE database = {database:String} AND (reason = '' OR reason LIKE 'broken%') ORDER BY table, name`,
		clickhouse.Named("database", s.cfg.Database))
	for i := range found {
		if found[i].Reason == "" {
			found[i].Reason = "damaged"
		}
	}
	return found, err
}
