package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/spf13/cobra"

	"whatchanged/pkg/chdb"
	"whatchanged/pkg/store"
)

// pointFaults kill the process at a named moment, and poison it.
func pointFaults() []Fault {
	var all []Fault
	for _, p := range []struct {
		name, about string
		passes      int // within seconds under load; the one that kills is drawn
		short       bool
	}{
		{"after-frame", "the frame is on disk, its senders are not answered", 100, true},
		{"after-normalize", "a batch is normalized, its results are not on the bus", 6, false},
		{"after-changes", "the results are on the bus, the deliveries are not acknowledged", 6, false},
		{"between-tables", "the changes are in the store, their deliveries' rows are not", 3, true},
		{"between-partitions", "some months of a batch are in the store, the others are not", 2, true},
		{"after-insert", "rows are in the store, and nobody knows yet", 6, false},
		{"before-ack", "the work is done, and not acknowledged", 8, true},
		{"checkpoint", "a position is about to be noted", 2, false},
	} {
		f := Fault{
			Name: "failpoint/" + p.name, About: "killed when " + p.about, Short: p.short,
			Strike: func(ctx context.Context, r *Round) error { return killAt(ctx, r, p.name, p.passes) },
		}
		if p.name == "between-partitions" { // an insert takes 12 months at once
			f.Prepare = func(_ context.Context, r *Round) error {
				r.Load.Months = 30
				return nil
			}
		}
		all = append(all, f)
	}
	for _, p := range []struct{ name, about string }{
		{"recovery-bus", "the bus is open, the store is not"},
		{"recovery-store", "the store is open, and not yet checked"},
		{"recovery-registry", "the registry is read, nothing runs yet"},
	} {
		all = append(all, Fault{
			Name: "failpoint/" + p.name, About: "killed, and killed again when " + p.about, Short: p.name == "recovery-store",
			Strike: func(ctx context.Context, r *Round) error { return killInRecovery(ctx, r, p.name) },
		})
	}
	return append(all,
		Fault{
			Name: "poison/normalize", About: "requests that break the normalizer's own code, and SIGKILL", Short: true,
			Prepare: func(_ context.Context, r *Round) error {
				r.Load.Poison, r.Want.DeadLetters = 0.02, true
				r.Target.Env = append(r.Target.Env, pointsVariable+"normalize=panic:"+poisonMark)
				return nil
			},
			Strike: kill,
		},
		Fault{
			Name: "poison/insert", About: "requests whose rows ClickHouse refuses, and SIGKILL", Short: true,
			Prepare: func(ctx context.Context, r *Round) error {
				r.Load.Poison, r.Want.DeadLetters = 0.005, true
				return r.constrain(ctx)
			},
			Strike: kill,
		},
	)
}

// killAt lets a failpoint kill the target. The first strike arms it; each then
// arms the next start, but the last, after which the target must live.
func killAt(ctx context.Context, r *Round, point string, passes int) error {
	arm := func() { r.Target.Arm(fmt.Sprintf("%s=kill@%d", point, 1+r.Rand.IntN(passes))) }
	if !r.Target.armed {
		r.Target.Kill()
		arm()
		var ended *endedError
		if err := r.Target.Start(ctx); err != nil && !errors.As(err, &ended) {
			return err
		}
	}
	const patience = 40 * time.Second // positions are noted every few seconds
	deadline := time.Now().Add(patience)
	for r.Target.Running() {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s was not passed often enough within %s", point, patience)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	r.Target.Kill() // the other parts, if there are any
	r.Target.Arm("")
	if r.Rand.IntN(3) == 0 { // and once more while it recovers
		if err := r.startAndKill(ctx, 20*time.Millisecond, 900*time.Millisecond); err != nil {
			return err
		}
		r.Notes["killed_again"]++
	}
	if r.Struck+1 < r.Strikes {
		arm()
	}
	return nil
}

// killInRecovery kills the target at a random moment, and its next start at the
// failpoint.
func killInRecovery(ctx context.Context, r *Round, point string) error {
	if err := kill(ctx, r); err != nil {
		return err
	}
	r.Target.Arm(point + "=kill")
	err := r.Target.Start(ctx)
	r.Target.Arm("")
	if ended, ok := errors.AsType[*endedError](err); ok && ended.err.Error() == "signal: killed" {
		return nil
	}
	return fmt.Errorf("it was not killed while it started: %w", err)
}

// constrain makes ClickHouse refuse what is poisoned, as it refuses whatever a
// table does not take. The tables are made by a first start.
func (r *Round) constrain(ctx context.Context) error {
	if err := r.Target.Start(ctx); err != nil {
		return err
	}
	if err := r.Target.Stop(ctx); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, exe, "constrain", r.DataDir).CombinedOutput(); err != nil {
		return fmt.Errorf("add a constraint: %w\n%s", err, out)
	}
	return nil
}

func newConstrain() *cobra.Command {
	return &cobra.Command{
		Use: "constrain DATADIR", Short: "Make the store refuse poisoned rows (started by run)", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			engine, err := chdb.Open(chdb.Config{Path: filepath.Join(args[0], "clickhouse")}, log)
			if err != nil {
				return err
			}
			conn, err := clickhouse.Open(chdb.Options(engine, store.DefaultConfig().Database))
			if err == nil {
				err = conn.Exec(cmd.Context(), "ALTER TABLE changes ADD CONSTRAINT healthy CHECK position(summary, '"+poisonMark+"') = 0")
				err = errors.Join(err, conn.Close())
			}
			return errors.Join(err, engine.Close())
		},
	}
}
