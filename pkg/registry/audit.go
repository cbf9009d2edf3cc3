package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/problem"
)

// Auditor keeps the record of what is done to objects. Begin returns when the
// record of what is about to be done is on disk; with an error nothing may be
// done. What it returns is told what became of it.
type Auditor interface {
	Begin(ctx context.Context, c audit.Change) (became func(audit.Outcome), err error)
}

// Option changes how a registry works.
type Option func(*Registry)

// WithAudit makes the registry record every write of an object. It is done here
// and not by those who call, so that none can forget it.
func WithAudit(a Auditor) Option { return func(r *Registry) { r.audit = a } }

// Audited reports whether writes are recorded.
func (r *Registry) Audited() bool { return r.audit != nil }

// audited does a write between two records: that it is about to be done, and
// what became of it. value is the object as it will be, nil when it is deleted.
func (r *Registry) audited(ctx context.Context, kind, org, id string, revision uint64, value []byte, write func() error) error {
	if r.audit == nil {
		return write()
	}
	c := audit.Change{Org: org, Object: audit.Object{Kind: kind, ID: id}, Operation: audit.OpCreate, New: value}
	if revision > 0 {
		before, err := r.before(ctx, kind, org, id, revision)
		if err != nil {
			return err
		}
		c.Operation, c.Old = audit.OpUpdate, before
	}
	if value == nil {
		c.Operation = audit.OpDelete
	}
	became, err := r.audit.Begin(ctx, c)
	if err != nil {
		return fmt.Errorf("record %s of %s %s: %w", c.Operation, kind, id, err)
	}
	switch err = write(); {
	case err == nil:
		became(audit.Done)
	case errors.Is(err, errOutrun):
		became(audit.Withdrawn)
	default: // it may be there: the answer was lost, not the write
		became(audit.Unknown)
	}
	return err
}

// before returns an object as it is in the bucket at a revision. When somebody
// else has written it since, or deleted it, that is errOutrun.
func (r *Registry) before(ctx context.Context, kind, org, id string, revision uint64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	e, err := r.kv.GetRevision(ctx, joinKey(kind, org, id), revision)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrKeyDeleted):
		return nil, errOutrun
	case err != nil:
		return nil, problem.BusyFor(2*time.Second, "registry_unavailable", "the registry cannot be read at the moment; try again",
			fmt.Errorf("read %s from the registry: %w", kind, err))
	}
	return e.Value(), nil
}
