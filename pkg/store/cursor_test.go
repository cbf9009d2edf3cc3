package store

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"whatchanged/pkg/problem"
)

type noRegistry struct{ prometheus.Registerer }

func (noRegistry) MustRegister(...prometheus.Collector) {}

func TestCursor_ReadsWhatItWrote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := cursor{
			at:   time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, "at")).UTC(),
			id:   [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
			asOf: time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, "as of")).UTC(),
		}
		query := fingerprint("changes", ChangeFilter{Org: rapid.String().Draw(t, "org")})
		got, err := decodeCursor(c.encode(query), query)
		if err != nil || got != c {
			t.Fatalf("got %+v, %v; want %+v", got, err, c)
		}
	})
}

func TestCursor_IsRefusedWhenItIsNotOurs(t *testing.T) {
	query := fingerprint("changes", ChangeFilter{Org: "acme", Source: "a"})
	good := cursor{at: time.UnixMilli(1), asOf: time.UnixMilli(2)}.encode(query)
	f := func(text string, query []byte) {
		t.Helper()
		if _, err := decodeCursor(text, query); problem.KindOf(err) != problem.Malformed || problem.From(err).Field != "cursor" {
			t.Errorf("%q: %v", text, err)
		}
	}
	f("", query)
	f("x", query)
	f("'; DROP TABLE changes --", query)
	f(good+"A", query)
	f(good[1:], query)
	f(good, fingerprint("changes", ChangeFilter{Org: "other", Source: "a"}))
	f(good, fingerprint("changes", ChangeFilter{Org: "acme", Source: "b"}))
	f(good, fingerprint("deliveries", ChangeFilter{Org: "acme", Source: "a"}))
	raw, _ := base64.RawURLEncoding.DecodeString(good)
	for i := range raw {
		changed := append([]byte(nil), raw...)
		changed[i] ^= 1
		f(base64.RawURLEncoding.EncodeToString(changed), query)
	}
}
