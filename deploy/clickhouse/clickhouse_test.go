// Package clickhouse_test tries the settings files on the embedded engine, as
// far as it takes them.
package clickhouse_test

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/chdb"
	"whatchanged/pkg/chdb/chdbtest"
)

// TestMain gives the engine all files of a cluster's node, as one.
func TestMain(m *testing.M) {
	file, err := merge()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for name, value := range map[string]string{"CLICKHOUSE_SHARD": "2", "CLICKHOUSE_REPLICA": "clickhouse-2-1", "CLICKHOUSE_CLUSTER_SECRET": "x", "KEEPER_ID": "1"} {
		os.Setenv(name, value)
	}
	chdbtest.Configure(chdb.Config{ConfigFile: file})
	code := chdbtest.Main(m)
	os.RemoveAll(filepath.Dir(file))
	os.Exit(code)
}

func merge() (string, error) {
	var all strings.Builder
	all.WriteString("<clickhouse>\n")
	for _, pattern := range []string{"config.d/*.xml", "cluster.d/*.xml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			return "", fmt.Errorf("no %s: %w", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			var root struct {
				XMLName xml.Name `xml:"clickhouse"`
				Inner   string   `xml:",innerxml"`
			}
			if err := xml.Unmarshal(text, &root); err != nil {
				return "", fmt.Errorf("%s: %w", file, err)
			}
			all.WriteString(root.Inner)
		}
	}
	all.WriteString("</clickhouse>\n")
	dir, err := os.MkdirTemp("", "whatchanged-clickhouse-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "config.xml")
	// The disk's directory is the engine's to make.
	text := strings.ReplaceAll(all.String(), "/var/lib/clickhouse-backups/", filepath.Join(dir, "backups")+"/")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

func TestSettings_AreInForce(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	f := func(query, want string) {
		t.Helper()
		var got []string
		if err := conn.QueryRow(t.Context(), query).Scan(&got); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if diff := cmp.Diff(strings.Fields(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	f("SELECT groupArray(concat(toString(shard_num), '/', toString(replica_num), '/', host_name)) FROM (SELECT * FROM system.clusters WHERE cluster = 'whatchanged' ORDER BY shard_num, replica_num)",
		"1/1/clickhouse-1-1 1/2/clickhouse-1-2 1/3/clickhouse-1-3 2/1/clickhouse-2-1 2/2/clickhouse-2-2 2/3/clickhouse-2-3")
	f("SELECT groupArray(concat(macro, '=', substitution)) FROM (SELECT * FROM system.macros ORDER BY macro)", "replica=clickhouse-2-1 shard=2")
	f(`SELECT groupArray(concat(name, '=', value)) FROM (SELECT * FROM system.merge_tree_settings WHERE changed AND (name LIKE '%fsync%' OR name = 'old_parts_lifetime') ORDER BY name)`,
		"fsync_after_insert=1 fsync_part_directory=1 min_compressed_bytes_to_fsync_after_merge=1 min_rows_to_fsync_after_merge=1 old_parts_lifetime=480")
}

func TestSettings_LetABackupGoToTheDisk(t *testing.T) {
	database := chdbtest.Database(t)
	conn := chdbtest.Conn(t, database)
	for _, s := range []string{
		"CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a",
		"INSERT INTO t VALUES (1), (2)",
		"BACKUP TABLE t TO Disk('backups', 'one')",
		"RESTORE TABLE t AS back FROM Disk('backups', 'one')",
	} {
		if err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	var n uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM back").Scan(&n); err != nil || n != 2 {
		t.Errorf("%d rows are back, %v", n, err)
	}
	if err := conn.Exec(t.Context(), "BACKUP TABLE t TO Disk('default', 'one')"); err == nil {
		t.Error("a backup may go anywhere")
	}
}

func TestKeeper_IsWellFormed(t *testing.T) {
	text, err := os.ReadFile("keeper.d/keeper.xml")
	if err != nil {
		t.Fatal(err)
	}
	var keeper struct {
		XMLName xml.Name `xml:"clickhouse"`
		Servers []struct {
			ID   int    `xml:"id"`
			Host string `xml:"hostname"`
		} `xml:"keeper_server>raft_configuration>server"`
	}
	if err := xml.Unmarshal(text, &keeper); err != nil || len(keeper.Servers) != 3 {
		t.Errorf("%+v, %v", keeper, err)
	}
}
