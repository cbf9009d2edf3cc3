// Package grafana_test executes every query of the dashboards and annotations on
// the real engine with rows in it, as Grafana's ClickHouse data source would.
package grafana_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(chdbtest.Main(m)) }

const org = "acme's" // a quote, to see that it is quoted

// The data source asks for no more time than its user has, or ClickHouse refuses
// every query. Its driver adds five seconds to what is set.
func TestGrafana_AsksForNoMoreTimeThanItHas(t *testing.T) {
	f := func(file, number string) int {
		t.Helper()
		text, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(number).FindSubmatch(text)
		if found == nil {
			t.Fatalf("%s has no %s", file, number)
		}
		n, err := strconv.Atoi(string(found[1]))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	asks := f("provisioning/datasources/whatchanged.yaml", `queryTimeout: "(\d+)"`) + 5
	for _, users := range []string{"../clickhouse/users.sql", "../clickhouse/users-cluster.sql"} {
		if may := f(users, `(?s)PROFILE[^;]*whatchanged_grafana[^;]*max_execution_time = \d+ MAX (\d+)`); asks > may {
			t.Errorf("it asks for %d s, and by %s may for %d", asks, users, may)
		}
	}
}

// query is one SQL statement of a dashboard.
type query struct {
	where string // file and panel
	sql   string
	kind  string // table, timeseries, variable or annotation
}

func TestGrafana_EveryQueryAnswersFromRealRows(t *testing.T) {
	s := storetest.New(t)
	now := time.Now().UTC().Truncate(time.Second)
	fill(t, s, now)
	conn := chdbtest.Conn(t, s.Database())
	queries := collect(t)
	if len(queries) < 25 {
		t.Fatalf("only %d queries were found", len(queries))
	}
	for _, q := range queries {
		if !strings.Contains(q.sql, "org = ${org:singlequote}") && !strings.Contains(q.sql, "SELECT DISTINCT toString(org)") {
			t.Errorf("%s asks for all organisations: %s", q.where, q.sql)
		}
		sql := substitute(q.sql, now.Add(-time.Hour), now.Add(time.Minute))
		if strings.Contains(sql, "$") {
			t.Errorf("%s: the data source knows no such macro or variable: %s", q.where, sql)
			continue
		}
		rows, err := conn.Query(t.Context(), sql)
		if err != nil {
			t.Errorf("%s: %v\n%s", q.where, err, sql)
			continue
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := rows.Err(); err != nil || n == 0 {
			t.Errorf("%s: %d rows, %v\n%s", q.where, n, err, sql)
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
		first := rows.ColumnTypes()[0]
		switch q.kind {
		case "timeseries":
			if first.Name() != "time" || !strings.HasPrefix(first.DatabaseTypeName(), "DateTime") {
				t.Errorf("%s: a series begins with a time, not with %s %s", q.where, first.Name(), first.DatabaseTypeName())
			}
		case "annotation":
			if diff := cmp.Diff([]string{"time", "title", "text", "tags"}, rows.Columns()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", q.where, diff)
			}
		case "variable":
			if len(rows.Columns()) != 1 {
				t.Errorf("%s: a variable is one column, not %v", q.where, rows.Columns())
			}
		}
	}
}

// Nobody sees another organisation's changes by choosing one.
func TestGrafana_ShowsOneOrganisation(t *testing.T) {
	s := storetest.New(t)
	now := time.Now().UTC()
	fill(t, s, now)
	conn := chdbtest.Conn(t, s.Database())
	for _, q := range collect(t) {
		if !strings.HasSuffix(q.where, "The latest changes") && q.kind != "annotation" {
			continue
		}
		sql := substitute(q.sql, now.Add(-time.Hour), now.Add(time.Minute))
		var found uint64
		if err := conn.QueryRow(t.Context(), "SELECT countIf(toString(tuple(*)) LIKE '%of another%') FROM ("+sql+")").Scan(&found); err != nil || found != 0 {
			t.Errorf("%s shows %d of another organisation, %v", q.where, found, err)
		}
	}
}

// The annotations to take along are those of the dashboards.
func TestGrafana_AnnotationsAreTheSame(t *testing.T) {
	var dashboard struct{ Annotations struct{ List []any } }
	var own []any
	read(t, "dashboards/changes.json", &dashboard)
	read(t, "annotations.json", &own)
	if diff := cmp.Diff(dashboard.Annotations.List[1:], own); diff != "" { // the first is Grafana's own
		t.Errorf("annotations.json (-dashboard +file):\n%s", diff)
	}
}

// Panels and variables ask the provisioned data sources, by the uid that they have.
func TestGrafana_DataSourcesAreProvisioned(t *testing.T) {
	provisioned, err := os.ReadFile("provisioning/datasources/whatchanged.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"uid": "(whatchanged-(?:prometheus|clickhouse)[^"]*)"`).FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(string(provisioned), "uid: "+m[1]+"\n") {
				t.Errorf("%s: no data source %s", file, m[1])
			}
		}
	}
}

func files(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(found) == 0 {
		t.Fatalf("%d dashboards, %v", len(found), err)
	}
	return append(found, "annotations.json")
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// collect finds every statement, wherever in a dashboard it is.
func collect(t *testing.T) (all []query) {
	t.Helper()
	for _, file := range files(t) {
		var whole any
		read(t, file, &whole)
		var walk func(v any, where, kind string)
		walk = func(v any, where, kind string) {
			switch v := v.(type) {
			case []any:
				for _, one := range v {
					walk(one, where, kind)
				}
			case map[string]any:
				for _, name := range []string{"title", "name"} {
					if title, ok := v[name].(string); ok {
						where = file + ": " + title
					}
				}
				if sql, ok := v["rawSql"].(string); ok {
					if given, _ := v["queryType"].(string); kind == "" {
						kind = given
					}
					all = append(all, query{where, sql, kind})
				}
				for name, one := range v {
					switch {
					case name == "templating":
						walk(one, where, "variable")
					case name == "annotations", name == "target" && v["iconColor"] != nil:
						walk(one, where, "annotation")
					default:
						walk(one, where, kind)
					}
				}
			}
		}
		walk(whole, file, "")
	}
	slices.SortFunc(all, func(a, b query) int { return strings.Compare(a.where, b.where) })
	return all
}

// substitute does what Grafana and its ClickHouse data source do before a query
// is sent (https://grafana.com/docs/plugins/grafana-clickhouse-datasource/latest/query-editor/#macros).
func substitute(sql string, from, to time.Time) string {
	const column = `\(([a-z_.]+)\)`
	for macro, with := range map[string]string{
		`\$__timeFilter_ms` + column: fmt.Sprintf("$1 >= fromUnixTimestamp64Milli(%d) AND $1 <= fromUnixTimestamp64Milli(%d)", from.UnixMilli(), to.UnixMilli()),
		// The braces keep Go from taking "1_" for the group's name.
		`\$__timeInterval_ms` + column: "toStartOfInterval(toDateTime64(${1}, 3), INTERVAL 15000 millisecond)",
	} {
		sql = regexp.MustCompile(macro).ReplaceAllString(sql, with)
	}
	quoted := func(values ...string) string {
		for i, v := range values {
			values[i] = "'" + strings.ReplaceAll(v, "'", `\'`) + "'"
		}
		return strings.Join(values, ",")
	}
	return strings.NewReplacer(
		"${org:singlequote}", quoted(org), "${environment:singlequote}", quoted("production", "staging"),
		"${service:singlequote}", quoted("checkout", ""), "${type:singlequote}", quoted("deployment", "rollback", "infrastructure"),
	).Replace(sql)
}

// fill stores changes of two organisations of which every query finds some.
func fill(t *testing.T, s *store.Store, now time.Time) {
	t.Helper()
	at := func(minutes int) change.Time { return change.At(now.Add(-time.Duration(minutes) * time.Minute)) }
	kinds := []change.Change{
		{Type: "deployment", Status: "succeeded", Summary: "Deploy 1"}, {Type: "deployment", Status: "failed", Summary: "Deploy 2", Risk: "high", RiskHints: []string{"at night"}},
		{Type: "rollback", Status: "succeeded", Summary: "Back to 1", Risk: "critical", Tags: []string{"team:shop"}},
		{Type: "infrastructure", Summary: "Scale up", PRURL: "https://git.example/pr/1"},
	}
	for _, owner := range []string{org, "other"} {
		result := change.Result{
			DeliveryID: change.NewDeliveryID(now), Org: owner, SourceID: "src_1", ReceivedAt: at(1), FirstReceived: at(1), NormalizedAt: at(1),
			Outcome: change.Stored, Provider: "generic",
		}
		for i, c := range kinds {
			c.Org, c.ServiceName, c.Environment, c.ChangedBy, c.Repository, c.Source = owner, "checkout", "production", "jane", "acme/shop", "generic"
			c.OccurredAt, c.CreatedAt = at(2+i), at(1)
			c.ID = change.NewID(c.OccurredAt.Time, owner, "generic", fmt.Sprint(i))
			if owner != org {
				c.Summary += " of another"
			}
			result.Changes = append(result.Changes, c)
		}
		batch := []store.Batch{{Chain: "00000000000000aa", Frame: 1, Lane: change.Fresh, Results: []change.Result{result}}}
		if err := s.InsertChanges(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if err := s.InsertDeliveries(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}
