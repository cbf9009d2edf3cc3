package store_test

import (
	"encoding/base64"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

const benchRows = 5000

var fill = flag.Int("fill", 100_000, "changes to list in BenchmarkFindChanges")

// BenchmarkInsertPayloads inserts bodies of 4 KB of which 1 KB is random.
func BenchmarkInsertPayloads(b *testing.B) {
	s := storetest.New(b)
	random := rand.NewChaCha8([32]byte{1})
	batch := store.PayloadBatch{Chain: "c1", Lane: change.Fresh}
	for i := range benchRows {
		fresh := make([]byte, 768)
		random.Read(fresh)
		body := fmt.Appendf(nil, `{"n":%d,"fresh":%q,"same":"%03000d"}`, i, base64.StdEncoding.EncodeToString(fresh), 7)
		batch.Deliveries = append(batch.Deliveries, change.Delivery{
			Org: "acme", SourceID: "src_a", Identity: fmt.Sprint("github:", i), Body: body,
			Header: http.Header{"X-Github-Event": {"push"}, "Content-Type": {"application/json"}},
		})
	}
	for b.Loop() {
		for i := range batch.Deliveries {
			batch.Deliveries[i].ID = change.NewDeliveryID(noon.Add(time.Duration(i) * time.Millisecond))
		}
		batch.Frame++
		if err := s.InsertPayloads(b.Context(), []store.PayloadBatch{batch}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkInsertChanges(b *testing.B) {
	s := storetest.New(b)
	var results []change.Result
	for i := range benchRows {
		c := full("acme")
		c.ID = change.NewID(noon.Add(time.Duration(i)*time.Millisecond), "acme", "test", fmt.Sprint(rand.Uint64()))
		results = append(results, stored("acme", noon, c))
	}
	frame := []store.Batch{batch(results...)}
	for b.Loop() {
		if err := s.InsertChanges(b.Context(), frame); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkFindChanges lists over -fill rows of 5 orgs in a year; the goals
// are for 10 million: under 100 ms for up to 31 days, 300 ms for all.
func BenchmarkFindChanges(b *testing.B) {
	s := storetest.New(b)
	start := time.Now()
	if err := s.Fill(b.Context(), store.FillConfig{Rows: *fill, Orgs: []string{"a", "b", "c", "d", "e"}, Until: noon, Span: 365 * 24 * time.Hour}); err != nil {
		b.Fatal(err)
	}
	b.Logf("filled %d rows in %v", *fill, time.Since(start).Round(time.Millisecond))
	days := func(n int) store.ChangeFilter {
		return store.ChangeFilter{Org: "b", Start: noon.AddDate(0, 0, -n), End: noon}
	}
	with := func(f store.ChangeFilter, edit func(*store.ChangeFilter)) store.ChangeFilter {
		edit(&f)
		return f
	}
	all := store.ChangeFilter{Org: "b"}
	for _, bench := range []struct {
		name   string
		filter store.ChangeFilter
	}{
		{"day", days(1)},
		{"week", days(7)},
		{"month", days(31)},
		{"all", all},
		{"month/service", with(days(31), func(f *store.ChangeFilter) { f.ServiceID = "svc_7" })},
		{"all/service", with(all, func(f *store.ChangeFilter) { f.ServiceID = "svc_7" })},
		{"all/type_environment", with(all, func(f *store.ChangeFilter) { f.Types, f.Environment = []change.Type{change.Rollback}, "production" })},
		{"all/tag", with(all, func(f *store.ChangeFilter) { f.Tag = "team:3" })},
		{"all/actor", with(all, func(f *store.ChangeFilter) { f.Actor = "user77@example.com" })},
		{"all/none", with(all, func(f *store.ChangeFilter) { f.Repository = "none" })},
		{"month/words", with(days(31), func(f *store.ChangeFilter) { f.Q = "billing v7" })},
		{"all/words", with(all, func(f *store.ChangeFilter) { f.Q = "billing v7" })},
		{"all/rare_word", with(all, func(f *store.ChangeFilter) { f.Q = fmt.Sprint("build ", *fill/5*3+1) })},
		{"all/delivery", with(all, func(f *store.ChangeFilter) { f.DeliveryID = change.NewDeliveryID(noon) })},
		{"all/as_of", with(all, func(f *store.ChangeFilter) { f.AsOf = noon.AddDate(0, -1, 0) })},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var page store.Page[change.Change]
			for b.Loop() {
				var err error
				if page, err = s.FindChanges(b.Context(), store.ChangeQuery{ChangeFilter: bench.filter, Total: true}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(page.Total), "rows")
		})
	}
}
