package normtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// Check fails the test when a result breaks a promise: exactly one outcome
// with its reason; every change with an id of its own, a summary of one line
// and at most 200 characters, text in UTF-8, and metadata that is an object.
func Check(tb testing.TB, res change.Result) {
	tb.Helper()
	stored := res.Outcome == change.Stored
	if stored != (len(res.Changes) > 0) || stored == (res.Reason != "") {
		tb.Errorf("outcome %q with %d changes and reason %q", res.Outcome, len(res.Changes), res.Reason)
	}
	ids := make(map[change.ID]bool)
	for _, c := range res.Changes {
		if ids[c.ID] {
			tb.Errorf("two changes of one delivery have the id %s", c.ID)
		}
		ids[c.ID] = true
		switch n := utf8.RuneCountInString(c.Summary); {
		case c.Summary == "":
			tb.Errorf("change %s has no summary", c.ID)
		case n > change.MaxSummary, strings.ContainsAny(c.Summary, "\r\n\t\x00"):
			tb.Errorf("summary of %d characters: %q", n, c.Summary)
		}
		if c.Type == "" || c.Source == "" || c.Org == "" || c.OccurredAt.IsZero() || c.Risk == "" {
			tb.Errorf("change %s is not complete: %+v", c.ID, c)
		}
		if len(c.Metadata) > change.MaxMetadata || c.Metadata != nil && !gjson.ParseBytes(c.Metadata).IsObject() {
			tb.Errorf("metadata of %d bytes: %.200s", len(c.Metadata), c.Metadata)
		}
		b, err := json.Marshal(c)
		if err != nil {
			tb.Errorf("change %s: %v", c.ID, err)
		}
		if !utf8.Valid(b) || !json.Valid(b) {
			tb.Errorf("change %s is not JSON in UTF-8: %q", c.ID, b)
		}
	}
}

// cutAnywhere cuts the body at many places: always an outcome, and never
// changes from half a body.
func cutAnywhere(t *testing.T, n normalizers.Normalizer, c testCase) {
	body := bytes.TrimSpace(c.body)
	if normalizers.CheckJSON(body) != nil {
		return
	}
	step := max(1, len(body)/200)
	for i := 0; i < len(body); i += step {
		if res := process(n, c.header, body[:i]); res.Outcome != change.Dead {
			t.Fatalf("the body cut at byte %d is %s", i, res.Outcome)
		}
	}
}

const secret = "ghp_0123456789abcdefghijABCDEFGHIJ456789"

// oddValues puts, one after the other, something else in each value's place:
// providers change and their users send what they like, so no value may make
// the delivery dead, and a secret must not come through anywhere.
func oddValues(t *testing.T, n normalizers.Normalizer, c testCase) {
	if !gjson.ValidBytes(c.body) || process(n, c.header, c.body).Outcome == change.Dead {
		return
	}
	odd := []string{"null", "42", `"odd"`, "true", "{}", "[]", `[null]`, `"` + secret + `"`, `"\ud800"`, "-1e400"}
	places := values(gjson.ParseBytes(c.body), nil)
	step := max(1, len(places)/150)
	for i := 0; i < len(places); i += step {
		for _, value := range odd {
			p := places[i]
			body := []byte(string(c.body[:p.start]) + value + string(c.body[p.end:]))
			res := process(n, c.header, body)
			if res.Outcome == change.Dead || len(res.Dead) > 0 {
				t.Errorf("%s in place of %.40s at byte %d: dead: %s%v", value, c.body[p.start:p.end], p.start, res.Reason, res.Dead)
				return
			}
			Check(t, res)
			if out := show(t, res); strings.Contains(out, secret) {
				t.Errorf("a secret at byte %d comes out: %.300s", p.start, out[max(0, strings.Index(out, secret)-200):])
				return
			}
		}
	}
}

type place struct{ start, end int }

// values finds every value but the outermost, by its place in the body.
func values(v gjson.Result, found []place) []place {
	v.ForEach(func(_, value gjson.Result) bool {
		found = append(found, place{value.Index, value.Index + len(value.Raw)})
		if value.IsObject() || value.IsArray() {
			found = values(value, found)
		}
		return true
	})
	return found
}

// unknownKind sends what the provider never did: never an error.
func unknownKind(t *testing.T, n normalizers.Normalizer) {
	for _, body := range []string{`{}`, `{"action":"exploded","no_such":{"thing":[1,2,3]}}`} {
		r := normalizers.Record{Provider: n.Provider(), DetectedBy: "source", Event: "no_such_event", Header: http.Header{}, JSON: []byte(body)}
		res, err := n.Normalize(r)
		if err != nil {
			t.Errorf("unknown kind %s: %v", body, err)
		}
		if (len(res.Drafts) > 0) == (res.Ignored != "") {
			t.Errorf("unknown kind %s: %d changes and ignored %q; want one of the two", body, len(res.Drafts), res.Ignored)
		}
	}
}

// Fuzz checks the contract on arbitrary JSON. The seeds are the cases in
// testdata.
func Fuzz(f *testing.F, n normalizers.Normalizer) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("", []byte(`{}`))
	for _, file := range files {
		c := read(f, file)
		for _, r := range records(c) {
			f.Add(r.Event, r.JSON)
		}
	}
	f.Fuzz(func(t *testing.T, event string, body []byte) {
		if normalizers.CheckJSON(body) != nil || bytes.HasPrefix(body, []byte("\xef\xbb\xbf")) {
			return // Unwrap hands on valid JSON only
		}
		r := normalizers.Record{Provider: n.Provider(), DetectedBy: "source", Event: event, Header: http.Header{}, JSON: body}
		before := bytes.Clone(body)
		res, err := n.Normalize(r)
		if !bytes.Equal(before, body) {
			t.Fatal("the record's JSON was changed")
		}
		switch {
		case err != nil && !errors.Is(err, change.ErrMalformed):
			t.Fatalf("error without change.ErrMalformed: %v", err)
		case err != nil && (len(res.Drafts) > 0 || res.Ignored != ""):
			t.Fatalf("a result and an error: %v", err)
		case err == nil && (len(res.Drafts) > 0) == (res.Ignored != ""):
			t.Fatalf("%d changes and ignored %q; want one of the two", len(res.Drafts), res.Ignored)
		}
		again, _ := n.Normalize(r)
		if diff := cmp.Diff(res, again); diff != "" {
			t.Fatalf("not the same the second time:\n%s", diff)
		}
		whole := processPinned(n, body)
		Check(t, whole)
		twice := processPinned(n, body)
		for i := range whole.Changes {
			if whole.Changes[i].ID != twice.Changes[i].ID {
				t.Fatal("another id the second time")
			}
		}
	})
}

func records(c testCase) []normalizers.Record {
	records, err := normalizers.Unwrap(&change.Delivery{Header: c.header, Body: c.body})
	if err != nil {
		return nil
	}
	return records
}
