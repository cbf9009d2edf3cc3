package normtest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"

	"golang.org/x/tools/txtar"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// Bench measures a normalizer on one record, and beside it, as "decode", what
// encoding/json alone takes to decode the same bytes into what into returns:
// the provider's own types where a Go package has them. Reading a record must
// not cost more than decoding it.
func Bench(b *testing.B, n normalizers.Normalizer, r normalizers.Record, into func() any) {
	b.Helper()
	if _, err := n.Normalize(r); err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(r.JSON, into()); err != nil {
		b.Fatalf("decode: %v", err)
	}
	b.Run("normalize", func(b *testing.B) {
		b.SetBytes(int64(len(r.JSON)))
		b.ReportAllocs()
		for b.Loop() {
			_, _ = n.Normalize(r) // looked at above
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(r.JSON)))
		b.ReportAllocs()
		for b.Loop() {
			_ = json.Unmarshal(r.JSON, into()) // looked at above
		}
	})
}

// BenchCases is Bench for golden cases, by the names they are shown with, of a
// provider without Go types: beside them stands decoding into a map.
func BenchCases(b *testing.B, n normalizers.Normalizer, files map[string]string) {
	b.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		archive, err := txtar.ParseFile(files[name])
		if err != nil {
			b.Fatal(err)
		}
		i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "body.json" })
		if i < 0 {
			b.Fatalf("%s has no body", files[name])
		}
		r := Records(b, archive.Files[i].Data)[0]
		b.Run(name, func(b *testing.B) { Bench(b, n, r, func() any { return new(map[string]any) }) })
	}
}

// Records opens a delivery of these bytes and headers (pairs of name and
// value), for a benchmark that starts from what a sender sends.
func Records(tb testing.TB, body []byte, headers ...string) []normalizers.Record {
	tb.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	d := change.Delivery{Header: h, Body: body}
	records, err := normalizers.Unwrap(&d)
	if err != nil || len(records) == 0 {
		tb.Fatalf("%d records: %v", len(records), err)
	}
	return records
}
