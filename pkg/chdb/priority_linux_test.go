package chdb_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"whatchanged/pkg/chdb/chdbtest"
)

func TestOpen_MakesTheEngineGiveWay(t *testing.T) {
	conn := chdbtest.Conn(t, chdbtest.Database(t))
	if err := conn.Exec(t.Context(), "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{} // nice by the thread's name
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // the thread is gone
		}
		_, rest, _ := strings.Cut(string(stat), "(")
		end := strings.LastIndex(rest, ")")
		fields := strings.Fields(rest[end+1:]) // from the state on: proc_pid_stat(5), field 3
		found[rest[:end]] = fields[16]
	}
	if got := found["MergeMutate"]; got != "10" {
		t.Errorf("merges have nice %q, want 10", got)
	}
	program, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	if got := found[strings.TrimSpace(string(program))]; got != "0" {
		t.Errorf("Go's own threads have nice %q, want 0", got)
	}
}
