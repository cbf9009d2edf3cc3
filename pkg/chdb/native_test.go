package chdb_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/chdb"
	"whatchanged/pkg/chdb/chdbtest"
)

func TestSkipKnown_AgreesWithDecoding(t *testing.T) {
	client := http.Client{Transport: chdbtest.Engine(t).Transport()}
	for _, value := range []string{
		"number", "toString(number)", "toFixedString('abc', 5)", "now()", "now64(3, 'UTC')", "generateUUIDv4()", "true", "1.5", "toFloat32(1)",
		"toNullable(toString(number))", "if(number % 2, NULL, 'x')", "toLowCardinality(toString(number))", "toLowCardinality(toNullable('x'))",
		"CAST(if(number % 2, NULL, 'a'), 'LowCardinality(Nullable(String))')", "range(number)", "[[number], []]", "[toLowCardinality('a'), 'b']",
		"emptyArrayString()", "[]::Array(LowCardinality(String))", "map('a', 'b')", "map('a', [1, 2])", "map(toLowCardinality('a'), 'b')", "map()::Map(String, UInt8)",
		"(1, 'a')", "tuple(1, 'x')::Tuple(a UInt8, `b` String)", "[(1, 'a'), (2, 'b')]", "(toLowCardinality('a'), [toLowCardinality('b')])",
		"CAST('a', 'Enum8(\\'a\\' = 1, \\'b,)(\\' = 2)')", "CAST('a', 'Enum16(\\'a\\' = 1000)')", "toDecimal32(1, 2)", "toDecimal64(1.5, 3)", "toDecimal128(1, 3)", "toDecimal256(1, 3)",
		"toIPv4('1.2.3.4')", "toIPv6('::1')", "toDate32('1950-01-01')", "toDate('2020-01-01')", "toUInt128(1)", "toInt256(-1)",
		"toBFloat16(1.5)", "'10:00:00'::Time", "'10:00:00.5'::Time64(3)", "CAST(1, 'SimpleAggregateFunction(sum, UInt64)')",
	} {
		t.Run(value, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://embedded/?default_format=Native",
				strings.NewReader("SELECT "+value+" AS v FROM numbers(1000)"))
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			block, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != http.StatusOK {
				t.Fatalf("%s", block)
			}
			kind, skipped, decoded, err := chdb.ColumnEnds(block, "what follows")
			if err != nil || skipped != decoded || skipped != "what follows" {
				t.Errorf("%s: %d bytes after skipping, %d after decoding, %v", kind, len(skipped), len(decoded), err)
			}
		})
	}
}

func FuzzSkipKnown(f *testing.F) {
	f.Add("Array(LowCardinality(Nullable(String)))", 3, []byte(strings.Repeat("\x01\x00", 80)))
	f.Add("Map(String, Tuple(a UInt8, `b` Decimal(9, 2)))", 1, []byte(strings.Repeat("\x01\x00\x00\x00", 20)))
	f.Fuzz(func(t *testing.T, kind string, rows int, b []byte) {
		if rows < 0 {
			return
		}
		if after, err := chdb.SkipKnown(kind, rows, b); err == nil && len(after) > len(b) {
			t.Errorf("%s: %d bytes after %d", kind, len(after), len(b))
		}
	})
}

func TestEngine_GivesValuesThatClickHouseGoCannotEncode(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	rows, err := conn.Query(t.Context(), "SELECT toIntervalDay(1), NULL, number, 'end' FROM numbers(3)")
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for ; rows.Next(); n++ {
		var number uint64
		var interval, end string
		var null *string
		if err := rows.Scan(&interval, &null, &number, &end); err != nil {
			t.Fatal(err)
		}
		if number != n || end != "end" {
			t.Errorf("row %d is (%q, %v, %d, %q)", n, interval, null, number, end)
		}
	}
	if err := rows.Err(); err != nil || n != 3 {
		t.Errorf("%d rows, %v, want 3", n, err)
	}
}

func TestEngine_GivesJSON(t *testing.T) {
	// JSON columns are decoded to find their end, and come between others.
	conn := chdbtest.Conn(t, chdbtest.Database(t))
	if err := conn.Exec(t.Context(), "CREATE TABLE t (n UInt8, j JSON) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"a":1,"b":["x"]}`
	if err := batch.Append(uint8(1), want); err != nil {
		t.Fatal(err)
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	var got, end string
	if err := conn.QueryRow(with(t.Context(), "output_format_native_write_json_as_string", 1), "SELECT j, 'end' FROM t").Scan(&got, &end); err != nil || got != want || end != "end" {
		t.Errorf("as text: %s, %q, %v, want %s", got, end, err, want)
	}
	var j clickhouse.JSON
	if err := conn.QueryRow(t.Context(), "SELECT j, 'end' FROM t").Scan(&j, &end); err != nil || end != "end" {
		t.Errorf("as JSON: %v, %q", err, end)
	}
}
