package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// run is one run of the bench.
type run struct {
	config
	progress io.Writer
	begin    time.Time
	base     string // directory of everything; removed at the end
	report   *Report
}

func newRun(c config, progress io.Writer) *run {
	return &run{config: c, progress: progress, begin: time.Now()}
}

// Lengths of the parts, at most.
const (
	roundTime   = 5 * time.Second
	rounds      = 3
	warmup      = 500 * time.Millisecond
	publishTime = 4 * time.Second
)

// say shows a person what is going on.
func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.progress, "%6.1fs  %s\n", time.Since(r.begin).Seconds(), fmt.Sprintf(format, args...))
}

func (r *run) do(ctx context.Context) (_ *Report, err error) {
	if r.dir != "" {
		if err := os.MkdirAll(r.dir, 0o700); err != nil {
			return nil, fmt.Errorf("directory for temporary data: %w", err)
		}
	}
	if r.base, err = os.MkdirTemp(r.dir, "whatchanged-bench-"); err != nil {
		return nil, fmt.Errorf("directory for temporary data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.base)) }()
	if err := r.describe(); err != nil {
		return nil, err
	}
	if r.has(stagePublish) {
		if err := r.publish(ctx); err != nil {
			return nil, fmt.Errorf("raw publish: %w", err)
		}
	}
	if r.has(stageReceiver) {
		if err := r.door(ctx); err != nil {
			return nil, fmt.Errorf("receiver: %w", err)
		}
	}
	if slices.ContainsFunc([]string{stageAcknowledged, stageQueryable, stagePipeline, stageMaximum, stageRestart}, r.has) {
		if err := r.whole(ctx); err != nil {
			return nil, fmt.Errorf("pipeline: %w", err)
		}
	}
	if r.has(stageOverload) {
		if err := r.overload(ctx); err != nil {
			return nil, fmt.Errorf("overload: %w", err)
		}
	}
	if r.has(stageFairness) {
		if err := r.fairness(ctx); err != nil {
			return nil, fmt.Errorf("fairness: %w", err)
		}
	}
	if r.has(stageAPI) {
		if err := r.logging(ctx); err != nil {
			return nil, fmt.Errorf("api: %w", err)
		}
	}
	if r.has(stageLists) && r.changes > 0 {
		if err := r.lists(ctx); err != nil {
			return nil, fmt.Errorf("lists: %w", err)
		}
	}
	if r.has(stageNormalizers) {
		if err := r.normalizers(ctx); err != nil {
			return nil, fmt.Errorf("normalizers: %w", err)
		}
	}
	r.report.finish()
	r.report.Seconds = time.Since(r.begin).Seconds()
	return r.report, nil
}

// describe starts the report with what does not depend on time.
func (r *run) describe() error {
	payloads, skipped, err := payloadsFrom(r.payloads)
	if err != nil {
		return err
	}
	info := PayloadInfo{Kinds: len(payloads), Skipped: skipped, Fresh: payloads[0].body.fresh()}
	for _, p := range payloads {
		info.Bytes += len(p.body.text)
		info.Fresh = min(info.Fresh, p.body.fresh())
	}
	info.Bytes /= len(payloads)
	machine, err := thisMachine(r.base)
	if err != nil {
		return err
	}
	r.report = &Report{
		Schema: Schema, StartedAt: r.begin.UTC(), Machine: machine, Payload: info,
		Options: Options{
			Duration: r.duration.Seconds(), Rate: r.rate, Connections: r.connections, Stages: r.stages, Changes: r.changes,
		},
	}
	return nil
}

// publish measures raw JetStream.
func (r *run) publish(ctx context.Context) error {
	job := publishing{
		Dir: r.base, Publishers: r.connections, Size: r.report.Payload.Bytes, Frame: 64, Duration: r.short(publishTime),
	}
	r.say("raw JetStream publish, with an fsync before every answer")
	got, err := runHelper[publishing, published](ctx, "bench-publish", job, nil)
	if err != nil {
		return err
	}
	r.report.Publish = &Publish{
		Single: Published{Publishers: job.Publishers, Payloads: 1, Rate: got.SingleRate, Latency: got.Single, CPU: got.SingleCPU},
		Frames: Published{Publishers: 1, Payloads: job.Frame, Rate: got.FramesRate, Latency: got.Frames, CPU: got.FramesCPU},
	}
	return nil
}

// load returns a job for the generator, at full load until a rate is set.
func (r *run) load(addr, path, secret string, d time.Duration) load {
	return load{
		Address: addr, Path: path, Secret: secret, Connections: r.connections, Warmup: warmup, Duration: d,
		Payloads: r.payloads, Seed: rand.Uint64(), //nolint:gosec // load is no secret
	}
}

// send sends a load to a server and counts what it accepted.
func (s *server) send(ctx context.Context, l load, progress func(int64)) (loaded, error) {
	before := s.accepted
	got, err := runHelper[load, loaded](ctx, "bench-load", l, func(n int64) {
		s.accepted = before + n
		if progress != nil {
			progress(n)
		}
	})
	if err != nil {
		return got, err
	}
	s.accepted = before + int64(got.Total)
	if got.Accepted == 0 {
		return got, fmt.Errorf("nothing was accepted: %s", got.Error)
	}
	return got, nil
}

// round is one server's turn at full load.
type round struct {
	loaded
	server float64 // microseconds of CPU a request
}

// door measures the no-op handler and the receiver by turns, so that whatever
// else the machine does meets both.
func (r *run) door(ctx context.Context) (err error) {
	noop, err := startHelper[noopStarted, noopStarted]("bench-noop", noopStarted{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, noop.stop()) }()
	listening, err := noop.next()
	if err != nil {
		return err
	}
	r.say("starting the receiver")
	in := newInstallation(filepath.Join(r.base, "receiver"))
	s, err := in.startDoors(ctx, "receiver")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()

	d := r.short(roundTime)
	var noops, receivers []round
	for i := range rounds {
		r.say("no-op handler and receiver at full load, round %d of %d", i+1, rounds)
		limit := server{child: noop.child}
		got, err := r.round(ctx, &limit, r.load(listening.Address, webhookPath+in.token, in.secret, d))
		if err != nil {
			return fmt.Errorf("no-op handler: %w", err)
		}
		noops = append(noops, got)
		if got, err = r.round(ctx, s, r.load(s.addr, in.path, in.secret, d)); err != nil {
			return err
		}
		receivers = append(receivers, got)
	}
	r.report.Noop, r.report.Receiver = doorOf(noops), doorOf(receivers)
	return nil
}

// startDoors makes the source with everything running, then starts these
// services alone on it: nothing else uses the CPU.
func (in *installation) startDoors(ctx context.Context, services ...string) (*server, error) {
	s, err := in.start(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.createSource(ctx), s.stop()); err != nil {
		return nil, err
	}
	return in.start(ctx, services...)
}

func (r *run) round(ctx context.Context, s *server, l load) (round, error) {
	before, err := readUsage(s.pid())
	if err != nil {
		return round{}, err
	}
	got, err := s.send(ctx, l, nil)
	if err != nil {
		return round{}, err
	}
	after, err := readUsage(s.pid())
	if err != nil {
		return round{}, err
	}
	return round{loaded: got, server: us(after.cpu-before.cpu) / float64(got.Total)}, nil
}

// doorOf sums rounds up: the middle one by rate, with the medians of the rest.
func doorOf(all []round) *Door {
	d := &Door{Refused: map[string]int{}}
	var servers []float64
	for _, one := range all {
		d.Rounds = append(d.Rounds, one.Rate)
		servers = append(servers, one.server)
		for reason, n := range one.Refused {
			d.Refused[reason] += n
		}
	}
	middle := slices.SortedFunc(slices.Values(all), func(a, b round) int { return cmp.Compare(a.Rate, b.Rate) })[len(all)/2]
	slices.Sort(servers)
	d.Rate, d.Latency, d.ServerCPU = middle.Rate, middle.Latency, servers[len(servers)/2]
	d.GeneratorCPU = perRequest(middle.loaded)
	return d
}

// perRequest is the generator's own CPU for one request, in microseconds.
func perRequest(l loaded) float64 { return l.CPU * 1e6 / float64(max(l.Accepted, 1)) }

// joined lists refusals for a person.
func joined(refused map[string]int) string {
	var parts []string
	for reason, n := range refused {
		parts = append(parts, fmt.Sprintf("%s: %d", reason, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
