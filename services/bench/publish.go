package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"sync"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// publishing says what the raw JetStream limit is measured with.
type publishing struct {
	Dir        string        `json:"dir"`
	Publishers int           `json:"publishers"`
	Size       int           `json:"size"`  // of a payload
	Frame      int           `json:"frame"` // payloads in a frame
	Duration   time.Duration `json:"duration"`
}

// published is what the raw limit came to.
type published struct {
	Single Latency `json:"single"` // one message a payload, many publishers
	Frames Latency `json:"frames"` // one publisher, many payloads a message
	// Rates are payloads a second.
	SingleRate float64 `json:"single_rate"`
	FramesRate float64 `json:"frames_rate"`
	SingleCPU  float64 `json:"single_cpu_us"`
	FramesCPU  float64 `json:"frames_cpu_us"`
}

const serverStart = 20 * time.Second

// run starts a JetStream of its own that fsyncs before every acknowledgement,
// as the product's does, and publishes to it as fast as it acknowledges.
func (p publishing) run(ctx context.Context) (published, error) {
	dir, err := os.MkdirTemp(p.Dir, "publish-")
	if err != nil {
		return published{}, fmt.Errorf("directory for JetStream: %w", err)
	}
	defer os.RemoveAll(dir)
	ns, err := natsserver.NewServer(&natsserver.Options{
		ServerName: "bench", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, SyncAlways: true, MaxPayload: 32 << 20, MaxPending: 64 << 20,
	})
	if err != nil {
		return published{}, fmt.Errorf("make nats-server: %w", err)
	}
	go ns.Start() // ends with Shutdown, which is waited for
	defer func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	}()
	if !ns.ReadyForConnections(serverStart) {
		return published{}, fmt.Errorf("nats-server not ready after %v", serverStart)
	}
	nc, err := nats.Connect("", nats.InProcessServer(ns))
	if err != nil {
		return published{}, fmt.Errorf("connect to nats-server: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return published{}, err
	}
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "BENCH", Subjects: []string{"bench"}, Storage: jetstream.FileStorage,
		Discard: jetstream.DiscardNew, MaxBytes: 8 << 30,
	})
	if err != nil {
		return published{}, fmt.Errorf("create stream: %w", err)
	}

	var out published
	rate, cpu, latency, err := publishAll(ctx, js, p.Publishers, p.Size, p.Duration)
	if err != nil {
		return published{}, err
	}
	out.Single, out.SingleRate, out.SingleCPU = latency, rate, cpu
	if rate, cpu, latency, err = publishAll(ctx, js, 1, p.Size*p.Frame, p.Duration); err != nil {
		return published{}, err
	}
	out.Frames, out.FramesRate, out.FramesCPU = latency, rate*float64(p.Frame), cpu/float64(p.Frame)
	return out, nil
}

// publishAll returns messages a second, microseconds of CPU a message, and
// the time from a publish to its acknowledgement.
func publishAll(ctx context.Context, js jetstream.JetStream, publishers, size int, d time.Duration) (rate, cpu float64, _ Latency, _ error) {
	var mu sync.Mutex
	var all histogram
	begin, used := time.Now(), processorTime()
	group, ctx := errgroup.WithContext(ctx)
	for range publishers {
		group.Go(func() error {
			message := make([]byte, size)
			rand.Read(message)
			var h histogram
			for time.Since(begin) < d {
				at := time.Now()
				if _, err := js.Publish(ctx, "bench", message); err != nil {
					return fmt.Errorf("publish: %w", err)
				}
				h.add(time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			all.merge(&h)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, 0, Latency{}, err
	}
	took := time.Since(begin)
	used = processorTime() - used
	return float64(all.n) / took.Seconds(), us(used) / float64(max(all.n, 1)), all.latency(), nil
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
