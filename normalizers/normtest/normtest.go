// Package normtest puts a provider's normalizer through what each must pass:
// golden cases that someone who does not write Go can extend, and the promises
// of the contract that no case thinks of.
//
// A case is a txtar file with a sentence on top saying what it shows, the
// request's headers (none may be needed), its body, and what must come out: the
// changes as a list, or {"ignored": "why"}, or {"dead": "why"}. Run the tests
// with -update to rewrite the last part; the diff is for the review.
package normtest

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

var update = flag.Bool("update", false, "rewrite want.json in the golden cases")

// Received is when every delivery of a test is received.
var Received = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// Run runs the cases that match glob, and on each body the checks that hold
// for all.
func Run(t *testing.T, n normalizers.Normalizer, glob string) {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases match %s (%v)", glob, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			golden(t, n, file)
			c := read(t, file)
			cutAnywhere(t, n, c)
			oddValues(t, n, c)
		})
	}
	t.Run("unknown kind", func(t *testing.T) { unknownKind(t, n) })
}

// testCase is what a file says.
type testCase struct {
	archive *txtar.Archive
	header  http.Header
	body    []byte
	want    []byte
}

func read(tb testing.TB, file string) testCase {
	tb.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	c := testCase{archive: archive, header: http.Header{}}
	for _, f := range archive.Files {
		switch f.Name {
		case "headers":
			for line := range strings.Lines(string(f.Data)) {
				if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
					c.header.Add(textproto.TrimString(name), textproto.TrimString(value))
				}
			}
		case "body.json":
			c.body = f.Data
		case "want.json":
			c.want = f.Data
		default:
			tb.Fatalf("%s: a case has headers, body.json and want.json, not %s", file, f.Name)
		}
	}
	return c
}

// golden compares what comes out of a case with what it says.
func golden(t *testing.T, n normalizers.Normalizer, file string) {
	c := read(t, file)
	got := show(t, process(n, c.header, c.body))
	Check(t, process(n, c.header, c.body))
	if diff := cmp.Diff(show(t, process(n, c.header, c.body)), got); diff != "" {
		t.Errorf("the same delivery gives something else the second time (-second +first):\n%s", diff)
	}
	if *update {
		write(t, c, file, got)
		return
	}
	if diff := cmp.Diff(decoded(t, c.want), decoded(t, []byte(got))); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func write(t *testing.T, c testCase, file, got string) {
	t.Helper()
	files := c.archive.Files[:0]
	for _, f := range c.archive.Files {
		if f.Name != "want.json" {
			files = append(files, f)
		}
	}
	c.archive.Files = append(files, txtar.File{Name: "want.json", Data: []byte(got)})
	if err := os.WriteFile(file, txtar.Format(c.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// show writes a result as a case has it: less what every change of a test has
// in common.
func show(tb testing.TB, res change.Result) string {
	tb.Helper()
	var out any
	switch res.Outcome {
	case change.Dead:
		out = map[string]string{"dead": res.Reason}
	case change.Ignored:
		out = map[string]string{"ignored": res.Reason}
	default:
		list := []map[string]any{}
		for _, c := range res.Changes {
			b, err := json.Marshal(c)
			if err != nil {
				tb.Fatal(err)
			}
			var m map[string]any
			d := json.NewDecoder(bytes.NewReader(b))
			d.UseNumber()
			if err := d.Decode(&m); err != nil {
				tb.Fatal(err)
			}
			delete(m, "created_at")
			delete(m, "provenance")
			list = append(list, m)
		}
		out = list
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

func decoded(t *testing.T, b []byte) (v any) {
	t.Helper()
	if len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("want.json: %v", err)
	}
	return v
}

// process takes a delivery through the whole of the normalizers' part.
func process(n normalizers.Normalizer, h http.Header, body []byte) change.Result {
	return run(n, change.Delivery{Header: h, Body: body, Identity: normalizers.Identity(h)})
}

// processPinned does so for a source that says who speaks.
func processPinned(n normalizers.Normalizer, body []byte) change.Result {
	return run(n, change.Delivery{Body: body, Provider: n.Provider()})
}

func run(n normalizers.Normalizer, d change.Delivery) change.Result {
	set := normalizers.Set{n.Provider(): n, normalizers.Generic: n}
	d.ID, d.Org, d.SourceID, d.ReceivedAt = change.DeliveryID{1}, "test", "src_test", change.At(Received)
	return set.Process(&d, normalizers.Settings{}, Received, Received)
}
