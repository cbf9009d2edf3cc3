package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// Rates and lengths of the parts that measure the whole pipeline.
const (
	acknowledgedRate = 2000
	queryableRate    = 1000
	openLoopTime     = 15 * time.Second
	queryableTime    = 5 * time.Second // at least: a sample takes a while
	pollers          = 3
	fullLoadTime     = 6 * time.Second
	tryTime          = 8 * time.Second
	tries            = 5
	profileTime      = 30 * time.Second

	// A backlog grows when its slope passes this share of the rate. Batches
	// come and go: over a short run the slope is a rough one.
	growingLong, growingShort = 0.01, 0.05
	growingLeast              = 50 // deliveries a second, of a short run
)

// whole measures everything in one process.
func (r *run) whole(ctx context.Context) (err error) {
	in := newInstallation(filepath.Join(r.base, "whole"))
	r.say("starting the whole pipeline")
	s, err := in.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.createSource(ctx); err != nil {
		return err
	}
	for _, part := range []struct {
		stage string
		do    func(context.Context, *server) error
	}{
		{stageAcknowledged, r.acknowledged}, {stageQueryable, r.queryable},
		{stagePipeline, r.pipeline}, {stageMaximum, r.maximum},
	} {
		if !r.has(part.stage) {
			continue
		}
		if err := part.do(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", part.stage, err)
		}
		if err := s.drain(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.stage, err)
		}
	}
	if !r.has(stageRestart) {
		return nil
	}
	r.say("starting again on the same data")
	if err := s.stop(); err != nil {
		return err
	}
	data, err := in.disk()
	if err != nil {
		return err
	}
	again, err := in.start(ctx)
	if err != nil {
		return err
	}
	s = again // stopped in its place
	r.report.Restart = &Restart{Seconds: s.ready.Seconds(), DataBytes: data.bus + data.clickhouse + data.merged}
	return nil
}

func (r *run) acknowledged(ctx context.Context, s *server) error {
	r.say("time to the answer at %d/s", acknowledgedRate)
	job := r.load(s.addr, s.path, s.secret, r.short(openLoopTime))
	job.Rate, job.Warmup = acknowledgedRate, time.Second
	got, err := s.send(ctx, job, nil)
	if err != nil {
		return err
	}
	r.report.Acknowledged = &Acknowledged{Rate: got.Rate, Latency: got.Latency, Refused: got.Refused}
	return nil
}

func (r *run) queryable(ctx context.Context, s *server) error {
	r.say("time until the API shows it at %d/s", queryableRate)
	job := r.load(s.addr, s.path, s.secret, max(queryableTime, r.short(openLoopTime)))
	job.Rate, job.Warmup = queryableRate, time.Second
	job.Payloads = "" // of the built-in one, each makes a change; others may be of kinds that are ignored
	job.Pollers, job.URL, job.Key = pollers, "http://"+s.addr, s.apiKey
	got, err := s.send(ctx, job, nil)
	if err != nil {
		return err
	}
	r.report.Queryable = &Queryable{Rate: got.Rate, Latency: got.Queryable, Unseen: got.Unseen}
	return nil
}

// pipeline holds the wanted rate and looks at everything meanwhile.
func (r *run) pipeline(ctx context.Context, s *server) error {
	r.say("the whole pipeline at %.0f/s for %v", r.rate, r.duration)
	diskBefore, err := s.disk()
	if err != nil {
		return err
	}
	cpuBefore, err := readUsage(s.pid())
	if err != nil {
		return err
	}
	base := s.accepted
	var prof profiled
	var held holding
	var cpuAfter usage
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		defer func() {
			if err == nil {
				cpuAfter, err = readUsage(s.pid())
			}
		}()
		held, err = s.hold(gctx, r.load(s.addr, s.path, s.secret, r.duration), r.rate, r.say)
		return err
	})
	profileFor := max(time.Second, min(profileTime, r.duration-2*time.Second)).Truncate(time.Second)
	group.Go(func() (err error) {
		sleepUntil(gctx, time.Now().Add(time.Second))
		prof, err = s.profile(gctx, profileFor)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	ended := time.Now()
	if err := s.drain(ctx); err != nil {
		return err
	}
	drained := time.Since(ended)
	diskAfter, err := s.disk()
	if err != nil {
		return err
	}

	got := held.loaded
	deliveries := float64(s.accepted - base)
	used, groups := cpuAfter.since(cpuBefore, s.program())
	p := &Pipeline{
		Target: r.rate, Seconds: got.Seconds, Rate: got.Rate, Latency: got.Latency, Refused: got.Refused,
		StoredRate: held.deliveriesRate, RowsRate: held.rowsRate, Backlog: held.backlog(growingLong * r.rate),
		ServerCPU: us(used) / deliveries, Threads: map[string]float64{}, GeneratorCPU: perRequest(got),
		Memory: Memory{Resident: cpuAfter.resident, Peak: cpuAfter.peak},
		Disk: Disk{
			Bus:        float64(diskAfter.bus-diskBefore.bus) / deliveries,
			ClickHouse: float64(diskAfter.clickhouse-diskBefore.clickhouse) / deliveries,
			Merged:     float64(diskAfter.merged-diskBefore.merged) / deliveries,
		},
	}
	for name, t := range groups {
		p.Threads[name] = us(t) / deliveries
	}
	p.Disk.Total = p.Disk.Bus + p.Disk.ClickHouse
	p.Disk.ToPayload = p.Disk.Total / float64(r.report.Payload.Bytes)
	p.Backlog.Drain = drained.Seconds()
	during := got.Rate * profileFor.Seconds()
	p.ProfileMicros = us(prof.total) / during
	p.Stages = shares(prof.stages, prof.total, during, 20)
	p.Packages = shares(prof.packages, prof.total, during, 20)
	r.report.Pipeline = p
	return nil
}

// holding is a load at a fixed rate with the backlog seen meanwhile.
type holding struct {
	loaded
	seconds, backlogs        []float64
	deliveriesRate, rowsRate float64
}

// hold sends at a fixed rate and looks at the backlog all the time.
func (s *server) hold(ctx context.Context, job load, rate float64, say func(string, ...any)) (holding, error) {
	job.Rate, job.Warmup = rate, 2*time.Second
	var h holding
	var first, last stored
	var firstAt, lastAt, said time.Time
	var failed error
	got, err := s.send(ctx, job, func(int64) {
		now, err := s.stored(ctx)
		if err != nil {
			failed = err
			return
		}
		last, lastAt = now, time.Now()
		if firstAt.IsZero() {
			first, firstAt, said = last, lastAt, lastAt
		}
		h.seconds = append(h.seconds, lastAt.Sub(firstAt).Seconds())
		h.backlogs = append(h.backlogs, float64(s.accepted-last.deliveries))
		if lastAt.Sub(said) >= 10*time.Second {
			say("  %3.0f s, backlog %d", lastAt.Sub(firstAt).Seconds(), s.accepted-last.deliveries)
			said = lastAt
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return holding{}, err
	}
	h.loaded = got
	if d := lastAt.Sub(firstAt).Seconds(); d > 0 {
		h.deliveriesRate = float64(last.deliveries-first.deliveries) / d
		h.rowsRate = float64(last.rows-first.rows) / d
	}
	return h, nil
}

func (h *holding) backlog(allowed float64) Backlog {
	if len(h.backlogs) == 0 {
		return Backlog{}
	}
	b := Backlog{
		Start: int64(h.backlogs[0]), End: int64(h.backlogs[len(h.backlogs)-1]), Growth: slope(h.seconds, h.backlogs),
	}
	for _, n := range h.backlogs {
		b.Max = max(b.Max, int64(n))
	}
	b.Growing = b.Growth > allowed
	return b
}

// slope is that of the line through the points with the least squares.
func slope(x, y []float64) float64 {
	n := float64(len(x))
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx, sy, sxx, sxy = sx+x[i], sy+y[i], sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	d := n*sxx - sx*sx
	if d == 0 {
		return 0
	}
	return (n*sxy - sx*sy) / d
}

// maximum looks for the highest rate at which the backlog does not grow.
func (r *run) maximum(ctx context.Context, s *server) error {
	r.say("the whole pipeline at full load")
	full, err := r.round(ctx, s, r.load(s.addr, s.path, s.secret, r.short(fullLoadTime)))
	if err != nil {
		return err
	}
	m := &Maximum{FullLoad: *doorOf([]round{full})}
	before, err := s.stored(ctx)
	if err != nil {
		return err
	}
	at := time.Now()
	if err := s.drain(ctx); err != nil {
		return err
	}
	after, err := s.stored(ctx)
	if err != nil {
		return err
	}
	if d := time.Since(at).Seconds(); after.deliveries > before.deliveries {
		m.DrainRate = float64(after.deliveries-before.deliveries) / d
		m.DrainRows = float64(after.rows-before.rows) / d
	}
	if err := r.search(ctx, s, m); err != nil {
		return err
	}
	end, err := readUsage(s.pid())
	if err != nil {
		return err
	}
	m.Memory = Memory{Resident: end.resident, Peak: end.peak}
	r.report.Maximum = m
	return nil
}

// search halves the distance between a rate that held and one that did not.
func (r *run) search(ctx context.Context, s *server, m *Maximum) error {
	low, high := 0.0, m.FullLoad.Rate
	if p := r.report.Pipeline; p != nil && !p.Backlog.Growing {
		low = p.Rate
	}
	// Accepting and storing share the processors: if each alone takes all of
	// them, both together reach this.
	rate := high
	if m.DrainRate > 0 {
		rate = 1 / (1/high + 1/m.DrainRate)
	}
	rate = math.Max(rate, low*1.05)
	for range tries {
		r.say("looking for the maximum: %.0f/s", rate)
		h, err := s.hold(ctx, r.load(s.addr, s.path, s.secret, r.short(tryTime)), rate, r.say)
		if err != nil {
			return err
		}
		b := h.backlog(max(growingShort*rate, growingLeast))
		t := Try{Rate: rate, Reached: h.Rate, Growth: b.Growth, Holds: !b.Growing && h.Rate > 0.98*rate}
		m.Tried = append(m.Tried, t)
		if t.Holds {
			low = math.Max(low, rate)
		} else {
			high = rate
		}
		if err := s.drain(ctx); err != nil {
			return err
		}
		if high-low < 0.04*high {
			break
		}
		rate = (low + high) / 2
		if t.Holds && len(m.Tried) < 3 {
			rate = math.Min(rate, low*1.2)
		}
	}
	m.Rate = low
	return nil
}
