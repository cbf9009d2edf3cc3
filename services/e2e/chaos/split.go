package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
)

// split is the product as processes of their own, with proxies between them
// and what they store in:
//
//	receiver, normalizer, writer, api -> nats (a line) -> nats-server
//	normalizer, writer, api -> store (a line) -> gate -> whatchanged clickhouse
type split struct {
	bus   string // address of the nats-server; empty with a cluster
	nats  *line  // nil with a cluster
	store *line
	gate  *gate
}

// The parts of a split target, in the order they start.
const (
	partNATS       = "nats"
	partClickHouse = "clickhouse"
	partReceiver   = "receiver"
	partNormalizer = "normalizer"
	partWriter     = "writer"
	partAPI        = "api"
)

// clusterMaxBytes is what DELIVERIES may hold on servers of their own.
const clusterMaxBytes = 1_000_000_000

// splitParts are those of a target that runs apart, beside the bus's.
var splitParts = []string{partClickHouse, partReceiver, partNormalizer, partWriter, partAPI}

// splitUp makes the round's target a split one. With servers elsewhere, urls
// says where; else there is a nats-server with the target's own data.
func (r *Round) splitUp(urls string) error {
	s := &split{}
	r.split = s
	var parts []*Part
	if urls == "" {
		addr, err := freeAddress()
		if err != nil {
			return err
		}
		p, err := natsPart(partNATS, addr, filepath.Join(r.Dir, "nats.conf"), filepath.Join(r.DataDir, "bus"), "")
		if err != nil {
			return err
		}
		parts, s.bus = append(parts, p), addr
		if s.nats, err = newLine(addr); err != nil {
			return err
		}
		urls = "nats://" + s.nats.Addr
	}
	engine, err := freeAddress()
	if err != nil {
		return err
	}
	if s.gate, err = newGate(engine); err != nil {
		return err
	}
	if s.store, err = newLine(s.gate.Addr); err != nil {
		return err
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails: see crypto/rand.Read
	r.Target.Env = append(r.Target.Env,
		"WHATCHANGED_BUS_URL="+urls, "WHATCHANGED_STORE_DSN=http://"+s.store.Addr, "WHATCHANGED_BUS_MAX_BYTES="+strconv.Itoa(clusterMaxBytes),
		"WHATCHANGED_MASTER_KEY="+base64.StdEncoding.EncodeToString(key))
	parts = append(parts, &Part{
		Name: partClickHouse, Args: []string{"clickhouse", "--data-dir", r.DataDir, "--listen", engine}, Ready: r.migrated(engine),
	})
	for _, name := range splitParts[1:] {
		addr, err := freeAddress()
		if err != nil {
			return err
		}
		switch name {
		case partReceiver:
			r.Target.Webhooks = "http://" + addr
		case partAPI:
			r.Target.URL = "http://" + addr
		}
		parts = append(parts, &Part{
			Name: name, Args: []string{name, "--listen", addr, "--data-dir", filepath.Join(r.Dir, name)},
			Ready: responds("http://" + addr + "/readyz"),
		})
	}
	r.Target.Parts = parts
	return nil
}

// unsplit ends the proxies.
func unsplit(_ context.Context, r *Round) error {
	if s := r.split; s != nil {
		if s.nats != nil {
			s.nats.Close()
		}
		if s.store != nil {
			s.store.Close()
		}
		if s.gate != nil {
			s.gate.Close()
			if n := s.gate.struck.Load(); n > 0 {
				r.Notes["statements_in_trouble"] = float64(n)
			}
		}
	}
	return nil
}

// drained waits until no consumer has anything in hand. What was on its way to a
// consumer, or its acknowledgement, when a connection was cut comes again half a
// minute later, and changes nothing then: the account does not know of it.
func drained(ctx context.Context, r *Round) error {
	const limit = 45 * time.Second
	begin := time.Now()
	for time.Since(begin) < limit { // then the oracle says what is in hand
		idle := true
		err := ask(ctx, r.busURL(), func(ctx context.Context, js jetstream.JetStream) error {
			for _, name := range []string{bus.Deliveries, bus.Changes} {
				stream, err := js.Stream(ctx, name)
				if err != nil {
					return err
				}
				list := stream.ListConsumers(ctx)
				for info := range list.Info() {
					idle = idle && (info.Config.Durable == "" || info.NumPending == 0 && info.NumAckPending == 0)
				}
				if err := list.Err(); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil && idle {
			r.longest("drained_after_ms", time.Since(begin))
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// busURL is where the bus of a split target is, past the proxies.
func (r *Round) busURL() string { return cmp.Or(r.BusURL, "nats://"+r.split.bus) }

// migrated is ready when the engine answers and has the tables.
func (r *Round) migrated(engine string) func(context.Context) error {
	done := false
	return func(ctx context.Context) error {
		if err := responds("http://" + engine + "/ping")(ctx); err != nil || done {
			return err
		}
		cmd := exec.CommandContext(ctx, r.Target.Binary, "migrate")
		cmd.Env = slices.Concat(ownEnvironment(os.Environ()), r.Target.Env)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("migrate: %w\n%s", err, out)
		}
		done = true
		return nil
	}
}

// responds returns a check that a URL answers 200.
func responds(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	}
}

// natsPart is a nats-server with the settings that keep data.
func natsPart(name, addr, config, store, extra string) (*Part, error) {
	program, err := bustest.Program()
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("listen: %q\nmax_payload: 32MB\nmax_pending: 512MB\njetstream { store_dir: %q, max_file: 4GB, sync_interval: always }\n%s\n",
		addr, store, extra)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return &Part{
		Name: name, Binary: program, Args: []string{"-c", config},
		Ready: func(ctx context.Context) error {
			conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
			if err != nil {
				return err
			}
			return conn.Close()
		},
	}, nil
}

// Part returns the part of a name.
func (t *Target) Part(name string) *Part {
	for _, p := range t.Parts {
		if p.Name == name {
			return p
		}
	}
	return nil
}
