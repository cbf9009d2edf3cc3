package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"whatchanged/pkg/client"
)

// Of fairness: how many times as much as the quiet organisation the other one sends, and
// what that is at most.
const (
	fairTimes       = 100
	fairFlood       = 2000 // a second, unless --rate is less
	fairWarmup      = 3 * time.Second
	fairConnections = 8 // of the quiet one
	fairPollers     = 6
)

// fairness sends deliveries of a quiet organisation, alone and beside one that
// sends a hundred times as much, by turns.
func (r *run) fairness(ctx context.Context) (err error) {
	r.say("starting whatchanged, for two organisations")
	in := newInstallation(filepath.Join(r.base, "fairness"))
	s, err := in.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.createSource(ctx); err != nil {
		return err
	}
	quiet, err := s.tenant(ctx, "quiet")
	if err != nil {
		return err
	}
	out := &Fairness{Times: fairTimes, FloodRate: min(fairFlood, r.rate)}
	out.QuietRate = out.FloodRate / fairTimes
	d := max(queryableTime, r.short(openLoopTime))
	var alone, beside, floods []loaded
	for i := range rounds {
		r.say("an organisation at %.0f/s alone, and beside one at %.0f/s, round %d of %d", out.QuietRate, out.FloodRate, i+1, rounds)
		small := r.load(s.addr, quiet.path, quiet.secret, d)
		small.Rate, small.Warmup, small.Connections, small.Payloads = out.QuietRate, fairWarmup, fairConnections, ""
		small.Pollers, small.URL, small.Key = fairPollers, "http://"+s.addr, quiet.apiKey
		got, err := s.sendAll(ctx, small)
		if err != nil {
			return err
		}
		alone = append(alone, got[0])
		large := r.load(s.addr, s.path, s.secret, d)
		large.Rate, large.Warmup = out.FloodRate, fairWarmup
		small.Seed++ // other deliveries than before
		if got, err = s.sendAll(ctx, small, large); err != nil {
			return err
		}
		beside, floods = append(beside, got[0]), append(floods, got[1])
	}
	out.Alone, out.Beside, out.Flood = paceOf(alone), paceOf(beside), paceOf(floods)
	out.Acknowledged = ratio(out.Beside.Acknowledged.P99, out.Alone.Acknowledged.P99)
	out.Queryable = ratio(out.Beside.Queryable.P99, out.Alone.Queryable.P99)
	r.report.Fairness = out
	return nil
}

// tenant makes an organisation beside the first one, with a source that checks
// GitHub's signature.
func (s *server) tenant(ctx context.Context, id string) (*installation, error) {
	made, err := s.api.CreateOrg(ctx, client.NewOrg{ID: id, Name: id})
	if err != nil {
		return nil, fmt.Errorf("create an organisation: %w", err)
	}
	in := newInstallation(s.dir)
	in.apiKey = made.APIKey
	own := server{installation: in}
	if own.api, err = client.New("http://"+s.addr, in.apiKey); err != nil {
		return nil, err
	}
	return in, own.createSource(ctx)
}

// sendAll sends loads at the same time, and waits until all that was accepted is
// stored.
func (s *server) sendAll(ctx context.Context, loads ...load) ([]loaded, error) {
	got := make([]loaded, len(loads))
	group, gctx := errgroup.WithContext(ctx)
	for i, l := range loads {
		group.Go(func() (err error) {
			got[i], err = runHelper[load, loaded](gctx, "bench-load", l, nil)
			if err == nil && got[i].Accepted == 0 {
				err = fmt.Errorf("nothing was accepted of %.0f/s: %s", l.Rate, got[i].Error)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, one := range got {
		s.accepted += int64(one.Total)
	}
	return got, s.drain(ctx)
}

// paceOf sums rounds up: the middle one by each 99th percentile.
func paceOf(all []loaded) Pace {
	middle := func(of func(loaded) Latency) Latency {
		sorted := slices.SortedFunc(slices.Values(all), func(a, b loaded) int {
			return int(of(a).P99*1e6) - int(of(b).P99*1e6)
		})
		return of(sorted[len(sorted)/2])
	}
	p := Pace{Refused: map[string]int{}}
	p.Acknowledged = middle(func(l loaded) Latency { return l.Latency })
	p.Queryable = middle(func(l loaded) Latency { return l.Queryable })
	for _, one := range all {
		p.Rate += one.Rate / float64(len(all))
		p.Unseen += one.Unseen
		for reason, n := range one.Refused {
			p.Refused[reason] += n
		}
	}
	return p
}
