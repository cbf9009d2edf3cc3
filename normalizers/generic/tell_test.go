package generic

import (
	"bytes"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"whatchanged/normalizers"
)

// FuzzTell gives any JSON to everybody's names and sentences.
func FuzzTell(f *testing.F) {
	var records []normalizers.Record
	for _, name := range slices.Sorted(maps.Keys(providers)) {
		records = append(records, normalizers.Record{Provider: name, DetectedBy: "source"})
	}
	for _, name := range slices.Sorted(maps.Keys(forms)) {
		records = append(records, normalizers.Record{Provider: normalizers.Generic, DetectedBy: "shape:" + name})
	}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range archive.Files {
			if part.Name == "body.json" {
				for who := range records {
					f.Add(byte(who), bytes.TrimSpace(part.Data))
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, who byte, body []byte) {
		if normalizers.CheckJSON(body) != nil || bytes.HasPrefix(body, []byte("\xef\xbb\xbf")) {
			return
		}
		r := records[int(who)%len(records)]
		r.JSON = body
		first, err := New().Normalize(r)
		if err != nil {
			t.Fatal(err)
		}
		if (len(first.Drafts) > 0) == (first.Ignored != "") {
			t.Fatalf("%d changes and ignored %q", len(first.Drafts), first.Ignored)
		}
		for _, d := range first.Drafts {
			if strings.TrimSpace(d.Summary) == "" && len(d.Metadata) == 0 && d.Action == "" {
				t.Fatalf("says nothing: %+v", d)
			}
		}
		second, _ := New().Normalize(r)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Fatalf("not the same the second time:\n%s", diff)
		}
	})
}
