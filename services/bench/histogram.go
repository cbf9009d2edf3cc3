package bench

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets whose width grows with their value:
// 128 to each power of two, so that a percentile is off by at most 0.8 %, at
// a fixed size and without allocating. The zero value is ready; it is not safe
// for use by several goroutines at once.
type histogram struct {
	counts [(64 - subBits + 1) << subBits]uint64
	n      uint64
	sum    time.Duration
	max    time.Duration
}

const subBits = 7

func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// bucketTop returns the largest duration that falls into bucket i.
func bucketTop(i int) time.Duration {
	if i < 2<<subBits {
		return time.Duration(i)
	}
	shift := i>>subBits - 1
	low := uint64(i - shift<<subBits)
	return time.Duration((low+1)<<shift - 1)
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.n++
	h.sum += d
	h.max = max(h.max, d)
}

func (h *histogram) merge(o *histogram) {
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.sum += o.sum
	h.max = max(h.max, o.max)
}

// percentile returns the duration that the share p (0..1) of all did not
// exceed; 0 when there are none.
func (h *histogram) percentile(p float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := uint64(p*float64(h.n) + 0.999999)
	rank = min(max(rank, 1), h.n)
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen >= rank {
			return min(bucketTop(i), h.max)
		}
	}
	return h.max
}

func (h *histogram) latency() Latency {
	if h.n == 0 {
		return Latency{}
	}
	return Latency{
		Count: int(h.n),
		Mean:  ms(h.sum / time.Duration(h.n)),
		P50:   ms(h.percentile(0.50)),
		P90:   ms(h.percentile(0.90)),
		P99:   ms(h.percentile(0.99)),
		P999:  ms(h.percentile(0.999)),
		Max:   ms(h.max),
	}
}

// ms is d in milliseconds, to the microsecond.
func ms(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
