package store

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/problem"
)

// runsWith is the migration that a program must know at least to run on the
// tables as ours leave them: the last one of the release before. Each release
// moves it on by one release, so that whoever upgraded can go back by one.
const runsWith = 8

// Schema says what is in a database and how this program fits to it.
type Schema struct {
	Database string `json:"database"`
	// Version is the highest migration that was applied; 0: there are no tables.
	Version int `json:"version"`
	// Oldest is the migration that a program must know at least to run on these tables.
	Oldest int `json:"oldest_program"`
	// Program is the highest migration that this program knows.
	Program int `json:"program"`
	// Pending are the migrations that this program would apply, in order.
	Pending []Migration `json:"pending"`
	// Newer names what was applied by a later version and is not known here.
	Newer []string `json:"newer,omitempty"`
}

// Migration is a numbered step of the schema. All of its statements are safe to
// run twice.
type Migration struct {
	Number     int         `json:"number"`
	Name       string      `json:"name"`
	Statements []Statement `json:"statements"`
}

// Statement is one statement of a migration, and what to expect of it.
type Statement struct {
	SQL   string `json:"sql"`
	Kind  string `json:"kind"` // what it does, such as add column; several are joined with a comma
	Table string `json:"table"`
	// Rewrites says that ClickHouse writes rows again for it, in the background:
	// it takes time and disk by the size of the table. The others take a moment.
	Rewrites bool `json:"rewrites"`
	// Additive says that a program which does not know of it goes on as before.
	Additive bool `json:"additive"`
}

// The ways in which a database and a program fit.
const (
	FitCurrent = "current" // made for each other
	FitEmpty   = "empty"   // there are no tables yet
	FitOlder   = "older"   // the tables lack something: migrate
	FitNewer   = "newer"   // a later version's tables, on which this program runs
	FitTooNew  = "too_new" // a later version's tables, on which it must not run
)

// Fit says how the tables and this program fit.
func (s *Schema) Fit() string {
	switch {
	case len(s.Newer) > 0 && s.Oldest > s.Program:
		return FitTooNew
	case s.Version == 0:
		return FitEmpty
	case len(s.Pending) > 0:
		return FitOlder
	case len(s.Newer) > 0:
		return FitNewer
	default:
		return FitCurrent
	}
}

// tooNew is nil unless a program like this one must not touch the tables.
func (s *Schema) tooNew() error {
	if s.Fit() != FitTooNew {
		return nil
	}
	return problem.New(problem.Busy, "schema_new", fmt.Sprintf(
		"database %s has schema %d, on which programs run that know schema %d at least; this one knows %d: run a newer version (`whatchanged migrate status` tells which schema a program knows)",
		s.Database, s.Version, s.Oldest, s.Program))
}

// Schema compares the tables with what this program knows. It changes nothing.
func (s *Store) Schema(ctx context.Context) (Schema, error) {
	out := Schema{Database: s.cfg.Database, Pending: []Migration{}}
	applied, err := s.applied(ctx)
	if err != nil {
		return out, err
	}
	known := map[int]bool{}
	for _, m := range s.migrations {
		known[m.number] = true
		out.Program = max(out.Program, m.number)
		if _, done := applied[m.number]; !done {
			out.Pending = append(out.Pending, m.describe())
		}
	}
	for number, a := range applied {
		out.Version, out.Oldest = max(out.Version, number), max(out.Oldest, a.oldest)
		if !known[number] {
			out.Newer = append(out.Newer, a.name)
		}
	}
	slices.Sort(out.Newer)
	return out, nil
}

// Plan returns what Migrate would do, in order, and does nothing.
func (s *Store) Plan(ctx context.Context) ([]Migration, error) {
	schema, err := s.Schema(ctx)
	if err == nil {
		err = schema.tooNew()
	}
	if err != nil || schema.Version == 0 {
		return schema.Pending, err
	}
	lifetime, err := s.retention(ctx)
	if err != nil || lifetime == "" {
		return schema.Pending, err
	}
	return append(schema.Pending, Migration{Name: "lifetime of payloads", Statements: []Statement{describe(lifetime)}}), nil
}

// CheckSchema returns an error that says what to run when the tables are older
// than this program, or so new that it must not run on them. On those of the
// next release it runs, which the log says.
func (s *Store) CheckSchema(ctx context.Context) error {
	schema, err := s.Schema(ctx)
	if err != nil {
		return err
	}
	switch schema.Fit() {
	case FitTooNew:
		return schema.tooNew()
	case FitEmpty, FitOlder:
		return problem.New(problem.Busy, "schema_old", fmt.Sprintf(
			"database %s has schema %d and lacks migration %s, which this version needs: run `whatchanged migrate` (`whatchanged migrate plan` shows what it does)",
			schema.Database, schema.Version, schema.Pending[0].Name))
	case FitNewer:
		s.log.Warn("the tables are of a later version, which this one runs on", "database", schema.Database,
			"schema", schema.Version, "known", schema.Program)
	}
	return nil
}

// appliedMigration is a row of schema_migrations.
type appliedMigration struct {
	name   string
	oldest int // see runsWith
}

// applied reads what was applied, by number. The first version did not say what
// a program must know; then it is all that was there before.
func (s *Store) applied(ctx context.Context) (map[int]appliedMigration, error) {
	columns, err := s.migrationColumns(ctx)
	if err != nil || len(columns) == 0 {
		return nil, err
	}
	least := "toUInt32(0)"
	if slices.Contains(columns, "oldest") {
		least = "max(oldest)"
	}
	rows, err := s.conn.Query(ctx, "SELECT number, any(name), "+least+" FROM schema_migrations GROUP BY number")
	if err != nil {
		return nil, fmt.Errorf("read applied migrations: %w", err)
	}
	defer rows.Close()
	applied := map[int]appliedMigration{}
	for rows.Next() {
		var number, least uint32
		var name string
		if err := rows.Scan(&number, &name, &least); err != nil {
			return nil, fmt.Errorf("read applied migrations: %w", err)
		}
		if least == 0 && number > 0 {
			least = number - 1
		}
		applied[int(number)] = appliedMigration{name, int(least)}
	}
	return applied, rows.Err()
}

// migrationColumns returns the columns of schema_migrations, none when there is
// no such table.
func (s *Store) migrationColumns(ctx context.Context) (columns []string, err error) {
	err = s.conn.QueryRow(ctx, "SELECT groupArray(name) FROM system.columns WHERE database = {database:String} AND table = 'schema_migrations'",
		clickhouse.Named("database", s.cfg.Database)).Scan(&columns)
	if err != nil {
		return nil, fmt.Errorf("look for the tables: %w", err)
	}
	return columns, nil
}

// makeSchemaTable makes the table of applied migrations, or gives the one of
// the first version what it lacks.
func (s *Store) makeSchemaTable(ctx context.Context) error {
	columns, err := s.migrationColumns(ctx)
	if err != nil || slices.Contains(columns, "oldest") {
		return err
	}
	if err := s.conn.Exec(ctx, schemaTable(s.cfg)); err != nil {
		return fmt.Errorf("create table schema_migrations: %w", err)
	}
	if err := s.conn.Exec(ctx, "ALTER TABLE schema_migrations"+templateData{s.cfg}.OnCluster()+" ADD COLUMN IF NOT EXISTS oldest UInt32 DEFAULT 0"); err != nil {
		return fmt.Errorf("add to table schema_migrations: %w", err)
	}
	return nil
}

func (m migration) describe() Migration {
	out := Migration{Number: m.number, Name: m.name, Statements: []Statement{}}
	for _, sql := range m.statements {
		if s := describe(sql); s.SQL != "" {
			out.Statements = append(out.Statements, s)
		}
	}
	return out
}

var (
	commentForm = regexp.MustCompile(`--[^\n]*`)
	createForm  = regexp.MustCompile(`(?i)^CREATE (TABLE|MATERIALIZED VIEW|VIEW|DICTIONARY|FUNCTION) IF NOT EXISTS (\S+)`)
	alterForm   = regexp.MustCompile(`(?is)^ALTER TABLE (\S+)(?: ON CLUSTER \S+)? (.*)$`)
)

// alterations are the commands of ALTER TABLE that migrations use.
var alterations = []struct {
	kind               string
	rewrites, additive bool
}{
	{"ADD COLUMN IF NOT EXISTS", false, true}, // read as its default until parts merge
	{"ADD INDEX IF NOT EXISTS", false, true},  // parts gain it as they merge
	{"MODIFY SETTING", false, true},
	{"MODIFY TTL", true, true}, // ClickHouse works out anew when each part goes
	{"MODIFY COMMENT", false, true},
	{"COMMENT COLUMN", false, true},
	{"MATERIALIZE INDEX", true, true},
	{"MATERIALIZE COLUMN", true, true},
}

// describe says what a statement does. What it does not know rewrites and is
// not additive, to be on the safe side.
func describe(sql string) Statement {
	bare := strings.Join(strings.Fields(commentForm.ReplaceAllString(sql, "")), " ")
	s := Statement{SQL: strings.TrimSpace(commentForm.ReplaceAllString(sql, "")), Kind: "other", Rewrites: true}
	if m := createForm.FindStringSubmatch(bare); m != nil {
		s.Kind, s.Table, s.Rewrites, s.Additive = "create "+strings.ToLower(m[1]), m[2], false, true
		return s
	}
	m := alterForm.FindStringSubmatch(bare)
	if m == nil {
		return s
	}
	s.Table, s.Rewrites, s.Additive = m[1], false, true
	var kinds []string
	for _, command := range commands(m[2]) {
		kind, rewrites, additive := "other", true, false
		for _, a := range alterations {
			if strings.HasPrefix(strings.ToUpper(command), a.kind+" ") {
				kind, rewrites, additive = strings.ToLower(strings.TrimSuffix(a.kind, " IF NOT EXISTS")), a.rewrites, a.additive
			}
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
		s.Rewrites, s.Additive = s.Rewrites || rewrites, s.Additive && additive
	}
	s.Kind = strings.Join(kinds, ", ")
	return s
}

// startsCommand is how a command of ALTER TABLE begins.
var startsCommand = regexp.MustCompile(`(?i)^(ADD|DROP|MODIFY|RENAME|MATERIALIZE|COMMENT|CLEAR|UPDATE|DELETE|RESET|ATTACH|DETACH|REPLACE|MOVE|FREEZE|FETCH) `)

// commands splits what follows ALTER TABLE at the commas between commands. A
// comma inside one is of its list or in parentheses.
func commands(text string) []string {
	var all []string
	for part := range strings.SplitSeq(text, ", ") {
		if len(all) > 0 && !startsCommand.MatchString(part) {
			all[len(all)-1] += ", " + part
			continue
		}
		all = append(all, part)
	}
	return all
}
