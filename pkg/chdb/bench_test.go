package chdb_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/chdb/chdbtest"
)

// BenchmarkInsert inserts rows with 4 KB of text that compresses as JSON does.
func BenchmarkInsert(b *testing.B) {
	conn := chdbtest.Conn(b, chdbtest.Database(b))
	if err := conn.Exec(b.Context(), "CREATE TABLE t (n UInt64, body String CODEC(ZSTD(1))) ENGINE = MergeTree ORDER BY n"+durable); err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	bodies := make([]string, 512)
	for i := range bodies {
		var s strings.Builder
		for s.Len() < 4096 {
			fmt.Fprintf(&s, `{"id":"%016x","name":"some name","url":"https://example.com/%d"},`, random.Uint64(), random.IntN(1000))
		}
		bodies[i] = s.String()[:4096]
	}
	const rows = 2000
	b.SetBytes(rows * 4096)
	n := uint64(0)
	for b.Loop() {
		batch, err := conn.PrepareBatch(b.Context(), "INSERT INTO t")
		if err != nil {
			b.Fatal(err)
		}
		for range rows {
			if err := batch.Append(n, bodies[n%uint64(len(bodies))]); err != nil {
				b.Fatal(err)
			}
			n++
		}
		if err := batch.Send(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkShortSelect runs a query that does next to nothing.
func BenchmarkShortSelect(b *testing.B) {
	conn := chdbtest.Conn(b, "default")
	for b.Loop() {
		var one uint8
		if err := conn.QueryRow(b.Context(), "SELECT 1").Scan(&one); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSelectRows reads a million numbers through clickhouse-go.
func BenchmarkSelectRows(b *testing.B) {
	conn := chdbtest.Conn(b, "default")
	const n = 1_000_000
	for b.Loop() {
		rows, err := conn.Query(b.Context(), "SELECT number FROM numbers({n:UInt64})", clickhouse.Named("n", n))
		if err != nil {
			b.Fatal(err)
		}
		for rows.Next() {
		}
		if err := rows.Err(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
