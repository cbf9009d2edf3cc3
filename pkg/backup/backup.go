// Package backup makes backups of a whole installation and puts them back: the
// rows, which ClickHouse writes and reads itself, and in the same backup the
// registry and how far the bus had come. The master key is not in it: secrets
// in the registry stay sealed, and the key is kept elsewhere.
package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/store"
)

// Config says where backups are kept.
type Config struct {
	// To is file:/dir, disk:name (one of the ClickHouse server's) or
	// s3:https://host/bucket/path; empty is store.backup_dir.
	To string
	// AccessKeyID is S3's; empty uses what the ClickHouse server has.
	AccessKeyID string
	// SecretAccessKey belongs to AccessKeyID.
	SecretAccessKey auth.Secret
}

// Place is where that is, for the store.
func (c Config) Place() store.BackupPlace {
	return store.BackupPlace{To: c.To, AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey.Reveal()}
}

// Validate reports every fault of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	if c.To != "" {
		errs = append(errs, c.Place().Validate())
	}
	if (c.AccessKeyID == "") != (c.SecretAccessKey == "") {
		errs = append(errs, errors.New("backup access key id and secret access key: set both, or neither"))
	}
	return errors.Join(errs...)
}

// Store is the part of the store that is used here.
type Store interface {
	Counts(ctx context.Context, database string) (map[string]uint64, error)
	BackUp(ctx context.Context, to store.BackupPlace, backup string, notes []store.Note) (uint64, error)
	Restore(ctx context.Context, from store.BackupPlace, backup string, force bool, wanted func([]store.Note) (map[string]uint64, error)) (map[string]uint64, error)
	Database() string
}

// Deps is what backups are made of; all of it is required.
type Deps struct {
	Config Config
	Store  Store
	Bus    *bus.Bus
	// KeyMark is the mark of the master key there is: see auth.Sealer. Empty is
	// no key.
	KeyMark string
	Audit   Auditor
	Log     *slog.Logger
	Now     func() time.Time
}

// Auditor records who did what. The audit's Recorder is one.
type Auditor interface {
	Record(ctx context.Context, c audit.Change) error
}

// Backups makes backups and puts them back.
type Backups struct{ Deps }

// New returns the backups of an installation.
func New(deps Deps) (*Backups, error) {
	if deps.Store == nil || deps.Bus == nil || deps.Audit == nil || deps.Log == nil || deps.Now == nil {
		return nil, errors.New("backup: a dependency is missing")
	}
	if err := deps.Config.Place().Validate(); err != nil {
		return nil, err
	}
	return &Backups{deps}, nil
}

// Made is a backup as it was made, or put back.
type Made struct {
	Name     string              `json:"name"`
	Place    string              `json:"place"`
	Began    time.Time           `json:"began"`
	Size     uint64              `json:"size,omitempty"`
	Rows     map[string]uint64   `json:"rows"`
	Registry int                 `json:"registry_records"`
	Bus      map[string]Position `json:"bus"`
	KeyMark  string              `json:"master_key_mark,omitempty"`
}

// Position is what a stream held when a backup began: all up to Last that was
// settled then is in the backup, and the rest is on the bus.
type Position struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// The kinds of notes in a backup.
const (
	noteMade     = "made"
	noteRegistry = "registry"

	nameForm = "whatchanged-20060102-150405"
)

// DefaultName is what a backup that begins now is called, unless told otherwise.
func DefaultName(now time.Time) string { return now.UTC().Format(nameForm) }

// Create makes a backup. It may be made while everything runs.
//
// What it holds is of one moment in this sense: every delivery up to the bus's
// positions that was settled then is in it, with all its rows. What came later
// may be in it too, in part; it is on the bus, from where the reconciler stores
// it again after a restore, and rows that are there already collapse with it.
//
// Nobody removes rows meanwhile: more of them would be promised than there are.
func (b *Backups) Create(ctx context.Context, name string) (made Made, err error) {
	err = b.Bus.Exclusively(ctx, bus.Removing, patience, func(ctx context.Context) error {
		made, err = b.create(ctx, name)
		return err
	})
	if err != nil {
		return made, err
	}
	b.Log.Info("backup made", "name", name, "size", made.Size)
	return made, b.record(ctx, audit.OpCreate, name)
}

// patience is how long a backup waits while rows are removed, or another is made.
const patience = 10 * time.Minute

func (b *Backups) create(ctx context.Context, name string) (Made, error) {
	made := Made{Name: name, Place: b.Config.To, Began: b.Now().UTC().Truncate(time.Millisecond), KeyMark: b.KeyMark, Bus: map[string]Position{}}
	var err error
	if made.Bus, err = b.positions(ctx); err != nil {
		return made, err
	}
	notes, err := readRegistry(ctx, b.Bus.KV(bus.BucketRegistry))
	if err != nil {
		return made, err
	}
	made.Registry = len(notes)
	if made.Rows, err = b.Store.Counts(ctx, b.Store.Database()); err != nil {
		return made, err
	}
	about, err := json.Marshal(made)
	if err != nil {
		return made, fmt.Errorf("describe the backup: %w", err)
	}
	notes = append(notes, store.Note{Kind: noteMade, Key: name, Value: string(about)})
	if made.Size, err = b.Store.BackUp(ctx, b.Config.Place(), name, notes); err != nil {
		return made, err
	}
	if dir, ok := b.Config.Place().Dir(); ok {
		if err := syncTree(dir, name); err != nil {
			return made, err
		}
	}
	return made, nil
}

// record tells the trail of whoever runs the installation that all there is was
// copied, or replaced.
func (b *Backups) record(ctx context.Context, operation, name string) error {
	err := b.Audit.Record(ctx, audit.Change{
		Org: registry.DefaultOrg, Operation: operation, Object: audit.Object{Kind: "backup", ID: name, Name: name}, Detail: "in " + b.Config.To,
	})
	if err != nil {
		return fmt.Errorf("the backup %s is there, but the audit trail does not say so: %w", name, err)
	}
	return nil
}

func (b *Backups) positions(ctx context.Context) (map[string]Position, error) {
	at := map[string]Position{}
	for _, name := range []string{bus.Deliveries, bus.Changes, bus.Audit} {
		stream, err := b.Bus.JetStream().Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read the position of %s: %w", name, err)
		}
		state := stream.CachedInfo().State
		at[name] = Position{First: state.FirstSeq, Last: state.LastSeq}
	}
	return at, nil
}

// Keys of the registry that are nobody's data.
const (
	heartbeat = "heartbeat" // its sign of life
	restoring = "restoring" // there while a backup's records are written: what else is there is not whole
)

// alive is how fresh a heartbeat is of services that run.
const alive = 10 * time.Second

// entries returns what a bucket holds now.
func entries(ctx context.Context, kv jetstream.KeyValue) (found []jetstream.KeyValueEntry, err error) {
	watch, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read the registry: %w", err)
	}
	defer func() { err = errors.Join(err, watch.Stop()) }()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case e, ok := <-watch.Updates():
			if !ok {
				return nil, errors.New("read the registry: the watch was closed")
			}
			if e == nil {
				return found, nil
			}
			found = append(found, e)
		}
	}
}

func readRegistry(ctx context.Context, kv jetstream.KeyValue) ([]store.Note, error) {
	found, err := entries(ctx, kv)
	if err != nil {
		return nil, err
	}
	var notes []store.Note
	for _, e := range found {
		if e.Key() != heartbeat && e.Key() != restoring {
			notes = append(notes, store.Note{Kind: noteRegistry, Key: e.Key(), Value: string(e.Value())})
		}
	}
	return notes, nil
}

// RestoreOptions says what may be replaced.
type RestoreOptions struct {
	// Force replaces rows that are there.
	Force bool
	// Alone says that the caller knows that no service runs; else it is seen by
	// the registry's heartbeat.
	Alone bool
	// Registry puts the registry of the backup in the place of the one there is.
	// Without it that happens only where there is none.
	Registry bool
	// RegistryOnly does nothing but that, and leaves all rows as they are.
	RegistryOnly bool
}

// errEnough ends a restore that is of the registry only, before rows are replaced.
var errEnough = errors.New("the registry was read")

// Restored says what a restore has done.
type Restored struct {
	Made
	// RegistryRestored is whether the registry is that of the backup; else it
	// was there, and is as it was.
	RegistryRestored bool `json:"registry_restored"`
	// Missing is how many frames came after the backup and are on the bus no
	// more; -1: the bus is another one, and what came after the backup is lost.
	Missing int64 `json:"missing_frames"`
	// After is how many frames the reconciler looks at and stores again.
	After uint64 `json:"frames_after"`
}

// Restore puts a backup back. No service may run meanwhile.
func (b *Backups) Restore(ctx context.Context, name string, o RestoreOptions) (Restored, error) {
	kv := b.Bus.KV(bus.BucketRegistry)
	there, err := entries(ctx, kv)
	if err != nil {
		return Restored{}, err
	}
	empty, cutOff := true, false
	for _, e := range there {
		if e.Key() == heartbeat && !o.Alone && b.Now().Sub(e.Created()) < alive {
			return Restored{}, problem.New(problem.Conflict, "services_run", fmt.Sprintf("services run, or did %s ago: stop them all first", alive))
		}
		empty = empty && e.Key() == heartbeat
		cutOff = cutOff || e.Key() == restoring
	}
	empty = empty || cutOff
	var out Restored
	var registry []store.Note
	if !o.RegistryOnly { // before rows are replaced: one that is cut off may have replaced some
		if err := b.Bus.Unreconciled(ctx); err != nil {
			return Restored{}, err
		}
	}
	o.Registry = o.Registry || o.RegistryOnly
	counts, err := b.Store.Restore(ctx, b.Config.Place(), name, o.Force || o.RegistryOnly, func(notes []store.Note) (map[string]uint64, error) {
		for _, n := range notes {
			switch n.Kind {
			case noteRegistry:
				registry = append(registry, n)
			case noteMade:
				if err := json.Unmarshal([]byte(n.Value), &out.Made); err != nil {
					return nil, fmt.Errorf("read what the backup says of itself: %w", err)
				}
			}
		}
		if len(registry) != out.Registry {
			return nil, fmt.Errorf("the backup has %d records of the registry, and says %d", len(registry), out.Registry)
		}
		if sealed(registry) && (empty || o.Registry) && b.KeyMark != out.KeyMark {
			return nil, problem.New(problem.Conflict, "master_key",
				"the secrets in this backup were sealed with another master key: put that one in its place first (master.key or WHATCHANGED_MASTER_KEY)")
		}
		if o.RegistryOnly {
			return nil, errEnough
		}
		return out.Rows, nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return Restored{}, err
	}
	out.Name, out.Place, out.Rows = name, b.Config.To, counts
	if empty || o.Registry {
		if err := writeRegistry(ctx, kv, there, registry); err != nil {
			return out, err
		}
		out.RegistryRestored = true
	}
	if o.RegistryOnly {
		return out, b.record(ctx, "restore", name)
	}
	// Nothing compares the audit trail with the bus: it is written again from
	// all that the bus has, and collapses with what is there.
	if err := b.Bus.JetStream().DeleteConsumer(ctx, bus.Audit, bus.AuditWriter); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return out, fmt.Errorf("have the audit trail written again: %w", err)
	}
	now, err := b.positions(ctx)
	if err != nil {
		return out, err
	}
	out.Missing, out.After = gap(out.Bus[bus.Deliveries], now[bus.Deliveries])
	b.Log.Info("backup restored", "name", name, "registry", out.RegistryRestored, "frames_after", out.After, "missing", out.Missing)
	return out, b.record(ctx, "restore", name)
}

// gap compares what a stream held then with what it holds now.
func gap(then, now Position) (missing int64, after uint64) {
	if now.Last < then.Last {
		return -1, 0
	}
	if first := then.Last + 1; now.First > first {
		return int64(now.First - first), now.Last + 1 - now.First
	}
	return 0, now.Last - then.Last
}

// sealed reports whether records hold secrets that the master key opens.
func sealed(registry []store.Note) bool {
	for _, n := range registry {
		var source struct {
			Secrets     []json.RawMessage `json:"secrets"`
			AWS, GitHub json.RawMessage
		}
		if strings.HasPrefix(n.Key, "source.") && json.Unmarshal([]byte(n.Value), &source) == nil &&
			(len(source.Secrets) > 0 || len(source.AWS) > 0 || len(source.GitHub) > 0) {
			return true
		}
	}
	return false
}

// writeRegistry makes a bucket hold these records and no others. One that is cut
// off is told by a mark.
func writeRegistry(ctx context.Context, kv jetstream.KeyValue, there []jetstream.KeyValueEntry, registry []store.Note) error {
	if _, err := kv.PutString(ctx, restoring, ""); err != nil {
		return fmt.Errorf("mark the registry: %w", err)
	}
	keep := map[string]bool{heartbeat: true, restoring: true}
	for _, n := range registry {
		keep[n.Key] = true
		if _, err := kv.Put(ctx, n.Key, []byte(n.Value)); err != nil {
			return fmt.Errorf("write %s of the registry: %w", n.Key, err)
		}
	}
	for _, e := range there {
		if !keep[e.Key()] {
			if err := kv.Delete(ctx, e.Key()); err != nil {
				return fmt.Errorf("remove %s from the registry: %w", e.Key(), err)
			}
		}
	}
	if err := kv.Delete(ctx, restoring); err != nil {
		return fmt.Errorf("take the mark off the registry: %w", err)
	}
	return nil
}

// Size is how people read a number of bytes.
func Size(n uint64) string {
	const units = "KMGT"
	if n < 1<<10 {
		return strconv.FormatUint(n, 10) + " B"
	}
	value, i := float64(n)/1024, 0
	for value >= 1024 && i < len(units)-1 {
		value, i = value/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[i])
}
