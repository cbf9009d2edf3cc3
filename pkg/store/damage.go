package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
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
	parts []Suspect
	full  time.Time // since when inserts had no room; zero: they have
	wake  chan struct{}
}

// Suspect is a part that a question stumbled over, in a table that is known by
// its name or by its id.
type Suspect struct {
	Table string `json:"table,omitempty"`
	ID    string `json:"id,omitempty"`
	Part  string `json:"part"`
}

// partName is partition, first and last block, level and mutation. A table
// without partitions has the one named all.
const partName = `(?:[0-9]+|all)_[0-9]+_[0-9]+_[0-9]+(?:_[0-9]+)?`

// An error of ClickHouse names the part and its table, or a file of the part.
var (
	unreadable     = regexp.MustCompile(`from part (?:\S*/)?(` + partName + `)/? in table (\w+)\.(\w+) `)
	wholePart      = regexp.MustCompile("^" + partName + "$")
	unreadableFile = regexp.MustCompile(`/store/[0-9a-f]{3}/([0-9a-f-]{36})/(` + partName + `)/`)
)

// stumbled notes the part that an error names, if it names one. Whether it is
// damaged is for Mend to see: the disk may merely have failed for a moment.
func (s *Store) stumbled(err error) {
	refused, ok := errors.AsType[*clickhouse.Exception](err)
	if !ok || s.cfg.Cluster != "" { // a replica mends itself from the others
		return
	}
	var part Suspect
	if found := unreadable.FindStringSubmatch(refused.Message); found != nil && found[2] == s.cfg.Database {
		part = Suspect{Table: found[3], Part: found[1]}
	} else if found := unreadableFile.FindStringSubmatch(refused.Message); found != nil {
		part = Suspect{ID: found[1], Part: found[2]}
	} else {
		return
	}
	s.damage.add(part)
	s.damage.tell()
}

// Suspects takes the parts that questions stumbled over, for another process to
// look at. Mend looks at them in this one.
func (s *Store) Suspects() []Suspect { return s.damage.take() }

// Suspect lets Mend look at parts that another process stumbled over.
func (s *Store) Suspect(parts ...Suspect) {
	if s.cfg.Cluster != "" {
		return
	}
	for _, p := range parts {
		if wholePart.MatchString(p.Part) && (name.MatchString(p.Table) || p.Table == "" && p.ID != "") {
			s.damage.add(p)
			s.damage.tell()
		}
	}
}

func (d *damage) tell() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *damage) take() []Suspect {
	d.mu.Lock()
	defer d.mu.Unlock()
	parts := d.parts
	d.parts = nil
	return parts
}

func (d *damage) add(part Suspect) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.parts) < 1000 && !slices.Contains(d.parts, part) {
		d.parts = append(d.parts, part)
	}
}

// Stumbled has a token when there may be something for Mend to do.
func (s *Store) Stumbled() <-chan struct{} { return s.damage.wake }

// Mend looks at the parts that questions stumbled over and puts those aside
// that are damaged, so that the rest can be read again. They stay on the disk,
// under detached/. It returns what it put aside, and looks at the others the
// next time where it could not.
func (s *Store) Mend(ctx context.Context) ([]Damaged, error) {
	var aside []Damaged
	var errs []error
	again := func(p Suspect, err error) {
		errs = append(errs, err)
		s.damage.add(p)
	}
	if err := s.suspectWritten(ctx); err != nil {
		errs = append(errs, err)
	}
	for _, suspected := range s.damage.take() {
		p, err := s.partOf(ctx, suspected)
		if err != nil {
			again(suspected, fmt.Errorf("find the table of part %s: %w", suspected.Part, err))
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
			again(suspected, fmt.Errorf("put part %s of %s aside: %w", p.Part, p.Table, err))
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

// suspectWritten makes suspects of the parts that an insert or a merge wrote since
// there was no room, if there was none since the last time.
func (s *Store) suspectWritten(ctx context.Context) error {
	s.damage.mu.Lock()
	full := s.damage.full
	s.damage.full = time.Time{}
	s.damage.mu.Unlock()
	if full.IsZero() {
		return nil
	}
	var written []Damaged
	err := s.query(ctx, "parts", &written, `SELECT table, name FROM system.parts
WHERE database = {database:String} AND active AND modification_time >= toDateTime({since:Int64})`,
		clickhouse.Named("database", s.cfg.Database), clickhouse.Named("since", full.Add(-beforeFull).Unix()))
	if err != nil {
		s.noRoom(full)
		return fmt.Errorf("find what was written to a full disk: %w", err)
	}
	for _, p := range written {
		s.damage.add(Suspect{Table: p.Table, Part: p.Part})
	}
	return nil
}

// partOf finds the table of a part. Without one the table is not ours, or gone.
func (s *Store) partOf(ctx context.Context, p Suspect) (Damaged, error) {
	if p.Table != "" {
		return Damaged{Table: p.Table, Part: p.Part}, nil
	}
	var tables []struct {
		Name string `ch:"name"`
	}
	err := s.query(ctx, "tables", &tables, `SELECT name FROM system.tables WHERE database = {database:String} AND toString(uuid) = {id:String}`,
		clickhouse.Named("database", s.cfg.Database), clickhouse.Named("id", p.ID))
	if err != nil || len(tables) == 0 {
		return Damaged{}, err
	}
	return Damaged{Table: tables[0].Name, Part: p.Part}, nil
}

// Aside lists the parts that are damaged and were put aside, also by ClickHouse
// itself when it started.
func (s *Store) Aside(ctx context.Context) ([]Damaged, error) {
	var found []Damaged
	err := s.query(ctx, "damaged parts", &found, `SELECT table, name, reason FROM system.detached_parts
WHERE database = {database:String} AND (reason = '' OR reason LIKE 'broken%') ORDER BY table, name`,
		clickhouse.Named("database", s.cfg.Database))
	for i := range found {
		if s.cfg.Cluster != "" { // by the name that it is asked by
			found[i].Table = strings.TrimSuffix(found[i].Table, localSuffix)
		}
		if found[i].Reason == "" {
			found[i].Reason = "damaged"
		}
	}
	return found, err
}
