package chdb_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/chdb/chdbtest"
)

// server is the engine behind a real HTTP server.
func server(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(chdbtest.Engine(t).Handler())
	t.Cleanup(s.Close)
	return s
}

func TestHandler_TalksToClickHouseGoInEveryCompression(t *testing.T) {
	s := server(t)
	for name, method := range map[string]clickhouse.CompressionMethod{
		"none": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4, "zstd": clickhouse.CompressionZSTD,
		"gzip": clickhouse.CompressionGZIP, "deflate": clickhouse.CompressionDeflate, "br": clickhouse.CompressionBrotli,
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := clickhouse.Open(&clickhouse.Options{
				Protocol: clickhouse.HTTP, Addr: []string{strings.TrimPrefix(s.URL, "http://")},
				Auth:        clickhouse.Auth{Database: chdbtest.Database(t), Username: "default", Password: "ignored"},
				Compression: &clickhouse.Compression{Method: method, Level: 3},
				Settings:    clickhouse.Settings{"enable_http_compression": 1, "async_insert": 0},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			roundTrip(t, conn)
		})
	}
}

// roundTrip inserts rows of every type, reads them back, and looks at errors
// before and in the middle of an answer.
func roundTrip(t *testing.T, conn driver.Conn) {
	t.Helper()
	if err := conn.Exec(t.Context(), "CREATE TABLE t (n UInt64, s String, l LowCardinality(String)) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	const rows = 50_000
	for i := range rows {
		if err := batch.Append(uint64(i), strings.Repeat("line\n\n", i%9), []string{"a", "b"}[i%2]); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	got, err := conn.Query(t.Context(), "SELECT n, s, l FROM t ORDER BY n")
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for ; got.Next(); i++ {
		var n uint64
		var s, l string
		if err := got.Scan(&n, &s, &l); err != nil {
			t.Fatal(err)
		}
		if n != uint64(i) || s != strings.Repeat("line\n\n", i%9) || l != []string{"a", "b"}[i%2] {
			t.Fatalf("row %d is (%d, %q, %q)", i, n, s, l)
		}
	}
	if err := got.Err(); err != nil || i != rows {
		t.Fatalf("%d rows, %v", i, err)
	}
	wantCode(t, 60, conn.Exec(t.Context(), "SELECT * FROM nowhere"))
	late, err := conn.Query(t.Context(), "SELECT number, throwIf(number = 2000000) FROM numbers(3000000)")
	if err == nil {
		for late.Next() {
		}
		err = late.Err()
	}
	wantCode(t, 395, err)
}

func wantCode(t *testing.T, code int, err error) {
	t.Helper()
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), fmt.Sprintf("code: %d,", code)) {
		t.Errorf("error = %v, want code %d", err, code)
	}
}

// reply is what a plain HTTP client sees.
type reply struct {
	Status int
	Code   string
	Body   string
}

func do(t *testing.T, req *http.Request) reply {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header.Get("X-ClickHouse-Exception-Code"), string(body)}
}

func post(t *testing.T, base string, query url.Values, body string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/?"+query.Encode(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return do(t, req)
}

func get(t *testing.T, base, pathAndQuery string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+pathAndQuery, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, req)
}

func TestHandler_AnswersLikeClickHouse(t *testing.T) {
	s := server(t)
	db := chdbtest.Database(t)
	q := func(pairs ...string) url.Values {
		v := url.Values{"database": {db}}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v
	}
	f := func(name string, got, want reply) {
		t.Helper()
		if want.Status >= 400 && strings.HasPrefix(got.Body, want.Body) {
			got.Body = want.Body
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	ok := func(body string) reply { return reply{Status: 200, Body: body} }

	f("ping", get(t, s.URL, "/ping"), ok("Ok.\n"))
	f("no query", get(t, s.URL, "/"), ok("Ok.\n"))
	f("other path", get(t, s.URL, "/nothing"), reply{Status: 404, Body: "404 page not found\n"})
	f("query in the URL", get(t, s.URL, "/?query=SELECT+1"), ok("1\n"))
	f("query in the body", post(t, s.URL, q(), "SELECT 1, 'a'"), ok("1\ta\n"))
	f("query in both", post(t, s.URL, q("query", "SELECT 1 +"), "2"), ok("3\n"))
	f("default_format", post(t, s.URL, q("default_format", "JSONEachRow"), "SELECT 1 AS a"), ok(`{"a":1}`+"\n"))
	f("format of the query", post(t, s.URL, q("default_format", "JSONEachRow"), "SELECT 1 AS a FORMAT CSVWithNames"), ok("\"a\"\n1\n"))
	f("parameter", post(t, s.URL, q("param_a", `x\ty`), "SELECT {a:String}"), ok(`x\ty`+"\n"))
	f("setting", post(t, s.URL, q("max_threads", "3"), "SELECT getSetting('max_threads')"), ok("3\n"))
	f("database", post(t, s.URL, q(), "SELECT currentDatabase() = '"+db+"'"), ok("1\n"))
	f("GET only reads", get(t, s.URL, "/?query=CREATE+DATABASE+never"), reply{403, "164", "Code: 164"})
	f("GET does not insert", get(t, s.URL, "/?query=INSERT+INTO+t+VALUES+(1)"), reply{403, "164", "Code: 164"})
	f("GET with a fault", get(t, s.URL, "/?query=SELEC+1"), reply{400, "62", "Code: 62"})
	f("GET does not write files", get(t, s.URL, "/?query=SELECT+1+INTO+OUTFILE+'/tmp/never'"), reply{403, "164", "Code: 164"})
	f("create", post(t, s.URL, q(), "CREATE TABLE t (a UInt32, s String) ENGINE = MergeTree ORDER BY a"), ok(""))
	f("insert with data in the body", post(t, s.URL, q("query", "INSERT INTO t FORMAT JSONEachRow"), "{\"a\":1,\"s\":\"one\"}\n\n{\"a\":2,\"s\":\"two\\n\\n\"}\n"), ok(""))
	f("insert with all in the body", post(t, s.URL, q(), "INSERT INTO t (a, s) SETTINGS async_insert = 0 FORMAT CSV\n3,\"three\n\n\"\n4,four\n"), ok(""))
	f("insert of values", post(t, s.URL, q("query", "INSERT INTO t VALUES"), "(5, 'a;\n\nb'), (6, upper('six'));"), ok(""))
	f("insert of values with parameters", post(t, s.URL, q("param_s", "seven"), "INSERT INTO t VALUES (7, {s:String})"), ok(""))
	f("insert of a query", post(t, s.URL, q(), "INSERT INTO t SELECT number + 8, 'n' FROM numbers(2)"), ok(""))
	f("what was inserted", post(t, s.URL, q(), "SELECT a, s FROM t ORDER BY a FORMAT JSONCompactEachRow"),
		ok(`[1, "one"]
[2, "two\n\n"]
[3, "three\n\n"]
[4, "four"]
[5, "a;\n\nb"]
[6, "SIX"]
[7, "seven"]
[8, "n"]
[9, "n"]
`))
	f("bad data", post(t, s.URL, q("query", "INSERT INTO t FORMAT CSV"), "1,ok\nx,bad\n"), reply{400, "27", "Code: 27. DB::Exception: "})
	f("nothing of bad data is kept", post(t, s.URL, q(), "SELECT count() FROM t"), ok("9\n"))
	f("no table", post(t, s.URL, q(), "SELECT * FROM nowhere"), reply{404, "60", "Code: 60. DB::Exception: "})
	f("unknown setting", post(t, s.URL, q("nonsense", "1"), "SELECT 1"), reply{404, "115", "Code: 115. "})
	f("a setting that is no name", post(t, s.URL, q("a = 1, b", "1"), "SELECT 1"), reply{404, "115", "Code: 115. "})
	f("session", post(t, s.URL, q("session_id", "1"), "SELECT 1"), reply{501, "48", "Code: 48. "})
	f("unknown coding", post(t, s.URL, q("compress", "1", "network_compression_method", "X"), "SELECT 1"), reply{501, "48", "Code: 48. "})
	f("empty", post(t, s.URL, q(), ""), reply{400, "62", "Code: 62. "})
	f("describe", post(t, s.URL, q(), "DESCRIBE TABLE t FORMAT TSVRaw"), ok("a\tUInt32\t\t\t\t\t\ns\tString\t\t\t\t\t\n"))
	f("query too long", post(t, s.URL, q(), "SELECT '"+strings.Repeat("x", 17<<20)+"'"), reply{413, "223", "Code: 223. "})
	f("whole answer in one piece of JSON", post(t, s.URL, q("output_format_write_statistics", "0"), "SELECT count() AS n FROM (SELECT number FROM numbers(300000)) FORMAT JSONCompact"),
		post(t, s.URL, q("output_format_write_statistics", "0"), "SELECT 300000::UInt64 AS n FORMAT JSONCompact"))
}

func TestHandler_CutsNoFormatInPieces(t *testing.T) {
	// The engine gives a result block by block, and formats each as a whole.
	s := server(t)
	got := post(t, s.URL, url.Values{}, "SELECT number FROM numbers(300000) FORMAT JSON")
	var answer struct {
		Data []struct{ Number uint64 }
		Rows int
	}
	if err := json.Unmarshal([]byte(got.Body), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Data) != 300_000 || answer.Rows != 300_000 {
		t.Errorf("JSON has %d of %d rows, want 300000", len(answer.Data), answer.Rows)
	}
	names := post(t, s.URL, url.Values{}, "SELECT number FROM numbers(300000) FORMAT CSVWithNames")
	if n := strings.Count(names.Body, "number"); n != 1 || strings.Count(names.Body, "\n") != 300_001 {
		t.Errorf("CSVWithNames has %d heads, want 1", n)
	}
}

func TestHandler_ReadsCompressedBodies(t *testing.T) {
	s := server(t)
	var body bytes.Buffer
	w := gzip.NewWriter(&body)
	if _, err := io.WriteString(w, "SELECT 'packed'"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f := func(name string, sent []byte, encoding string, want reply) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, bytes.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Encoding", encoding)
		got := do(t, req)
		if want.Status >= 400 {
			got.Body = ""
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	f("gzip", body.Bytes(), "gzip", reply{Status: 200, Body: "packed\n"})
	f("not gzip", []byte("SELECT 1"), "gzip", reply{Status: 400, Code: "271"})
	f("cut short", body.Bytes()[:20], "gzip", reply{Status: 400, Code: "27"})
	f("unknown", []byte("SELECT 1"), "rot13", reply{Status: 501, Code: "48"})
}

func TestHandler_RefusesFormFieldsItDoesNotKnow(t *testing.T) {
	s := server(t)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range map[string]string{"query": "SELECT 1", "other": "x"} {
		if err := form.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	if got := do(t, req); got.Code != "36" {
		t.Errorf("got %+v, want code 36", got)
	}
}

func TestHandler_KeepsWebPagesOut(t *testing.T) {
	s := server(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader("SELECT 1"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "https://elsewhere.example")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := do(t, req); got.Status != http.StatusForbidden {
		t.Errorf("status %d, want %d", got.Status, http.StatusForbidden)
	}
}

// Who gives up in the middle of an answer, and reads on, does not take what came
// for the whole.
func TestTransport_ACancelledAnswerIsNotTheWhole(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/?query=SELECT+number+FROM+numbers(1000000000)+FORMAT+TSV", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := chdbtest.Engine(t).Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	cancel()
	var last []byte
	piece := make([]byte, 1<<20)
	for err == nil {
		var n int
		if n, err = res.Body.Read(piece); n > 0 {
			last = bytes.Clone(piece[max(0, n-1000):n])
		}
	}
	// The engine may be the first to see that its statement is cancelled.
	if errors.Is(err, io.EOF) && !bytes.Contains(last, []byte("__exception__")) {
		t.Errorf("what came ends with %q, like the whole", last[max(0, len(last)-20):])
	}
}
