package store_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/store"
)

// cluster is the one that testdata/cluster.xml tells the engine of.
const cluster = "prod"

func clusterConfig(database string) store.Config {
	cfg := store.DefaultConfig()
	cfg.DSN, cfg.Database, cfg.Cluster = "embedded:", database, cluster
	return cfg
}

// explain parses a statement with the engine's own parser and returns the tree.
func explain(t *testing.T, conn driver.Conn, statement string) []string {
	t.Helper()
	statement = parameter.ReplaceAllString(statement, "defaultValueOfTypeName('$2')")
	rows, err := conn.Query(t.Context(), "EXPLAIN AST "+statement)
	if err != nil {
		t.Fatalf("%v\n%s", err, statement)
	}
	defer rows.Close()
	var tree []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		tree = append(tree, line)
	}
	if err := rows.Err(); err != nil || len(tree) == 0 {
		t.Fatalf("%v\n%s", err, statement)
	}
	return tree
}

var parameter = regexp.MustCompile(`\{(\w+):(\w+(?:\(\w+\))?)\}`)

func TestMigrations_AreParsedByTheEngine(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	for _, cfg := range []store.Config{store.DefaultConfig(), clusterConfig("whatchanged")} {
		statements, applied := store.Rendered(cfg)
		for _, s := range append(statements, applied...) {
			explain(t, conn, s)
		}
		for _, to := range []string{"file:/var/it's here", "disk:backups/whatchanged", "s3:https://s3.example.com/bucket/path"} {
			for _, s := range store.BackupStatements(t, cfg, store.BackupPlace{To: to, AccessKeyID: "id", SecretAccessKey: `s'e\cret`}) {
				explain(t, conn, s)
			}
		}
	}
	files, err := filepath.Glob("testdata/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for statement := range strings.SplitSeq(string(text), ";\n") {
			explain(t, conn, statement)
		}
	}
}

// In a cluster, every statement reaches every node, a column is on the nodes'
// own tables before the Distributed one knows it, and nothing is altered in a
// way that code of the version before could notice: migrations/README.md.
func TestMigrations_KeepTheRulesOfACluster(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	statements, _ := store.Rendered(clusterConfig("whatchanged"))
	local, distributed := map[string]bool{}, map[string]bool{}
	pending := map[string]string{} // columns that the nodes have and the Distributed table has not, by table
	for _, s := range statements[1:] {
		tree := explain(t, conn, s)
		kind, _, _ := strings.Cut(tree[0], " ")
		verb, name := clusterTarget.FindStringSubmatch(s), ""
		if verb == nil {
			t.Errorf("not ON CLUSTER, or may not be run twice:\n%s", s)
			continue
		}
		name = verb[2]
		table, isLocal := strings.CutSuffix(name, "_local")
		switch kind {
		case "CreateQuery":
			for _, have := range []bool{!isLocal && !local[table], isLocal && distributed[table]} {
				if have {
					t.Errorf("%s: the nodes' own table comes first:\n%s", table, s)
				}
			}
			if isLocal {
				local[table] = true
				if want := "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/" + name + "', '{replica}'"; !strings.Contains(s, want) {
					t.Errorf("%s is not %s:\n%s", name, want, s)
				}
			} else {
				distributed[table] = true
				if want := "Distributed('prod', 'whatchanged', '" + table + "_local', sipHash64(org))"; !strings.HasSuffix(s, want) {
					t.Errorf("%s is not %s:\n%s", name, want, s)
				}
			}
		case "AlterQuery":
			columns := strings.Join(addedColumn.FindAllString(s, -1), "\n")
			for _, command := range tree {
				if c, ok := strings.CutPrefix(strings.TrimSpace(command), "AlterCommand "); ok {
					c, _, _ = strings.Cut(c, " ")
					if !slices.Contains([]string{"ADD_COLUMN", "ADD_INDEX", "MODIFY_SETTING"}, c) {
						t.Errorf("%s: %s is not among what old code goes on working with:\n%s", name, c, s)
					}
				}
			}
			switch {
			case isLocal && columns != "":
				pending[table] = columns
			case !isLocal && pending[table] != columns:
				t.Errorf("%s (-its nodes +the Distributed table):\n%s", table, cmp.Diff(pending[table], columns))
			case !isLocal:
				delete(pending, table)
			}
		default:
			t.Errorf("what is %s for?\n%s", kind, s)
		}
	}
	if diff := cmp.Diff(local, distributed); diff != "" {
		t.Errorf("tables (-of the nodes +Distributed):\n%s", diff)
	}
	if len(pending) > 0 {
		t.Errorf("columns that the Distributed tables lack: %v", pending)
	}
}

var (
	clusterTarget = regexp.MustCompile(`^(?:--[^\n]*\n)*(CREATE TABLE IF NOT EXISTS|ALTER TABLE) (\w+) ON CLUSTER prod\b`)
	addedColumn   = regexp.MustCompile(`ADD COLUMN IF NOT EXISTS [^,\n]+`)
)

// alone makes a statement for a cluster one that the engine can run: it has no
// Keeper, so nothing is replicated and nothing is done ON CLUSTER. Distributed
// tables stay what they are. Nothing is synced, which takes the longest here.
func alone(statement string) string {
	statement = strings.ReplaceAll(statement, " ON CLUSTER "+cluster, "")
	statement = replicatedPath.ReplaceAllString(statement, "$1(")
	statement = strings.NewReplacer("fsync_after_insert = 1", "fsync_after_insert = 0", "fsync_part_directory = 1", "fsync_part_directory = 0").Replace(statement)
	return strings.ReplaceAll(statement, "ReplacingMergeTree(, ", "ReplacingMergeTree(")
}

var replicatedPath = regexp.MustCompile(`Replicated(\w*MergeTree)\('[^']*', '[^']*'(?:, )?`)

// recorder is a ClickHouse that takes down what it is asked.
type recorder struct {
	mu         sync.Mutex
	statements []string
	engine     http.Handler
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	statement := q.URL.Query().Get("query")
	if statement == "" {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return // the client has gone
		}
		q.Body, statement = io.NopCloser(bytes.NewReader(body)), string(body)
	}
	r.mu.Lock()
	r.statements = append(r.statements, statement)
	r.mu.Unlock()
	r.engine.ServeHTTP(w, q)
}

// taken returns what was asked since it was called the last time.
func (r *recorder) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.statements
	r.statements = nil
	return out
}

// recorded returns a migrated store, in a cluster's form or a single node's,
// and what takes down its statements.
func recorded(t *testing.T, clustered bool) (*store.Store, *recorder) {
	t.Helper()
	r := &recorder{engine: chdbtest.Engine(t).Handler()}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	cfg := store.DefaultConfig()
	cfg.Database = chdbtest.Database(t)
	if clustered {
		cfg = clusterConfig(cfg.Database)
	}
	cfg.DSN = server.URL
	s, err := store.Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if !clustered {
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s, r
	}
	conn := chdbtest.Conn(t, cfg.Database)
	statements, applied := store.Rendered(cfg)
	for _, statement := range append(statements, applied...) {
		if err := conn.Exec(t.Context(), alone(statement)); err != nil {
			t.Fatalf("%v\n%s", err, statement)
		}
	}
	return s, r
}

// Old code goes on working while a migration is under way: between any two of
// its statements, what is inserted and asked for by the columns' names is the
// same as before.
func TestMigrations_LetOldCodeGoOn(t *testing.T) {
	database := chdbtest.Database(t)
	conn := chdbtest.Conn(t, database)
	statements, _ := store.Rendered(clusterConfig(database))
	known := map[string][]column{} // what the code of the time knows, by Distributed table
	alterations := 0
	work := func(after string) {
		t.Helper()
		for table, columns := range known {
			insert := fmt.Sprintf("INSERT INTO %s (%s) SELECT %s", table, names(columns), defaults(columns))
			if err := conn.Exec(t.Context(), insert); err != nil {
				t.Fatalf("old code inserts into %s: %v\nafter %s", table, err, after)
			}
			if err := conn.Exec(t.Context(), fmt.Sprintf("SELECT %s FROM %s FINAL WHERE org = 'acme'", names(columns), table)); err != nil {
				t.Fatalf("old code asks %s: %v\nafter %s", table, err, after)
			}
		}
		alterations++
	}
	for _, s := range statements {
		if err := conn.Exec(t.Context(), alone(s)); err != nil {
			t.Fatalf("%v\n%s", err, s)
		}
		if strings.HasPrefix(s, "CREATE TABLE IF NOT EXISTS ") && strings.Contains(s, "ENGINE = Distributed") {
			table := strings.Fields(s)[5]
			var columns []column
			if err := conn.Select(t.Context(), &columns, "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String}",
				clickhouse.Named("table", table)); err != nil {
				t.Fatal(err)
			}
			known[table] = columns
		}
		if strings.Contains(s, "ALTER TABLE") {
			work(s)
		}
	}
	if alterations == 0 || len(known) < 9 {
		t.Errorf("%d alterations of %d tables were tried", alterations, len(known))
	}
}

type column struct {
	Name string `ch:"name"`
	Type string `ch:"type"`
}

func names(columns []column) string {
	var out []string
	for _, c := range columns {
		out = append(out, c.Name)
	}
	return strings.Join(out, ", ")
}

func defaults(columns []column) string {
	var out []string
	for _, c := range columns {
		out = append(out, "defaultValueOfTypeName('"+strings.ReplaceAll(c.Type, "'", "\\'")+"')")
	}
	return strings.Join(out, ", ")
}

// A part that was put aside on a node is of the table by whose name it is asked.
func TestAside_NamesTheTableThatIsAskedInACluster(t *testing.T) {
	s, _ := recorded(t, true)
	if err := s.InsertChanges(t.Context(), []store.Batch{batch(stored("acme", noon, full("acme")))}); err != nil {
		t.Fatal(err)
	}
	conn := chdbtest.Conn(t, s.Database())
	var part string
	if err := conn.QueryRow(t.Context(), "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = 'changes_local' AND active").Scan(&part); err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(t.Context(), "ALTER TABLE changes_local DETACH PART '"+part+"'"); err != nil {
		t.Fatal(err)
	}
	aside, err := s.Aside(t.Context())
	if diff := cmp.Diff([]store.Damaged{{Table: "changes", Part: part, Reason: "damaged"}}, aside); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// Usage can be measured, and what is over removed, while one replica of a shard
// is away: no statement asks all of them.
func TestCluster_AsksOneReplicaOfEachShard(t *testing.T) {
	s, r := recorded(t, true)
	r.taken()
	if _, err := s.MeasureUsage(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked := strings.Join(r.taken(), "\n")
	if !strings.Contains(asked, "cluster('"+cluster+"', system.parts)") || strings.Contains(asked, "clusterAllReplicas") {
		t.Errorf("not of each shard, or of all replicas:\n%s", asked)
	}
}
