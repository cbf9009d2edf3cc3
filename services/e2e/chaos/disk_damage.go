package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

// damageFaults change what is on the disk while the target is down. What the
// bus still has must be back in the end, once somebody has asked for it.
func damageFaults() []Fault {
	return []Fault{{
		Name: "damage/clickhouse", About: "a file of a ClickHouse part is flipped, cut off, zeroed or removed while the target is down",
		Strike: func(ctx context.Context, r *Round) error {
			if err := r.wait(ctx, 2*time.Second, 4*time.Second); err != nil {
				return err
			}
			r.Target.Kill()
			return r.damage(partFiles...)
		},
		After: func(ctx context.Context, r *Round) error {
			if err := readAll(ctx, r); err != nil {
				return err
			}
			return r.reconciled(ctx)
		},
	}, {
		Name: "damage/bus", About: "a file of the bus that can be made again is flipped, cut off, zeroed or removed while the target is down",
		Strike: func(ctx context.Context, r *Round) error {
			if err := r.wait(ctx, 2*time.Second, 4*time.Second); err != nil {
				return err
			}
			r.Target.Kill()
			return r.damage(busFiles...)
		},
		After: func(ctx context.Context, r *Round) error { return r.reconciled(ctx) },
	}}
}

// Our partitions are months or days; the engine's own tables are none of our
// business.
var partFiles = []string{"clickhouse/store/*/*/20*_*_*_*/*"}

// What deliveries are made into, the positions of those who work on them, and
// what JetStream notes of all streams beside their messages. Of the deliveries
// themselves, and of the registry, there is one copy: they are not in it.
var busFiles = []string{
	"bus/jetstream/$G/streams/CHANGES/msgs/*",
	"bus/jetstream/$G/streams/KV_STATE/msgs/*",
	"bus/jetstream/$G/streams/*/msgs/index.db",
	"bus/jetstream/$G/streams/[^K]*/meta.*", // not the buckets', KV_*: without those a start is refused
	"bus/jetstream/$G/streams/*/obs/*/*",
}

// damage does something bad to one of the files that match.
func (r *Round) damage(patterns ...string) error {
	var files []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(r.DataDir, filepath.FromSlash(pattern)))
		if err != nil {
			return err
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return errors.New("there is nothing to damage")
	}
	path := files[r.Rand.IntN(len(files))]
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	at := r.Rand.Int64N(info.Size() + 1)
	how := []string{"flip", "truncate", "zero", "remove"}[r.Rand.IntN(4)]
	r.Log.Info("damage", "how", how, "file", path, "at", at, "size", info.Size())
	r.Notes["damage_"+how]++
	switch how {
	case "truncate":
		return os.Truncate(path, at)
	case "remove":
		return os.Remove(path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	old := make([]byte, 4096)
	n, err := f.ReadAt(old, at)
	if err != nil && !errors.Is(err, io.EOF) || n == 0 {
		return err
	}
	if how == "zero" {
		clear(old)
	} else {
		n = 1
		old[0] ^= 1 << r.Rand.IntN(8)
	}
	_, err = f.WriteAt(old[:n], at)
	return err
}

// readAll asks the target for all it has, so that it stumbles over what is
// damaged, until it has nothing more to complain of.
func readAll(ctx context.Context, r *Round) error {
	api, err := client.New(r.Target.URL, r.Target.APIKey)
	if err != nil {
		return err
	}
	requests, err := readJournal(r.Load.Journal)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(3 * time.Minute); ; {
		err := readOnce(ctx, api, requests)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		r.Log.Info("not all can be read", "error", err)
		if time.Now().After(deadline) {
			return fmt.Errorf("not all can be read: %w", err)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

func readOnce(ctx context.Context, api *client.Client, requests []*request) error {
	if err := api.Export(ctx, client.ChangeFilter{}, "ndjson", io.Discard); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	for _, q := range requests {
		if q.state != stateOK {
			continue
		}
		id, err := change.ParseDeliveryID(q.dlv)
		if err != nil {
			return err
		}
		if _, err := api.Delivery(ctx, id); err != nil {
			return fmt.Errorf("delivery %s: %w", q.dlv, err)
		}
		if _, err := api.Payload(ctx, id); err != nil {
			return fmt.Errorf("payload of %s: %w", q.dlv, err)
		}
	}
	return nil
}
