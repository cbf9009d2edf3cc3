package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func startNoop(t *testing.T) (*helper[noopStarted], string) {
	t.Helper()
	h, err := startHelper[noopStarted, noopStarted]("bench-noop", noopStarted{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
	m, err := h.next()
	if err != nil {
		t.Fatal(err)
	}
	return h, m.Address
}

func TestLoad_FullLoadAgainstNoopCountsEveryAnswer(t *testing.T) {
	h, addr := startNoop(t)
	before, err := readUsage(h.pid())
	if err != nil {
		t.Fatal(err)
	}
	job := load{Address: addr, Path: webhookPath + "token", Secret: "secret", Connections: 8, Warmup: 100 * time.Millisecond, Duration: time.Second}
	ticks := 0
	got, err := runHelper[load, loaded](t.Context(), "bench-load", job, func(int64) { ticks++ })
	if err != nil {
		t.Fatal(err)
	}
	if got.Accepted == 0 || got.Total < got.Accepted || len(got.Refused) > 0 || got.Latency.Count != got.Accepted {
		t.Errorf("accepted %d of %d, refused %v, latencies %d (%s)", got.Accepted, got.Total, got.Refused, got.Latency.Count, got.Error)
	}
	if ticks == 0 {
		t.Error("no progress was reported")
	}
	after, err := readUsage(h.pid())
	if err != nil {
		t.Fatal(err)
	}
	if total, _ := after.since(before, "bench.test"); total <= 0 || after.resident <= 0 || after.peak < after.resident {
		t.Errorf("usage of the server: %v CPU, %d resident, %d peak", total, after.resident, after.peak)
	}
}

func TestLoad_FixedRateSendsWhatIsDue(t *testing.T) {
	_, addr := startNoop(t)
	job := load{Address: addr, Path: "/", Connections: 4, Rate: 200, Warmup: 100 * time.Millisecond, Duration: time.Second}
	got, err := runHelper[load, loaded](t.Context(), "bench-load", job, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Which of them fall into the time that counts is the machine's to say.
	if got.Total != 220 || got.Accepted == 0 || got.Accepted > 201 {
		t.Errorf("accepted %d of %d, want about 200 of 220 (refused %v, %s)", got.Accepted, got.Total, got.Refused, got.Error)
	}
}

func TestLoad_RefusalsAreCounted(t *testing.T) {
	job := load{Address: "127.0.0.1:1", Path: "/", Connections: 2, Rate: 20, Duration: time.Second}
	got, err := job.run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Accepted != 0 || got.Refused["network"] == 0 || got.Error == "" {
		t.Errorf("accepted %d, refused %v, error %q", got.Accepted, got.Refused, got.Error)
	}
}

func TestPublish_MeasuresBothWays(t *testing.T) {
	job := publishing{Dir: t.TempDir(), Publishers: 4, Size: 1000, Frame: 8, Duration: 300 * time.Millisecond}
	got, err := runHelper[publishing, published](t.Context(), "bench-publish", job, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.SingleRate <= 0 || got.FramesRate <= 0 || got.Single.Count == 0 || got.Frames.Count == 0 {
		t.Errorf("nothing measured: %+v", got)
	}
}

func TestHelper_EndsWithTheOneWhoAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, addr := startNoop(t)
	job := load{Address: addr, Path: "/", Connections: 1, Duration: time.Hour}
	_, err := runHelper[load, loaded](ctx, "bench-load", job, func(int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestHelper_FailureShowsWhatItPrinted(t *testing.T) {
	_, err := runHelper[filling, filled](t.Context(), "bench-fill", filling{DSN: "nowhere"}, nil)
	if err == nil || !strings.Contains(err.Error(), "dsn: must begin") {
		t.Errorf("error %v does not say why the store cannot be opened", err)
	}
}

// What cannot be sent in time does not hide what is answered.
func TestLoad_AFloodCountsWhatIsAnswered(t *testing.T) {
	_, addr := startNoop(t)
	job := load{Address: addr, Path: "/", Connections: 2, Rate: 500_000, Flood: true, Warmup: 300 * time.Millisecond, Duration: time.Second}
	got, err := runHelper[load, loaded](t.Context(), "bench-load", job, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Accepted == 0 || got.Accepted >= got.Total || got.Latency.Count != got.Accepted {
		t.Errorf("accepted %d of %d, latencies %d (%s)", got.Accepted, got.Total, got.Latency.Count, got.Error)
	}
}
