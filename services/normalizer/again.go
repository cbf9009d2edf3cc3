package normalizer

import (
	"context"
	"fmt"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/dead"
)

// Again makes the results of deliveries that were taken in before. It knows
// duplicates and queues log files as Handle does, and leaves it to its caller
// to publish the results and to bury what is dead.
func (s *Service) Again(ctx context.Context, jobs []dead.Job) ([]change.Result, error) {
	frames := make([]*bus.DeliveryFrame, len(jobs))
	for i := range jobs {
		job := &jobs[i]
		frames[i] = &bus.DeliveryFrame{Chain: job.Chain, Number: job.Frame, Lane: job.Lane, Deliveries: []change.Delivery{job.Delivery}}
	}
	known, err := s.lookUp(ctx, frames)
	if err != nil {
		return nil, fmt.Errorf("look up known identities: %w", err)
	}
	out := make([]*bus.ChangeFrame, len(jobs))
	for i := range jobs {
		res, files := s.normalizeOne(&jobs[i].Delivery, known, jobs[i].Held)
		if err := s.queue(ctx, frames[i], files); err != nil {
			return nil, err
		}
		out[i] = &bus.ChangeFrame{Results: []change.Result{res}}
	}
	if err := s.findRollbacks(ctx, out); err != nil {
		return nil, err
	}
	results := make([]change.Result, len(jobs))
	for i := range out {
		results[i] = out[i].Results[0]
	}
	return results, nil
}
