package store

import (
	"slices"
	"testing"
)

// Know cuts the migrations that s knows to the first n: s is then a program of
// an earlier version.
func (s *Store) Know(n int) { s.migrations = s.migrations[:n] }

// Known returns how many migrations there are.
func (s *Store) Known() int { return len(s.migrations) }

// RunsWith is what a program must know at least.
const RunsWith = runsWith

// Describe says what a statement does.
func Describe(sql string) Statement { return describe(sql) }

// Learn adds a migration of the next version.
func (s *Store) Learn(name string, statements ...string) {
	s.migrations = append(slices.Clip(s.migrations),
		migration{s.migrations[len(s.migrations)-1].number + 1, name, statements})
}

// Render makes s know the migrations as they are in a cluster.
func (s *Store) Render(t *testing.T, cluster string) {
	t.Helper()
	cfg := s.cfg
	cfg.Cluster = cluster
	all, err := migrations(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.migrations = all
}
