package receiver_test

import (
	"bytes"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/registry/registrytest"
	"whatchanged/services/receiver"
)

// BenchmarkTokens_Timing compares how long tokens take that do not work, drawn
// by lot: two that nobody has, two that differ from a good one in a character,
// and a disabled source's (C1, C2, C4). It reports Welch's t of each against
// the first, without the slowest tenth; over 4.5 says that they can be told
// apart. Run it long, on a quiet machine, and compare with the second unknown:
// go test ./services/receiver -run '^$' -bench Timing -benchtime 500000x.
func BenchmarkTokens_Timing(b *testing.B) {
	theBus := bustest.New(b)
	reg, boot := registrytest.New(b, theBus.KV(bus.BucketRegistry))
	sealer, err := auth.OpenSealer(b.TempDir()+"/k", "", false)
	if err != nil {
		b.Fatal(err)
	}
	made, disabled, err := reg.CreateSource(b.Context(), registry.Source{Org: registry.DefaultOrg, Name: "x", Auth: registry.AuthNone})
	if err == nil {
		_, err = reg.UpdateSource(b.Context(), made.Org, made.ID, func(s *registry.Source) error { s.Disabled = true; return nil })
	}
	if err != nil {
		b.Fatal(err)
	}
	cfg := receiver.DefaultConfig()
	cfg.FailureRate = 1 << 40 // else the limit is what is measured
	rc, err := receiver.New(receiver.Deps{
		Registry: reg, Committer: instant{}, Sealer: sealer, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	}, cfg)
	if err != nil {
		b.Fatal(err)
	}
	good := boot.SourceToken.Reveal()
	other := func(c byte) string { // another that a token may have
		if c == 'x' {
			return "y"
		}
		return "x"
	}
	kinds := []struct{ name, token string }{
		{"unknown", auth.NewToken("wct_")},
		{"unknown-too", auth.NewToken("wct_")},
		{"last-changed", good[:len(good)-1] + other(good[len(good)-1])},
		{"first-changed", "wct_" + other(good[4]) + good[5:]},
		{"disabled", disabled},
	}
	took := make([][]float64, len(kinds))
	source := bytes.NewReader(nil)
	w := &nothing{header: http.Header{}}
	for b.Loop() {
		k := rand.N(len(kinds))
		r := httptest.NewRequest(http.MethodPost, receiver.Prefix+kinds[k].token, nil)
		source.Reset([]byte(good))
		r.Body = io.NopCloser(source)
		clear(w.header)
		start := time.Now()
		rc.ServeHTTP(w, r)
		took[k] = append(took[k], float64(time.Since(start)))
		if w.status != http.StatusNotFound {
			b.Fatal(kinds[k].name, w.status)
		}
	}
	for k := 1; k < len(kinds); k++ {
		if len(took[k]) > 100 {
			b.ReportMetric(math.Abs(welch(took[0], took[k])), "t-"+kinds[k].name)
		}
	}
}

// welch returns Welch's t of two samples, without the slowest tenth of each.
func welch(x, y []float64) float64 {
	mx, vx := moments(x)
	my, vy := moments(y)
	return (mx - my) / math.Sqrt(vx+vy)
}

// moments returns the mean of a sample and the variance of that mean.
func moments(x []float64) (mean, variance float64) {
	slices.Sort(x)
	x = x[:len(x)*9/10]
	n := float64(len(x))
	for _, v := range x {
		mean += v / n
	}
	for _, v := range x {
		variance += (v - mean) * (v - mean) / (n - 1) / n
	}
	return mean, variance
}
