package store_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

// sources is where each service's code asks the store: its own directory and
// the packages that are handed the store.
var sources = map[string][]string{
	"api":        {"services/api", "pkg/dead", "pkg/suspect"},
	"normalizer": {"services/normalizer", "pkg/repair", "pkg/replay"},
	"writer":     {"services/writer", "services/normalizer/normalizer.go"}, // the reconciler has a normalizer of its own
}

// notOfServices are called by commands, tests and whoever opened the store.
var notOfServices = []string{"Fill", "Migrate", "Close", "Engine", "Database", "CheckSchema", "CheckDurability", "Ping", "BackUp", "Restore", "Counts", "ServerBackups", "Plan", "Render", "Schema",
	"Know", "Known", "Learn"}

// calls has one call of every method of the store that sends statements, with
// all that makes it send each of them.
func calls() map[string]func(context.Context, *store.Store) error {
	c := full("acme")
	r := stored("acme", noon, c)
	r.Identity = "one"
	batches := []store.Batch{batch(r)}
	replayed := []store.Batch{batch(r)}
	replayed[0].Run = 1
	incident := change.NewIncidentID("acme", "pagerduty", "Q1")
	reports := []store.Batch{batch(reported(noon, change.IncidentReport{ID: incident, Org: "acme", Status: change.Resolved, At: change.At(noon), StartedAt: change.At(noon)}))}
	payload := change.Delivery{ID: r.DeliveryID, Org: "acme", SourceID: "src_a", ReceivedAt: r.ReceivedAt, Body: []byte("{}")}
	day := store.ChangeFilter{Org: "acme", Start: noon.Add(-24 * time.Hour), End: noon.Add(24 * time.Hour)}
	ids := []change.ID{c.ID}
	deliveries := []change.DeliveryID{r.DeliveryID}
	replay := store.ReplayQuery{Org: "acme", Start: day.Start, End: day.End, Limit: 5}
	none := func(error) error { return nil } // not found is an answer too
	return map[string]func(context.Context, *store.Store) error{
		"InsertReceipts": func(ctx context.Context, s *store.Store) error {
			return s.InsertReceipts(ctx, []store.Receipt{{Org: "acme", SourceID: "src_a", Minute: noon, Chain: "c1", Frame: 1, Seq: 1, Count: 1}})
		},
		"MeasureUsage": func(ctx context.Context, s *store.Store) error {
			if err := s.InsertChanges(ctx, batches); err != nil { // there must be something to measure
				return err
			}
			_, err := s.MeasureUsage(ctx)
			return err
		},
		"Usage": func(ctx context.Context, s *store.Store) error { _, err := s.Usage(ctx, "acme"); return err },
		"Expire": func(ctx context.Context, s *store.Store) error {
			if err := errors.Join(s.InsertChanges(ctx, batches), s.InsertDeliveries(ctx, batches)); err != nil {
				return err
			}
			late := noon.AddDate(1, 0, 0)
			_, err := s.Expire(ctx, []store.Expiry{{Org: "acme", Changes: late, Deliveries: late, Payloads: late}})
			return err
		},
		"Account": func(ctx context.Context, s *store.Store) error {
			_, err := s.Account(ctx, store.AccountQuery{Org: "acme", Start: day.Start, End: day.End, Bucket: time.Hour})
			return err
		},
		"ReceivingOrgs": func(ctx context.Context, s *store.Store) error {
			_, err := s.ReceivingOrgs(ctx, day.Start, day.End)
			return err
		},
		"InsertAuditEvents": func(ctx context.Context, s *store.Store) error {
			return s.InsertAuditEvents(ctx, []audit.Event{{Org: "acme", At: change.At(noon)}})
		},
		"InsertUses": func(ctx context.Context, s *store.Store) error {
			return s.InsertUses(ctx, []audit.Use{{Org: "acme", At: change.At(noon)}})
		},
		"FindEvents": func(ctx context.Context, s *store.Store) error {
			_, err := s.FindEvents(ctx, store.EventQuery{Org: "acme", Total: true})
			return err
		},
		"Actions": func(ctx context.Context, s *store.Store) error {
			_, err := s.Actions(ctx, store.RecordQuery{Org: "acme", Start: day.Start, End: day.End})
			return err
		},
		"Uses": func(ctx context.Context, s *store.Store) error {
			_, err := s.Uses(ctx, store.RecordQuery{Org: "acme", Start: day.Start, End: day.End})
			return err
		},
		"Candidates": func(ctx context.Context, s *store.Store) error {
			_, _, err := s.Candidates(ctx, store.CandidateQuery{Org: "acme", Start: day.Start, End: day.End})
			return err
		},
		"ChangesByID": func(ctx context.Context, s *store.Store) error { _, err := s.ChangesByID(ctx, "acme", ids); return err },
		"Acquainted": func(ctx context.Context, s *store.Store) error {
			_, err := s.Acquainted(ctx, "acme", day.Start, day.End, []store.Acquaintance{{"svc_1", "mona"}})
			return err
		},
		"Habits": func(ctx context.Context, s *store.Store) error {
			_, err := s.Habits(ctx, store.HabitQuery{Org: "acme", Start: day.Start, End: day.End, DeadStart: day.Start, DeadEnd: day.End})
			return err
		},
		"FindChanges": func(ctx context.Context, s *store.Store) error {
			_, err := s.FindChanges(ctx, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme", Q: "deploy", Tag: "team:a"}, Total: true})
			return err
		},
		"Change":   func(ctx context.Context, s *store.Store) error { _, err := s.Change(ctx, "acme", c.ID); return err },
		"Stumbled": func(_ context.Context, s *store.Store) error { s.Stumbled(); return nil },
		"Suspects": func(_ context.Context, s *store.Store) error { s.Suspects(); return nil },
		"Suspect":  func(_ context.Context, s *store.Store) error { s.Suspect(); return nil },
		"Mend":     func(ctx context.Context, s *store.Store) error { _, err := s.Mend(ctx); return err },
		"Aside":    func(ctx context.Context, s *store.Store) error { _, err := s.Aside(ctx); return err },
		"FindDeliveries": func(ctx context.Context, s *store.Store) error {
			_, err := s.FindDeliveries(ctx, store.DeliveryQuery{Org: "acme", Total: true})
			return err
		},
		"Delivery": func(ctx context.Context, s *store.Store) error {
			_, err := s.Delivery(ctx, "acme", r.DeliveryID)
			return err
		},
		"Payload": func(ctx context.Context, s *store.Store) error {
			_, err := s.Payload(ctx, "acme", r.DeliveryID)
			return err
		},
		"Export": func(ctx context.Context, s *store.Store) error {
			return s.Export(ctx, day, func(change.Change) error { return nil })
		},
		"StoredFrames": func(ctx context.Context, s *store.Store) error {
			_, err := s.StoredFrames(ctx, store.FrameRange{Chain: "c1", From: 1, To: 2})
			return err
		},
		"LacksChanges": func(ctx context.Context, s *store.Store) error {
			_, err := s.LacksChanges(ctx, "acme", ids)
			return err
		},
		"Before": func(ctx context.Context, s *store.Store) error {
			_, err := s.Before(ctx, []store.Deployment{{ID: c.ID, Org: "acme", Subject: "service svc_1", OccurredAt: change.At(noon), CreatedAt: change.At(noon)}})
			return err
		},
		"KnownIdentities": func(ctx context.Context, s *store.Store) error {
			_, err := s.KnownIdentities(ctx, []store.Identity{{Org: "acme", SourceID: "src_a", Identity: "one"}})
			return err
		},
		"InsertIncidents": func(ctx context.Context, s *store.Store) error { return s.InsertIncidents(ctx, reports) },
		"FindIncidents": func(ctx context.Context, s *store.Store) error {
			_, err := s.FindIncidents(ctx, store.IncidentQuery{Org: "acme"})
			return err
		},
		"Incident": func(ctx context.Context, s *store.Store) error {
			_, err := s.Incident(ctx, "acme", incident)
			return none(err)
		},
		"KeptAnswer": func(ctx context.Context, s *store.Store) error {
			_, err := s.KeptAnswer(ctx, "acme", incident)
			return none(err)
		},
		"InsertChanges":    func(ctx context.Context, s *store.Store) error { return s.InsertChanges(ctx, batches) },
		"InsertDeliveries": func(ctx context.Context, s *store.Store) error { return s.InsertDeliveries(ctx, batches) },
		"InsertPayloads": func(ctx context.Context, s *store.Store) error {
			return s.InsertPayloads(ctx, []store.PayloadBatch{{Chain: "c1", Frame: 1, Lane: change.Fresh, Deliveries: []change.Delivery{payload}}})
		},
		"KnownChanges": func(ctx context.Context, s *store.Store) error {
			_, err := s.KnownChanges(ctx, "acme", day.Start, ids)
			return err
		},
		"DeliveriesToReplay": func(ctx context.Context, s *store.Store) error {
			_, err := s.DeliveriesToReplay(ctx, replay)
			return err
		},
		"CountToReplay": func(ctx context.Context, s *store.Store) error { _, err := s.CountToReplay(ctx, replay); return err },
		"DeliveriesByID": func(ctx context.Context, s *store.Store) error {
			_, err := s.DeliveriesByID(ctx, "acme", deliveries)
			return err
		},
		"Payloads": func(ctx context.Context, s *store.Store) error {
			_, err := s.Payloads(ctx, "acme", deliveries)
			return err
		},
		"ChangesOf": func(ctx context.Context, s *store.Store) error {
			_, err := s.ChangesOf(ctx, "acme", ids, deliveries)
			return err
		},
		"LastRun":       func(ctx context.Context, s *store.Store) error { _, err := s.LastRun(ctx, "acme"); return err },
		"KeepRevisions": func(ctx context.Context, s *store.Store) error { return s.KeepRevisions(ctx, replayed) },
		"ChangeAsOf": func(ctx context.Context, s *store.Store) error {
			_, err := s.ChangeAsOf(ctx, "acme", c.ID, time.Now())
			return none(err)
		},
		"InsertDifferences": func(ctx context.Context, s *store.Store) error {
			return s.InsertDifferences(ctx, []store.Difference{{Org: "acme", Replay: "r", DeliveryID: r.DeliveryID, Kind: "changed"}})
		},
		"Differences": func(ctx context.Context, s *store.Store) error {
			_, err := s.Differences(ctx, store.DifferenceQuery{Org: "acme", Replay: "r", Limit: 5})
			return err
		},
		"Arrived": func(ctx context.Context, s *store.Store) error {
			_, err := s.Arrived(ctx, "acme", "src_a", []string{"one"})
			return err
		},
		"Stats": func(ctx context.Context, s *store.Store) error {
			_, err := s.Stats(ctx, store.StatsQuery{ChangeFilter: day, Bucket: time.Hour, By: store.Dimensions()})
			return err
		},
	}
}

// Each service's user may do what the service does, and nothing else: every
// statement that a method of the store sends is taken down and parsed by the
// engine, and so is which methods each service's code names. In a cluster's
// form the same statements go through Distributed tables.
func TestAccess_IsWhatEachServiceUses(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	methods := calls()
	for m := range reflect.TypeFor[*store.Store]().Methods() {
		if methods[m.Name] == nil && !slices.Contains(notOfServices, m.Name) {
			t.Errorf("%s is in no list: whose is it?", m.Name)
		}
	}
	for _, clustered := range []bool{false, true} {
		s, r := recorded(t, clustered)
		uses := map[string]uses{}
		for _, name := range slices.Sorted(maps.Keys(methods)) { // Insert comes after Find and Delivery after nothing: order does not matter
			r.taken()
			if err := methods[name](t.Context(), s); err != nil && !strings.Contains(err.Error(), "there is no such") && !strings.Contains(err.Error(), "Replicated DDL queries are disabled") {
				t.Errorf("%s: %v", name, err)
			}
			uses[name] = usesOf(t, conn, r.taken())
		}
		for _, want := range store.Accesses() {
			// Rows are removed by the few statements of Expire, which the engine runs here for one server only.
			got := store.Access{Service: want.Service, Remove: want.Remove, Mend: want.Mend}
			if clustered { // asked of all replicas, by a function of tables
				want.Select = slices.DeleteFunc(want.Select, func(table string) bool { return table == "system.parts" })
			}
			for _, method := range methodsNamed(t, sources[want.Service]) {
				got.Select = append(got.Select, uses[method].reads...)
				got.Insert = append(got.Insert, uses[method].writes...)
			}
			got.Select, got.Insert = unique(got.Select), unique(got.Insert)
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("what %s does in a cluster (%t), and what it may do (-does +may):\n%s", want.Service, clustered, diff)
			}
		}
	}
}

// What every service does when it starts is granted to each.
func TestAccess_CoversTheStart(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	s, r := recorded(t, false)
	opened := usesOf(t, conn, r.taken()) // migrating is in it
	for _, check := range []func(context.Context) error{s.CheckSchema, s.CheckDurability, s.Ping} {
		if err := check(t.Context()); err != nil {
			t.Error(err)
		}
	}
	got := usesOf(t, conn, r.taken()).reads
	if slices.Contains(opened.reads, "system.databases") {
		got = append(got, "system.databases")
	}
	if diff := cmp.Diff([]string{"schema_migrations", "system.columns", "system.databases", "system.tables"}, unique(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What the API asks for is within its user's profile, or the server refuses it.
func TestGrants_LetTheAPIAskForAsLongAsItDoes(t *testing.T) {
	var longest atomic.Int64
	engine := chdbtest.Engine(t).Handler()
	s := overHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked, err := strconv.ParseInt(r.URL.Query().Get("max_execution_time"), 10, 64); err == nil && asked > longest.Load() {
			longest.Store(asked)
		}
		engine.ServeHTTP(w, r)
	}))
	longest.Store(0)
	methods := calls()
	for _, name := range unique(methodsNamed(t, sources["api"])) {
		if err := methods[name](t.Context(), s); err != nil && !strings.Contains(err.Error(), "there is no such") {
			t.Errorf("%s: %v", name, err)
		}
	}
	limit := regexp.MustCompile(`max_execution_time = \d+ MAX (\d+)`)
	for _, statement := range store.Grants(store.DefaultConfig(), store.GrantConfig{}) {
		found := limit.FindStringSubmatch(statement)
		if found == nil || !strings.Contains(statement, "whatchanged_api") {
			continue
		}
		if most, err := strconv.ParseInt(found[1], 10, 64); err != nil || longest.Load() > most || longest.Load() < int64(store.DefaultConfig().ExportTimeout/time.Second) {
			t.Errorf("the API asks for %d s, and may for %s", longest.Load(), found[1])
		}
		return
	}
	t.Error("the profile of the API has no limit")
}

// uses is the tables that statements read and write.
type uses struct{ reads, writes []string }

// usesOf reads them from the engine's own tree of each statement.
func usesOf(t *testing.T, conn driver.Conn, statements []string) (u uses) {
	t.Helper()
	for _, statement := range unique(statements) {
		tree := explain(t, conn, statement)
		switch kind := strings.Fields(tree[0])[0]; kind {
		case "InsertQuery":
			u.writes = append(u.writes, strings.Fields(tree[1])[1])
		case "SelectWithUnionQuery", "DescribeQuery", "CreateQuery", "AlterQuery":
		default:
			t.Errorf("what is %s for?\n%s", kind, statement)
		}
		for _, line := range tree {
			if fields := strings.Fields(line); fields[0] == "TableIdentifier" && fields[1] != "system.one" && !strings.HasPrefix(tree[0], "DescribeQuery") {
				u.reads = append(u.reads, fields[1])
			}
		}
	}
	return u
}

func unique(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// methodsNamed returns the store's methods that code in these places names.
func methodsNamed(t *testing.T, places []string) []string {
	t.Helper()
	store := calls()
	var found []string
	for _, place := range places {
		pattern := filepath.Join("../..", place)
		if filepath.Ext(place) == "" {
			pattern = filepath.Join(pattern, "*.go")
		}
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(place, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				// Called, or handed on to be called; fields have the same names.
				for i, e := range append([]ast.Expr{call.Fun}, call.Args...) {
					sel, ok := e.(*ast.SelectorExpr)
					if ok && store[sel.Sel.Name] != nil && (i == 0 || strings.HasPrefix(sel.Sel.Name, "Insert")) {
						found = append(found, sel.Sel.Name)
					}
				}
				return true
			})
		}
	}
	return unique(found)
}

// Grants, users, quotas and profiles can only be made on a server: here the
// engine parses them, and they say what they should.
func TestGrants_AreParsedByTheEngine(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	hash := strings.Repeat("ab", 32)
	for _, cfg := range []store.Config{store.DefaultConfig(), clusterConfig("whatchanged")} {
		for _, s := range store.Grants(cfg, store.GrantConfig{Hashes: map[string]string{"api": hash}}) {
			if strings.HasPrefix(s, "CREATE USER") { // a hash is given or is a parameter, and parameters cannot be left out
				s = parameter.ReplaceAllString(s, "'"+hash+"'")
			}
			explain(t, conn, s)
			if cfg.Cluster != "" && !strings.Contains(s, " ON CLUSTER prod") {
				t.Errorf("not ON CLUSTER:\n%s", s)
			}
		}
	}
}

// To remove rows is an ALTER, which ClickHouse refuses to a user without DDL:
// then nothing goes, however long ago it should have.
func TestGrants_WhoRemovesRowsMayAlter(t *testing.T) {
	for _, cfg := range []store.Config{store.DefaultConfig(), clusterConfig("whatchanged")} {
		for _, a := range store.Accesses() {
			may := "0"
			if len(a.Remove) > 0 || a.Mend && cfg.Cluster == "" {
				may = "1"
			}
			profile := slices.IndexFunc(store.Grants(cfg, store.GrantConfig{}), func(s string) bool {
				return strings.HasPrefix(s, "CREATE SETTINGS PROFILE OR REPLACE whatchanged_"+a.Service) && strings.Contains(s, "allow_ddl = "+may+" CONST")
			})
			if profile < 0 {
				t.Errorf("cluster %q: the profile of %s does not say allow_ddl = %s", cfg.Cluster, a.Service, may)
			}
		}
	}
}

// A damaged part may be in any table: the writer must be able to put it aside.
func TestGrants_TheWriterMayPutPartsOfAllTablesAside(t *testing.T) {
	s := storetest.New(t)
	var tables []string
	if err := chdbtest.Conn(t, s.Database()).QueryRow(t.Context(),
		"SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase() AND name != 'schema_migrations'").Scan(&tables); err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	grants := strings.Join(store.Grants(store.DefaultConfig(), store.GrantConfig{}), "\n")
	for _, table := range tables {
		if !strings.Contains(grants, "CHECK, ALTER DELETE ON whatchanged."+table+"\n") && !strings.Contains(grants, "CHECK, ALTER DELETE ON whatchanged."+table+",") {
			t.Errorf("the writer may not put parts of %s aside", table)
		}
	}
}

// The row policies that are documented are on every table that Grafana may
// read, and in a cluster on those that hold the rows, on every server.
func TestRowPolicies_AreOnTheTablesThatHoldTheRows(t *testing.T) {
	text, err := os.ReadFile("../../docs/operating/clickhouse.md")
	if err != nil {
		t.Fatal(err)
	}
	conn := chdbtest.Conn(t, "default")
	granted := regexp.MustCompile(`SELECT ON (whatchanged\.\w+)`)
	for _, cfg := range []store.Config{store.DefaultConfig(), clusterConfig("whatchanged")} {
		var want []string
		for _, s := range store.Grants(cfg, store.GrantConfig{}) {
			if strings.Contains(s, "TO whatchanged_grafana_role WITH") {
				for _, table := range granted.FindAllStringSubmatch(s, -1) {
					if cfg.Cluster == "" || strings.HasSuffix(table[1], "_local") {
						want = append(want, table[1])
					}
				}
			}
		}
		for _, policy := range []string{"acme", "others"} {
			head := "CREATE ROW POLICY " + policy + " ON whatchanged."
			if cfg.Cluster != "" {
				head = "CREATE ROW POLICY " + policy + " ON CLUSTER whatchanged\n"
			}
			_, rest, found := strings.Cut(string(text), head)
			statement, _, _ := strings.Cut(rest, ";")
			if !found {
				t.Errorf("there is no %q", head)
				continue
			}
			statement = head + statement
			explain(t, conn, statement)
			got := regexp.MustCompile(`whatchanged\.\w+`).FindAllString(statement, -1)
			if diff := cmp.Diff(unique(want), unique(got)); diff != "" {
				t.Errorf("%s (-what Grafana reads +policy):\n%s", policy, diff)
			}
		}
	}
}
