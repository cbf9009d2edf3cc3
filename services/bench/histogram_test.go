package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogram_PercentilesAreWithinOnePercent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h, a, b histogram
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(math.Exp(rng.Float64()*25)) * time.Nanosecond
		all = append(all, d)
		h.add(d)
		if i%2 == 0 {
			a.add(d)
		} else {
			b.add(d)
		}
	}
	a.merge(&b)
	slices.Sort(all)
	for _, p := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := all[int(math.Ceil(p*float64(len(all))))-1]
		for name, got := range map[string]time.Duration{"one": h.percentile(p), "merged": a.percentile(p)} {
			if off := math.Abs(float64(got-exact)) / float64(exact+1); off > 0.01 {
				t.Errorf("%s: percentile %v is %v, want %v", name, p, got, exact)
			}
		}
	}
}

func TestHistogram_BucketsHoldWhatFallsIntoThem(t *testing.T) {
	f := func(d time.Duration) {
		t.Helper()
		i := bucketOf(d)
		if top := bucketTop(i); d > top || i > 0 && d <= bucketTop(i-1) {
			t.Errorf("%d is in bucket %d, which ends at %d", d, i, top)
		}
	}
	for d := range time.Duration(5000) {
		f(d)
	}
	f(time.Second)
	f(time.Hour)
	f(math.MaxInt64)
}

func TestHistogram_NothingIsZero(t *testing.T) {
	var h histogram
	if got := h.latency(); got != (Latency{}) {
		t.Errorf("latency of nothing is %+v", got)
	}
	h.add(-time.Second) // a clock that jumped
	if got := h.percentile(0.5); got != 0 {
		t.Errorf("percentile is %v, want 0", got)
	}
}

func TestSlope_IsThatOfTheLine(t *testing.T) {
	f := func(want float64, y ...float64) {
		t.Helper()
		var x []float64
		for i := range y {
			x = append(x, float64(i)/2)
		}
		if got := slope(x, y); math.Abs(got-want) > 1e-9 {
			t.Errorf("slope of %v is %v, want %v", y, got, want)
		}
	}
	f(0)
	f(0, 7)
	f(0, 5, 5, 5, 5)
	f(20, 0, 10, 20, 30)
	f(0, 0, 10, 10, 0)
}
