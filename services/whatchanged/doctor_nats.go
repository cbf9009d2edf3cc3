package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/config"
	"whatchanged/pkg/failpoint"
)

// checkNATS looks at the NATS servers that a service with this environment would
// use, as its user, else as admin. With an embedded bus there are none.
func (d *doctor) checkNATS(ctx context.Context, env *Environment, servers string) {
	const check = "nats"
	given := map[string]string{}
	if servers != "" {
		given["bus.url"] = servers
	}
	cfg := DefaultConfig()
	err := config.Load(&cfg, config.Sources{
		File: env.Getenv("WHATCHANGED_CONFIG"), Environ: env.Environ, Ignore: slices.Concat(notSettings, failpoint.Variables()), Flags: given,
	})
	if err != nil {
		d.say(check, fails, err.Error(), "mend the environment, or WHATCHANGED_CONFIG")
		return
	}
	if cfg.Bus.URL == "" {
		return
	}
	if cfg.Bus.Name == "" {
		host, _ := os.Hostname() // shown to who looks at the servers' connections
		cfg.Bus.Name = host + "-doctor"
	}
	user := cfg.Bus.User
	if _, ok := bus.PermissionsOf(user); !ok {
		user = bus.UserAdmin
	}
	in, err := bus.Inspect(ctx, cfg.Bus, slog.New(slog.DiscardHandler), bus.As(user))
	if err != nil {
		d.say(check, fails, err.Error(), "docs/operating/nats.md has the settings; is a server up at bus.url?")
		return
	}
	where := "nats-server " + in.Server
	if in.Cluster != "" {
		where += ", cluster " + in.Cluster
	}
	d.say(check, fine, where, "")
	d.checkNATSServers(in)
	d.checkStreams(in)
	d.checkPayload(in, cfg)
}

// checkNATSServers compares what the servers say of themselves.
func (d *doctor) checkNATSServers(in bus.Inspection) {
	if len(in.Servers) == 0 {
		d.say("nats sync", warns, "the servers do not tell this user whether they fsync before they acknowledge, nor their versions",
			"ask as the user api or admin, or see on each: curl -s http://SERVER:8222/jsz | grep sync_always; curl -s http://SERVER:8222/varz | grep '\"version\"'")
		return
	}
	versions := map[string][]string{}
	var lax []string
	for _, s := range in.Servers {
		versions[s.Version] = append(versions[s.Version], s.Name)
		if s.SyncAlways != nil && !*s.SyncAlways {
			lax = append(lax, s.Name)
		}
	}
	if len(lax) > 0 {
		d.say("nats sync", fails, strings.Join(lax, ", ")+" acknowledge before they have fsynced: a power cut loses what was acknowledged",
			"set jetstream { sync_interval: always } on each, and restart them one after the other")
	} else {
		d.say("nats sync", fine, fmt.Sprintf("%d servers fsync before they acknowledge", len(in.Servers)), "")
	}
	if len(versions) > 1 {
		var each []string
		for _, v := range slices.Sorted(maps.Keys(versions)) {
			each = append(each, v+" ("+strings.Join(versions[v], ", ")+")")
		}
		d.say("nats versions", warns, "servers are mixed: "+strings.Join(each, ", "), "finish the upgrade: one server after the other, each whole before the next")
		return
	}
	d.say("nats versions", fine, in.Server, "")
}

// checkStreams says which streams lack something.
func (d *doctor) checkStreams(in bus.Inspection) {
	const check = "nats streams"
	before := len(d.findings)
	if len(in.Silent) > 0 {
		d.say(check, fails, strings.Join(in.Silent, ", ")+": nobody leads them, so nothing can be stored on them",
			"most of the servers that have a copy must be up: start those that are down")
	}
	if len(in.Absent) > 0 {
		d.say(check, fails, strings.Join(in.Absent, ", ")+": not there", "run `whatchanged migrate` as the user admin; if they were there before, look for the cause first")
	}
	missing, lagging, alone := map[string][]string{}, map[string][]string{}, []string{}
	for _, s := range in.Streams {
		for _, peer := range s.Missing {
			missing[peer] = append(missing[peer], s.Name)
		}
		for _, peer := range s.Lagging {
			lagging[peer] = append(lagging[peer], s.Name)
		}
		if in.Cluster != "" && s.Leader == "" {
			d.say(check, fails, s.Name+": it has no leader at this moment", "wait for ten seconds, then see that most servers are up")
		}
		if in.Cluster != "" && s.Replicas < 3 {
			alone = append(alone, s.Name)
		}
	}
	for _, peer := range slices.Sorted(maps.Keys(missing)) {
		d.say(check, warns, fmt.Sprintf("server %s is away: %s lack a copy", peer, strings.Join(missing[peer], ", ")),
			"start it again; if one more goes, taking in stops. If it is gone for good: docs/operating/nats.md, \"Replacing a server\"")
	}
	for _, peer := range slices.Sorted(maps.Keys(lagging)) {
		d.say(check, warns, fmt.Sprintf("server %s is behind on %s", peer, strings.Join(lagging[peer], ", ")),
			"wait until it has caught up before you stop another server; if it never does, look at its disk and network")
	}
	if len(alone) > 0 {
		d.say(check, warns, strings.Join(alone, ", ")+": fewer than three copies on a cluster", "set bus.replicas: 3 and run `whatchanged migrate` as the user admin")
	}
	if len(d.findings) == before {
		d.say(check, fine, fmt.Sprintf("%d streams are whole", len(in.Streams)), "")
	}
}

// checkPayload compares the body limit with what one message can carry.
func (d *doctor) checkPayload(in bus.Inspection, cfg Config) {
	const check = "nats payload"
	body := in.MaxRecord - cfg.Receiver.MaxKeptHeaders
	if body < cfg.Receiver.MaxBody {
		d.say(check, warns, fmt.Sprintf("max_payload is %d bytes: bodies over %d are refused, though receiver.max_body is %d", in.MaxPayload, body, cfg.Receiver.MaxBody),
			"set max_payload: 32MB on each server, or a smaller receiver.max_body")
		return
	}
	d.say(check, fine, fmt.Sprintf("bodies up to %d bytes fit in a message", cfg.Receiver.MaxBody), "")
}
