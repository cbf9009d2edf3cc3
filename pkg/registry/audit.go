package registry

import (
	"context"
	"errors"
	"fmt"

	"whatchanged/pkg/audit"
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

// Following makes the registry write nothing by itself but its heartbeat: what
// has ended is cleared away by those who may write.
func Following() Option { return func(r *Registry) { r.follows = true } }

// Audited reports whether writes are recorded.
func (r *Registry) Audited() bool { return r.audit != nil }

// audited does a write between two records: that it is about to be done, and
// what became of it. before and after are the object, nil where it is not there.
func (r *Registry) audited(ctx context.Context, operation, kind, org, id string, before, after any, write func() error) error {
	if r.audit == nil {
		return write()
	}
	became, err := r.audit.Begin(ctx, audit.Change{
		Org: org, Operation: operation, Object: audit.Object{Kind: kind, ID: id}, Old: before, New: after,
	})
	if err != nil {
		return fmt.Errorf("record %s of %s %s: %w", operation, kind, id, err)
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
