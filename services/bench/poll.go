package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"whatchanged/pkg/client"
)

// watched is how long samples took from their answer to the API.
type watched struct {
	mu      sync.Mutex
	latency histogram
	missed  int
}

// poll takes one sample after the other and asks for its changes until they
// are there. The time counts until the answer that has them was read.
func (g *generator) poll(ctx context.Context, seen *watched) error {
	api, err := client.New(g.URL, g.Key, client.WithTries(1), client.WithTimeout(visibleTimeout))
	if err != nil {
		return err
	}
	for s := range g.samples {
		visible, err := await(ctx, api, s)
		if err != nil {
			return fmt.Errorf("ask for the changes of a delivery: %w", err)
		}
		took := time.Since(s.accepted)
		seen.mu.Lock()
		seen.latency.add(took)
		if !visible {
			seen.missed++ // and it took at least as long as we waited
		}
		seen.mu.Unlock()
	}
	return nil
}

func await(ctx context.Context, api *client.Client, s sample) (bool, error) {
	filter := client.ChangeFilter{DeliveryID: s.id, Start: s.accepted.Add(-time.Hour), End: s.accepted.Add(time.Hour), Limit: 1}
	for time.Since(s.accepted) < visibleTimeout {
		if !sleepUntil(ctx, time.Now().Add(pollEvery)) {
			return false, ctx.Err()
		}
		page, err := api.Changes(ctx, filter)
		if err != nil {
			return false, err
		}
		if len(page.Data) > 0 {
			return true, nil
		}
	}
	return false, nil
}
