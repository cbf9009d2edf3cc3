package store

import (
	"fmt"
	"testing"
)

// Rendered returns every statement that makes the tables, in order, and those
// that note which migrations are applied.
func Rendered(cfg Config) (statements, applied []string) {
	all, err := migrations(cfg)
	if err != nil {
		panic(err)
	}
	statements = []string{schemaTable(cfg)}
	for _, m := range all {
		statements = append(statements, m.statements...)
		applied = append(applied, fmt.Sprintf("INSERT INTO schema_migrations (number, name, applied_at) SELECT %d, '%s', now64(3)", m.number, m.name))
	}
	return statements, applied
}

// BackupStatements returns those that make and restore a backup.
func BackupStatements(t *testing.T, cfg Config, place BackupPlace) []string {
	t.Helper()
	clause, err := place.clause("nightly")
	if err != nil {
		t.Fatal(err)
	}
	on := templateData{cfg}.OnCluster()
	return []string{
		notesStatement(cfg), backupStatement(cfg, clause), restoreStatement(cfg, "", clause), restoreStatement(cfg, "beside", clause),
		"DROP TABLE IF EXISTS whatchanged." + notesTable + on + " SYNC", "DROP DATABASE IF EXISTS whatchanged" + on + " SYNC",
		"RENAME DATABASE beside TO whatchanged",
	}
}
