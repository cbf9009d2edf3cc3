package chdb_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/chdb"
	"whatchanged/pkg/chdb/chdbtest"
)

func TestEngine_BindsParametersWhateverIsInThem(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	for _, want := range []string{
		"", "plain", `it's "quoted"`, "tab\tnewline\nreturn\r", `back\slash \n \N`, "nul\x00inside", "日本語 🦊", "'; DROP TABLE x; --", "{a:String}", "\n\n",
	} {
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT {value:String}", clickhouse.Named("value", want)).Scan(&got); err != nil {
			t.Errorf("%q: %v", want, err)
		} else if got != want {
			t.Errorf("parameter came back as %q, want %q", got, want)
		}
	}

	id := "\x00\x01\n\t\xff'\\3456789012"
	var got string
	err := conn.QueryRow(t.Context(), "SELECT unhex({id:String})", clickhouse.Named("id", hex.EncodeToString([]byte(id)))).Scan(&got)
	if err != nil || got != id {
		t.Errorf("id came back as %q, %v, want %q", got, err, id)
	}

	var sum uint64
	var names []string
	err = conn.QueryRow(t.Context(), "SELECT {n:UInt64} + 1, {names:Array(String)}",
		clickhouse.Named("n", uint64(41)), clickhouse.Named("names", []string{"a'b", "c\\d"})).Scan(&sum, &names)
	if err != nil || sum != 42 {
		t.Errorf("sum = %d, %v, want 42", sum, err)
	}
	if diff := cmp.Diff([]string{"a'b", "c\\d"}, names); diff != "" {
		t.Errorf("array parameter (-want +got):\n%s", diff)
	}
}

func TestEngine_GivesErrorsWithTheirCode(t *testing.T) {
	conn := chdbtest.Conn(t, chdbtest.Database(t))
	ctx := t.Context()
	for name, tc := range map[string]struct {
		code int32
		run  func() error
	}{
		"unknown table":    {60, func() error { return conn.Exec(ctx, "SELECT * FROM nowhere") }},
		"syntax":           {62, func() error { return conn.Exec(ctx, "SELEC 1") }},
		"two statements":   {62, func() error { return conn.Exec(ctx, "SELECT 1; SELECT 2") }},
		"unknown setting":  {115, func() error { return conn.Exec(with(ctx, "no_such_setting", "1"), "SELECT 1") }},
		"unknown database": {81, func() error { return chdbtest.Conn(t, "no_such").Exec(ctx, "SELECT 1") }},
		"bad parameter": {457, func() error {
			var n uint8
			return conn.QueryRow(ctx, "SELECT {n:UInt8}", clickhouse.Named("n", "x")).Scan(&n)
		}},
		"while running": {395, func() error { return conn.Exec(ctx, "SELECT throwIf(number = 3) FROM numbers(10)") }},
		"insert": {60, func() error {
			batch, err := conn.PrepareBatch(clickhouse.Context(ctx, clickhouse.WithColumnNamesAndTypes([]clickhouse.ColumnNameAndType{{Name: "a", Type: "UInt8"}})), "INSERT INTO nowhere (a)")
			if err != nil {
				return err
			}
			if err := batch.Append(uint8(1)); err != nil {
				return err
			}
			return batch.Send()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.run()
			var e *clickhouse.Exception
			if !errors.As(err, &e) || e.Code != tc.code {
				t.Errorf("error %v, want a clickhouse.Exception with code %d", err, tc.code)
			}
		})
	}
}

func with(ctx context.Context, name string, value any) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{name: value}))
}

func TestEngine_TellsAnErrorInTheMiddleOfAnAnswer(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	rows, err := conn.Query(t.Context(), "SELECT number, throwIf(number = 2000000) FROM numbers(3000000)")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		n++
	}
	var e *clickhouse.Exception
	if !errors.As(rows.Err(), &e) || e.Code != 395 {
		t.Errorf("after %d rows: %v, want code 395", n, rows.Err())
	}
	if n == 0 || n >= 3000000 {
		t.Errorf("got %d rows before the error", n)
	}
}

func TestEngine_KeepsNothingOfAFailedQuery(t *testing.T) {
	// Output from before an error must not come with the next answer, which
	// the engine's same connection gives. (clickhouse-go would say hello first.)
	s := server(t)
	for _, format := range []string{"JSON", "Values", "Vertical", "Parquet", "TSV", "CSVWithNames", "Native"} {
		failed := post(t, s.URL, url.Values{}, "SELECT throwIf(number = 700000) FROM numbers(1000000) FORMAT "+format)
		if failed.Code != "395" && !strings.Contains(failed.Body, "__exception__") {
			t.Errorf("%s: %+v, want an error", format, reply{failed.Status, failed.Code, ""})
		}
		if got := post(t, s.URL, url.Values{}, "SHOW DATABASES LIKE 'system'"); got.Body != "system\n" {
			t.Errorf("after %s, the next answer is %.100q", format, got.Body)
		}
	}
}

// single is a client whose requests come one at a time, and so use one
// connection of the engine: the one that was used last.
func single(t *testing.T) driver.Conn {
	t.Helper()
	return chdbtest.Conn(t, "default")
}

func TestEngine_LeaksNothingFromOneRequestToTheNext(t *testing.T) {
	conn := single(t)
	database := chdbtest.Database(t)
	setting := func(ctx context.Context, name string) string {
		t.Helper()
		var v string
		if err := conn.QueryRow(ctx, "SELECT toString(getSetting('"+name+"'))").Scan(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	before := setting(t.Context(), "max_block_size")
	if got := setting(with(t.Context(), "max_block_size", 77), "max_block_size"); got != "77" {
		t.Errorf("setting of the request = %s, want 77", got)
	}
	if got := setting(t.Context(), "max_block_size"); got != before {
		t.Errorf("max_block_size of the next request = %s, want %s", got, before)
	}
	for _, sql := range []string{"SET max_block_size = 55", "USE " + database} {
		if err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if got := setting(t.Context(), "max_block_size"); got != before {
		t.Errorf("max_block_size after SET = %s, want %s", got, before)
	}
	// The second setting is refused: the first must not stay.
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_block_size": 66, "zzz_no_such": 1}))
	if err := conn.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("unknown setting is not refused")
	}
	if got := setting(t.Context(), "max_block_size"); got != before {
		t.Errorf("max_block_size after a refused request = %s, want %s", got, before)
	}
	// readonly cannot be taken back from a connection, so it must not get there.
	if err := conn.Exec(with(t.Context(), "readonly", 1), "CREATE DATABASE never"); err == nil {
		t.Error("readonly request created a database")
	}
	if got := setting(with(t.Context(), "max_block_size", 78), "max_block_size"); got != "78" {
		t.Errorf("setting after a readonly request = %s, want 78", got)
	}
	var current string
	if err := conn.QueryRow(t.Context(), "SELECT currentDatabase()").Scan(&current); err != nil || current != "default" {
		t.Errorf("database after USE = %q, %v, want default", current, err)
	}
	if err := chdbtest.Conn(t, database).QueryRow(t.Context(), "SELECT currentDatabase()").Scan(&current); err != nil || current != database {
		t.Errorf("database of the client = %q, %v, want %s", current, err, database)
	}
}

func TestEngine_StreamsAMillionRowsInFlatMemory(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	rows, err := conn.Query(t.Context(), "SELECT number, repeat('x', 500) FROM numbers(1000000)")
	if err != nil {
		t.Fatal(err)
	}
	var n uint64
	var peak uint64
	for rows.Next() {
		var number uint64
		var s string
		if err := rows.Scan(&number, &s); err != nil {
			t.Fatal(err)
		}
		if number != n || len(s) != 500 {
			t.Fatalf("row %d is (%d, %d bytes)", n, number, len(s))
		}
		n++
		if n%200_000 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
	}
	if err := rows.Err(); err != nil || n != 1_000_000 {
		t.Fatalf("%d rows, %v", n, err)
	}
	if peak > 300<<20 {
		t.Errorf("heap in use went up to %d MiB for an answer of 500 MB", peak>>20)
	}
}

func TestEngine_CancelsWhatNobodyWaitsFor(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	for name, sql := range map[string]string{
		"streamed":  "SELECT sleepEachRow(0.1) FROM numbers(3000) SETTINGS max_block_size = 1",
		"held":      "SELECT sleepEachRow(0.1) FROM numbers(3000) SETTINGS max_block_size = 1 FORMAT JSON",
		"in memory": "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)",
	} {
		t.Run(name, func(t *testing.T) {
			tag := "cancel " + name
			ctx, cancel := context.WithCancel(with(t.Context(), "log_comment", tag))
			defer cancel()
			failed := make(chan error, 1)
			go func() { failed <- conn.Exec(ctx, sql) }()
			await(t, "the query to start", func() bool { return running(t, conn, tag) == 1 })
			cancel()
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Errorf("error = %v, want %v", err, context.Canceled)
			}
			await(t, "the query to end", func() bool { return running(t, conn, tag) == 0 })
		})
	}
}

// running counts the queries with a log_comment that ends in tag.
func running(t *testing.T, conn driver.Conn, tag string) (n uint64) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE endsWith(Settings['log_comment'], {tag:String})",
		clickhouse.Named("tag", tag)).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// await waits until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestEngine_GivesConnectionsBackWhenReadersLeave(t *testing.T) {
	// More unfinished answers, one after the other, than there are connections.
	conn := chdbtest.Conn(t, "default")
	for range 3 * chdb.DefaultConnections {
		ctx, cancel := context.WithCancel(t.Context())
		rows, err := conn.Query(ctx, "SELECT number FROM numbers(10000000)")
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() {
			t.Fatal("no rows")
		}
		cancel()
		for rows.Next() {
		}
		_ = rows.Close()
	}
	var one uint8
	if err := conn.QueryRow(t.Context(), "SELECT 1").Scan(&one); err != nil {
		t.Fatal(err)
	}
}

func TestEngine_RunsAThousandQueriesBesideALongOne(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	ctx, cancel := context.WithCancel(with(t.Context(), "log_comment", "the long one"))
	defer cancel()
	long := make(chan error, 1)
	go func() {
		long <- conn.Exec(ctx, "SELECT sleepEachRow(0.1) FROM numbers(3000) SETTINGS max_block_size = 1")
	}()
	await(t, "the long query to start", func() bool { return running(t, conn, "the long one") == 1 })

	var wg sync.WaitGroup
	errs := make(chan error, 1000)
	for i := range 1000 {
		wg.Go(func() {
			var got int64
			if err := conn.QueryRow(t.Context(), "SELECT {n:Int64} * 2", clickhouse.Named("n", i)).Scan(&got); err != nil {
				errs <- err
			} else if got != int64(2*i) {
				errs <- fmt.Errorf("query %d got %d", i, got)
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	// The short ones are through while the long one still holds its connection.
	if n := running(t, conn, "the long one"); n != 1 {
		t.Errorf("%d long queries run, want 1", n)
	}
	cancel()
	if err := <-long; !errors.Is(err, context.Canceled) {
		t.Errorf("long query: %v, want %v", err, context.Canceled)
	}
}

func TestEngine_WaitingForAConnectionEndsWithItsContext(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	hold, release := context.WithCancel(with(t.Context(), "log_comment", "holder"))
	defer release()
	var wg sync.WaitGroup
	for range chdb.DefaultConnections - 1 {
		wg.Go(func() {
			_ = conn.Exec(hold, "SELECT sleepEachRow(0.1) FROM numbers(3000) SETTINGS max_block_size = 1")
		})
	}
	await(t, "the pool to be all but full", func() bool { return running(t, conn, "holder") == chdb.DefaultConnections-1 })
	last, releaseLast := context.WithCancel(with(t.Context(), "log_comment", "last"))
	defer releaseLast()
	wg.Go(func() { _ = conn.Exec(last, "SELECT sleepEachRow(0.1) FROM numbers(3000) SETTINGS max_block_size = 1") })

	// With the pool full, a request gives up when its context does.
	await(t, "the pool to be full", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		return errors.Is(conn.Exec(ctx, "SELECT 1"), context.DeadlineExceeded)
	})
	releaseLast()
	if err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("after a connection is free: %v", err)
	}
	release()
	wg.Wait()
}

func TestEngine_TakesExternalTables(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	ids, err := ext.NewTable("ids", ext.Column("id", "UInt64"), ext.Column("name", "String"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := ids.Append(uint64(i), strings.Repeat("x", i%7)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second finds nothing of the first
		var n, length uint64
		err = conn.QueryRow(clickhouse.Context(t.Context(), clickhouse.WithExternalTable(ids)), "SELECT count(), sum(length(name)) FROM ids").Scan(&n, &length)
		if err != nil || n != 1000 {
			t.Fatalf("count = %d, %v, want 1000", n, err)
		}
	}
	if err := conn.Exec(t.Context(), "SELECT * FROM ids"); err == nil {
		t.Error("the external table outlived its request")
	}
}

func TestEngine_InsertsNothingOfABodyCutShort(t *testing.T) {
	db := chdbtest.Database(t)
	conn := chdbtest.Conn(t, db)
	if err := conn.Exec(t.Context(), "CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY s"); err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: chdbtest.Engine(t).Transport()}
	for _, size := range []int{100, 5 << 20} { // read before the insert begins, and after
		body := io.MultiReader(strings.NewReader(strings.Repeat("x\n", size/2)), iotest.ErrReader(io.ErrUnexpectedEOF))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://embedded/?database="+db+"&query=INSERT+INTO+t+FORMAT+TSV", body)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("%d bytes: status %d, want %d", size, res.StatusCode, http.StatusBadRequest)
		}
	}
	var n uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM t").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows, %v, want none", n, err)
	}
}

// An insert that failed holds its table until the engine has let go of it: a
// DROP ... SYNC would wait for ever.
func TestEngine_LetsGoOfTheTableOfAFailedInsert(t *testing.T) {
	db := chdbtest.Database(t)
	conn := chdbtest.Conn(t, db)
	client := http.Client{Transport: chdbtest.Engine(t).Transport()}
	insert := func(ctx context.Context, tag string, body io.Reader) error {
		q := url.Values{"database": {db}, "query": {"INSERT INTO t FORMAT TSV"}, "log_comment": {tag}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://embedded/?"+q.Encode(), body)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", res.StatusCode)
		}
		return nil
	}
	// More than is read before an insert begins, and few rows: the engine keeps them until the end.
	rows := strings.Repeat("1\t"+strings.Repeat("x", 1000)+"\n", 2<<10)
	for name, fail := range map[string]func(context.Context, string) error{
		"body cut short": func(ctx context.Context, tag string) error {
			return insert(ctx, tag, io.MultiReader(strings.NewReader(rows), iotest.ErrReader(io.ErrUnexpectedEOF)))
		},
		"not a number": func(ctx context.Context, tag string) error {
			return insert(ctx, tag, strings.NewReader(rows+"x\tx\n"+rows))
		},
		"not a number, small": func(ctx context.Context, tag string) error {
			return insert(ctx, tag, strings.NewReader("x\tx\n"))
		},
		"cancelled": func(ctx context.Context, tag string) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			read, write := io.Pipe()
			go func() {
				_, _ = io.WriteString(write, rows)
				await(t, "the insert to begin", func() bool { return running(t, conn, tag) == 1 })
				cancel()
				_, err := io.WriteString(write, rows)
				_ = write.CloseWithError(err)
			}()
			return insert(ctx, tag, read)
		},
		"cancelled at its end": func(ctx context.Context, tag string) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			read, write := io.Pipe()
			go func() {
				_, _ = io.WriteString(write, rows)
				await(t, "the insert to begin", func() bool { return running(t, conn, tag) == 1 })
				cancel()
				time.Sleep(300 * time.Millisecond)
				_ = write.Close()
			}()
			return insert(ctx, tag, read)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := conn.Exec(t.Context(), "CREATE TABLE t (n UInt8, s String) ENGINE = MergeTree ORDER BY n"); err != nil {
				t.Fatal(err)
			}
			// The connection of this query is used next, not the insert's, which any statement would clean.
			later := make(chan error, 1)
			go func() {
				later <- conn.Exec(with(t.Context(), "log_comment", name+" later"), "SELECT sleepEachRow(0.1) FROM numbers(5) SETTINGS max_block_size = 1")
			}()
			await(t, "the other query to begin", func() bool { return running(t, conn, name+" later") == 1 })
			if err := fail(t.Context(), name); err == nil {
				t.Error("the insert went well, want an error")
			}
			if err := <-later; err != nil {
				t.Fatal(err)
			}
			if n := running(t, conn, name); n != 0 {
				t.Fatalf("%d inserts are still listed as running", n)
			}
			if err := conn.Exec(t.Context(), "DROP TABLE t SYNC"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestInsert_IsRefusedWhenTheDiskIsFull(t *testing.T) {
	e := chdbtest.Engine(t)
	conn := chdbtest.Conn(t, chdbtest.Database(t))
	if err := conn.Exec(t.Context(), "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	e.SetReserve(1 << 62)
	defer e.SetReserve(0)
	err := conn.Exec(t.Context(), "INSERT INTO t VALUES (1)")
	if err == nil || !strings.Contains(err.Error(), "NOT_ENOUGH_SPACE") {
		t.Errorf("an insert on a full disk: %v", err)
	}
}

// What an INSERT ... SELECT has made is as durable as what a client sends: while
// the table's directory cannot be synced, it is not acknowledged.
func TestInsert_OfASelectIsSyncedToo(t *testing.T) {
	database := chdbtest.Database(t)
	conn := chdbtest.Conn(t, database)
	for _, statement := range []string{"CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n", "INSERT INTO t SELECT 1"} {
		if err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	var part string
	if err := conn.QueryRow(t.Context(), "SELECT path FROM system.parts WHERE database = currentDatabase() AND table = 't'").Scan(&part); err != nil {
		t.Fatal(err)
	}
	dir, _, found := strings.Cut(part, "/store/")
	if !found {
		t.Fatalf("where is the engine's directory in %s?", part)
	}
	link := filepath.Join(dir, "data", database, "t")
	target, err := os.Readlink(link)
	if err != nil {
		t.Fatal(err)
	}
	relink := func(target string) {
		t.Helper()
		if err := errors.Join(os.Remove(link), os.Symlink(target, link)); err != nil {
			t.Fatal(err)
		}
	}
	relink(link) // to itself: nobody can open it
	err = conn.Exec(t.Context(), "INSERT INTO t (n) SELECT n + 1 FROM t")
	relink(target)
	if err == nil || !strings.Contains(err.Error(), "sync table t") {
		t.Errorf("error %v, want that the table cannot be synced", err)
	}
	if err := conn.Exec(t.Context(), "INSERT INTO t (n) SELECT n + 1 FROM t"); err != nil {
		t.Error(err)
	}
}
