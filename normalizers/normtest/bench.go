package normtest

import (
	"encoding/json"
	"net/http"
	"testing"

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
