package bus_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

// What group commit is worth: run both together, on a machine with nothing
// else to do. Every record is fsynced before its answer in both.
//
//	go test ./pkg/bus -run '^$' -bench 'Committer|SinglePublish'

func BenchmarkCommitter(b *testing.B) {
	waiting(b, func(b *testing.B, eventBus *bus.Bus) func(context.Context, *change.Delivery) error {
		c := run(b, eventBus, change.Fresh)
		return func(ctx context.Context, d *change.Delivery) error {
			_, err := c.Commit(ctx, d)
			return err
		}
	})
}

func BenchmarkSinglePublish(b *testing.B) {
	waiting(b, func(_ *testing.B, eventBus *bus.Bus) func(context.Context, *change.Delivery) error {
		js := eventBus.JetStream()
		return func(ctx context.Context, d *change.Delivery) error {
			_, err := js.Publish(ctx, "audit.bench", d.Body)
			return err
		}
	})
}

// waiting measures publishers that each wait for their answer, with bodies of
// 1 KB like JSON that differ from each other.
func waiting(b *testing.B, start func(*testing.B, *bus.Bus) func(context.Context, *change.Delivery) error) {
	for _, n := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("waiting=%d", n), func(b *testing.B) {
			cfg := bustest.Config(b)
			cfg.MaxBytes = 20 << 30
			publish := start(b, bustest.Connect(b, cfg))
			bodies := benchBodies(1024)
			var next atomic.Int64
			took := make([][]time.Duration, n)
			b.SetBytes(1024)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range n {
				wg.Go(func() {
					d := delivery(w, "")
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						d.Body = bodies[i%int64(len(bodies))]
						begin := time.Now()
						if err := publish(b.Context(), d); err != nil {
							b.Error(err)
							return
						}
						took[w] = append(took[w], time.Since(begin))
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			report(b, slices.Concat(took...))
		})
	}
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	at := func(p float64) float64 {
		return float64(took[int(p*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(at(0.50), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
}

func benchBodies(size int) [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	list := make([][]byte, 1000)
	for i := range list {
		var body bytes.Buffer
		for n := 0; body.Len() < size; n++ {
			fmt.Fprintf(&body, `{"key_%d": "%016x", "repository": "org/name", "number": %d}`, n, random.Uint64(), random.IntN(1e6))
		}
		list[i] = body.Bytes()[:size]
	}
	return list
}

func BenchmarkDecodeDeliveries(b *testing.B) {
	frame := &bus.DeliveryFrame{Chain: "0123456789abcdef", Number: 1, Lane: change.Fresh}
	for i, body := range benchBodies(1024) {
		d := delivery(i, "")
		d.Body = body
		frame.Deliveries = append(frame.Deliveries, *d)
	}
	msg := bus.Seal(bus.EncodeDeliveries(frame))
	b.SetBytes(1024 * 1000)
	b.ReportAllocs()
	for b.Loop() {
		raw, err := bus.Unseal(msg)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := bus.DecodeDeliveries(raw); err != nil {
			b.Fatal(err)
		}
	}
}
