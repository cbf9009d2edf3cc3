package store

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
)

var update = flag.Bool("update", false, "rewrite testdata")

// snapshot compares SQL with a file that is reviewed as SQL.
func snapshot(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".sql")
	got = strings.TrimSpace(got) + "\n"
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); -update rewrites it:\n%s", file, diff)
	}
}

func TestMigrations_RenderForOneNodeAndForACluster(t *testing.T) {
	f := func(name string, edit func(*Config)) {
		t.Helper()
		cfg := DefaultConfig()
		edit(&cfg)
		all, err := migrations(cfg)
		if err != nil {
			t.Fatal(err)
		}
		out := schemaTable(cfg) + ";\n"
		for i, m := range all {
			if i > 0 && m.number <= all[i-1].number {
				t.Errorf("migration %s: its number is not higher than that of %s", m.name, all[i-1].name)
			}
			out += "\n-- " + m.name + "\n" + strings.Join(m.statements, ";\n\n") + ";\n"
		}
		snapshot(t, "migrations/"+name, out)
	}
	f("single", func(*Config) {})
	f("cluster", func(c *Config) { c.Cluster, c.PayloadDays = "prod", 7 })
}

var allFilters = ChangeFilter{
	Org: "acme", ServiceID: "s", Types: []change.Type{change.Code}, Source: "s", Environment: "e", Actor: "a", ActorID: "a", Repository: "r",
	Risks: []change.Risk{change.Low, change.High}, Statuses: []change.Status{change.Failed}, Tag: "t", Action: "a.*", ResourceID: "r",
	SessionID: "s", CorrelationID: "c", ExternalID: "e", Provider: "p", Account: "a", Region: "r", Branch: "b", Version: "v", CommitSHA: "c",
	DeliveryID: change.DeliveryID{1}, Q: "two words", AsOf: time.UnixMilli(5),
}

func TestQueries_AreAsReviewed(t *testing.T) {
	must := func(w *where, err error) *where {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	plain, full := must((&ChangeFilter{Org: "acme"}).where()), must(allFilters.where())
	window := span{time.UnixMilli(1), time.UnixMilli(2)}
	statement := func(s string, _ []any) string { return s }
	snapshot(t, "changes_keys", statement(changeList.keysStatement(plain, Desc, window, nil, 26, false)))
	snapshot(t, "changes_keys_counted", statement(changeList.keysStatement(plain, Desc, window, nil, 26, true)))
	snapshot(t, "changes_keys_filtered_ascending", statement(changeList.keysStatement(full, Asc, window, &cursor{}, 26, false)))
	snapshot(t, "export", statement(exportStatement(plain, window)))
	snapshot(t, "changes_rows", changeList.readStatement(plain, Desc))
	snapshot(t, "change", changeList.oneStatement(plain))
	deliveries := must((&DeliveryQuery{Org: "acme", SourceID: "s", Provider: "p", DetectedBy: "d", Outcome: change.Dead, Identity: "i"}).where())
	snapshot(t, "deliveries_keys", statement(deliveryList.keysStatement(deliveries, Desc, span{}, nil, 26, false)))
	snapshot(t, "payload", payloadList.oneStatement(plain))
	snapshot(t, "known_identities", knownStatement)
	snapshot(t, "stored_frames", placesStatement)
	snapshot(t, "history", historyStatement)
	snapshot(t, "candidates", candidatesStatement)
	snapshot(t, "acquainted", acquaintedStatement)
	snapshot(t, "habits", habitStatement+";\n\n"+lagStatement+";\n\n"+deadStatement)

	stats := StatsQuery{ChangeFilter: ChangeFilter{Org: "acme", Source: "s", Start: time.UnixMilli(1), End: time.UnixMilli(2)}, Bucket: time.Hour, By: Dimensions(), Top: 5}
	text, _, err := stats.statement()
	if err != nil {
		t.Fatal(err)
	}
	snapshot(t, "stats", text)
	account := AccountQuery{Org: "acme", SourceID: "s", Start: time.UnixMilli(1), End: time.UnixMilli(2), Bucket: time.Minute}
	if text, _, err = account.statement(); err != nil {
		t.Fatal(err)
	}
	snapshot(t, "account", text)
}

func TestQueries_AreNeverWithoutAnOrg(t *testing.T) {
	f := func(name string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: no org, and no error", name)
		}
	}
	s := &Store{now: time.Now, metrics: newMetrics(noRegistry{})}
	_, err := s.FindChanges(t.Context(), ChangeQuery{})
	f("changes", err)
	f("export", s.Export(t.Context(), ChangeFilter{}, nil))
	_, err = s.Change(t.Context(), "", change.ID{1})
	f("change", err)
	_, err = s.FindDeliveries(t.Context(), DeliveryQuery{})
	f("deliveries", err)
	_, err = s.Delivery(t.Context(), "", change.DeliveryID{1})
	f("delivery", err)
	_, err = s.Payload(t.Context(), "", change.DeliveryID{1})
	f("payload", err)
	day := ChangeFilter{Start: time.UnixMilli(1), End: time.UnixMilli(2)}
	_, err = s.Stats(t.Context(), StatsQuery{ChangeFilter: day})
	f("stats", err)
	_, err = s.Account(t.Context(), AccountQuery{Start: day.Start, End: day.End})
	f("account", err)
	_, _, err = s.Candidates(t.Context(), CandidateQuery{Start: day.Start, End: day.End})
	f("candidates", err)
	_, err = s.ChangesByID(t.Context(), "", []change.ID{{1}})
	f("changes by id", err)
	_, err = s.Acquainted(t.Context(), "", day.Start, day.End, []Acquaintance{{"s", "a"}})
	f("acquainted", err)
	_, err = s.Habits(t.Context(), HabitQuery{Start: day.Start, End: day.End})
	f("habits", err)
}

func TestSpan_IsCutIntoWindowsThatGrow(t *testing.T) {
	day := func(n float64) time.Time {
		return time.Unix(0, 0).Add(time.Duration(n * 24 * float64(time.Hour))).UTC()
	}
	f := func(r span, sort, want string) {
		t.Helper()
		var got []string
		at := func(t time.Time) string {
			if t.IsZero() {
				return "*"
			}
			return fmt.Sprint(t.Sub(day(0)).Hours() / 24)
		}
		for _, w := range r.cut(sort) {
			got = append(got, at(w.start)+"-"+at(w.end))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v %s: %v, want %s", r, sort, got, want)
		}
	}
	f(span{end: day(1000)}, Desc, "999-1000 969-999 634-969 *-634")
	f(span{start: day(1)}, Asc, "1-2 2-32 32-367 367-*")
	f(span{day(10), day(10.5)}, Desc, "10-10.5")
	f(span{day(10), day(12)}, Desc, "11-12 10-11")
	f(span{day(10), day(12)}, Asc, "10-11 11-12")
	f(span{day(10), day(11)}, Asc, "10-11")
	f(span{day(10), day(10)}, Desc, "")
	f(span{day(11), day(10)}, Asc, "")
}

func TestSplit_KeepsStatementsSmall(t *testing.T) {
	var rows []int // the partition of each
	for i := range 30 {
		rows = append(rows, i%10)
	}
	f := func(partitions, limit int, want ...int) {
		t.Helper()
		var got []int
		n := 0
		for _, part := range split(rows, func(r *int) int { return *r }, partitions, limit) {
			got = append(got, len(part))
			n += len(part)
		}
		if !cmp.Equal(got, want) || n != len(rows) {
			t.Errorf("at most %d partitions and %d rows: %v, want %v", partitions, limit, got, want)
		}
	}
	f(100, 100, 30)
	f(4, 100, 12, 12, 6)
	f(100, 8, 8, 8, 8, 6)
	f(2, 4, 4, 4, 4, 4, 4, 4, 4, 2)
}
