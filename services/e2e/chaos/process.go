package main

import (
	"context"
	"time"
)

// processFaults end the process, one way or another.
func processFaults() []Fault {
	return []Fault{
		{
			Name: "kill", About: "SIGKILL at a random moment under load", Short: true,
			Strike: func(ctx context.Context, r *Round) error {
				if err := r.wait(ctx, 100*time.Millisecond, 1200*time.Millisecond); err != nil {
					return err
				}
				r.Target.Kill()
				return nil
			},
		},
	}
}

// wait lets a random time pass.
func (r *Round) wait(ctx context.Context, least, most time.Duration) error {
	return pause(ctx, least+time.Duration(r.Rand.Int64N(int64(most-least))))
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
