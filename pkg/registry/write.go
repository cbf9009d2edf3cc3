package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/keep"
	"whatchanged/pkg/problem"
)

// KeyPrefix starts the ids of API keys.
const KeyPrefix = "key_"

const (
	sourcePrefix  = "src_"
	servicePrefix = "svc_"
)

// tries is how often an update starts over because somebody else was faster.
const tries = 5

// CreateOrg adds an org.
func (r *Registry) CreateOrg(ctx context.Context, o Org) (Org, error) {
	if err := o.validate(); err != nil {
		return Org{}, err
	}
	o.CreatedAt = change.At(r.now())
	return o, r.create(ctx, kindOrg, o.ID, o.ID, o)
}

// CreateSource adds a source with a fresh token, and returns both. The token
// cannot be read again.
func (r *Registry) CreateSource(ctx context.Context, s Source) (Source, string, error) {
	token := auth.NewToken(auth.TokenPrefix)
	created, err := r.ImportSource(ctx, s, token)
	return created, token, err
}

// ImportSource adds a source with a token that is in use already.
func (r *Registry) ImportSource(ctx context.Context, s Source, token string) (Source, error) {
	if !auth.ValidToken(token) {
		return Source{}, problem.Invalid("token", "16 to 128 letters, digits, - or _")
	}
	s.ID = newID(sourcePrefix)
	s.TokenHash, s.OldTokenHash, s.OldTokenUntil = auth.Hash(token), auth.Digest{}, change.Time{}
	s.CreatedAt, s.RotatedAt = change.At(r.now()), change.Time{}
	s.stamp(nil, r.now())
	if err := r.checkSource(&s); err != nil {
		return Source{}, err
	}
	if _, taken := r.view.Load().tokens[s.TokenHash]; taken {
		return Source{}, problem.New(problem.Conflict, "token_taken", "choose another token")
	}
	return s, r.create(ctx, kindSource, s.Org, s.ID, s)
}

// UpdateSource changes a source: edit gets a copy, may be called several times
// and must not touch ID, Org or the token hashes.
func (r *Registry) UpdateSource(ctx context.Context, org, id string, edit func(*Source) error) (Source, error) {
	return update(ctx, r, kindSource, org, id, sourcesOf, func(s *Source) error {
		kept := *s
		if err := edit(s); err != nil {
			return err
		}
		s.ID, s.Org, s.CreatedAt, s.RotatedAt = kept.ID, kept.Org, kept.CreatedAt, kept.RotatedAt
		s.TokenHash, s.OldTokenHash, s.OldTokenUntil = kept.TokenHash, kept.OldTokenHash, kept.OldTokenUntil
		s.stamp(kept.Secrets, r.now())
		return r.checkSource(s)
	})
}

// RotateSource gives a source a fresh token. The old one works for overlap
// longer, so that senders can be changed over; zero ends it at once.
func (r *Registry) RotateSource(ctx context.Context, org, id string, overlap time.Duration) (Source, string, error) {
	token := auth.NewToken(auth.TokenPrefix)
	s, err := update(ctx, r, kindSource, org, id, sourcesOf, func(s *Source) error {
		now := r.now()
		s.OldTokenHash, s.OldTokenUntil = auth.Digest{}, change.Time{}
		if overlap > 0 {
			s.OldTokenHash, s.OldTokenUntil = s.TokenHash, change.At(now.Add(overlap))
		}
		s.TokenHash, s.RotatedAt = auth.Hash(token), change.At(now)
		return nil
	})
	return s, token, err
}

// DeleteSource removes a source; its token stops working everywhere within a
// second, and here before this returns.
func (r *Registry) DeleteSource(ctx context.Context, org, id string) error {
	return remove(ctx, r, kindSource, org, id, sourcesOf)
}

// CreateService adds a service. Its ID may be given (svc_...); its name must
// be new in the org. (Two processes at the same moment may both succeed with
// one name: then the older service answers to it.)
func (r *Registry) CreateService(ctx context.Context, s Service) (Service, error) {
	if s.ID == "" {
		s.ID = newID(servicePrefix)
	}
	s.CreatedAt = change.At(r.now())
	s.UpdatedAt = s.CreatedAt
	if err := firstFault(r.checkOrg(s.Org), s.validate(), r.checkServiceName(&s), r.checkDependencies(&s, nil)); err != nil {
		return Service{}, err
	}
	return s, r.create(ctx, kindService, s.Org, s.ID, s)
}

// UpdateService changes a service: edit gets a copy, may be called several
// times and must not touch ID or Org.
func (r *Registry) UpdateService(ctx context.Context, org, id string, edit func(*Service) error) (Service, error) {
	return update(ctx, r, kindService, org, id, servicesOf, func(s *Service) error {
		kept := *s
		if err := edit(s); err != nil {
			return err
		}
		s.ID, s.Org, s.CreatedAt, s.UpdatedAt = kept.ID, kept.Org, kept.CreatedAt, change.At(r.now())
		return firstFault(s.validate(), r.checkServiceName(s), r.checkDependencies(s, kept.Dependencies))
	})
}

// DeleteService removes a service; changes keep its name. While a source names
// it, it stays: what the source delivers would silently belong to nothing, or
// to another service.
func (r *Registry) DeleteService(ctx context.Context, org, id string) error {
	for _, s := range r.Sources(org) {
		if s.names(id) {
			return problem.New(problem.Conflict, "service_in_use",
				"source "+s.ID+" gives changes to this service: change its default_service_id or services first")
		}
	}
	return remove(ctx, r, kindService, org, id, servicesOf)
}

func (r *Registry) checkOrg(org string) error {
	if _, ok := r.Org(org); !ok {
		return problem.New(problem.NotFound, "unknown_org", "there is no such organisation")
	}
	return nil
}

func (r *Registry) checkSource(s *Source) error {
	s.normalize()
	if err := firstFault(r.checkOrg(s.Org), s.validate()); err != nil {
		return err
	}
	if s.DefaultServiceID != "" {
		if _, ok := r.Service(s.Org, s.DefaultServiceID); !ok {
			return problem.Invalid("default_service_id", "there is no such service")
		}
	}
	for _, m := range s.Services {
		if _, ok := r.Service(s.Org, m.ServiceID); !ok {
			return problem.Invalid("services", "there is no service "+strconv.Quote(m.ServiceID)+", to which "+strconv.Quote(m.Match)+" is mapped: create it first")
		}
	}
	return nil
}

func (r *Registry) checkServiceName(s *Service) error {
	if other, ok := r.ServiceByName(s.Org, s.Name); ok && other.ID != s.ID {
		return problem.New(problem.Conflict, "name_taken", "another service has this name: "+other.ID)
	}
	return nil
}

// checkDependencies wants every service that s names to exist, but for those
// it named before: they may be gone since, which does no harm.
func (r *Registry) checkDependencies(s *Service, before []string) error {
	for _, id := range s.Dependencies {
		switch _, ok := r.Service(s.Org, id); {
		case id == s.ID:
			return problem.Invalid("dependencies", "a service does not depend on itself")
		case !ok && !slices.Contains(before, id):
			return problem.Invalid("dependencies", "there is no service "+strconv.Quote(id)+": create it first")
		}
	}
	return nil
}

func sourcesOf(v *view) *table[Source]   { return &v.sources }
func keysOf(v *view) *table[Key]         { return &v.keys }
func servicesOf(v *view) *table[Service] { return &v.services }

// create writes a new object and waits until the view has it.
func (r *Registry) create(ctx context.Context, kind, org, id string, value any) error {
	return r.write(ctx, kind, org, id, 0, value)
}

// update reads an object, lets edit change a copy, and writes it if nobody
// else did meanwhile; else it starts over with what they wrote.
func update[T any](ctx context.Context, r *Registry, kind, org, id string, of func(*view) *table[T], edit func(*T) error) (T, error) {
	var none T
	for range tries {
		old, ok := of(r.view.Load()).rows[place{org, id}]
		if !ok {
			return none, unknown(kind)
		}
		value := *old.value
		if err := edit(&value); err != nil {
			return none, err
		}
		body, err := keep.Rewrite(old.raw, value, identities...)
		if err != nil {
			return none, fmt.Errorf("encode %s %s: %w", kind, id, err)
		}
		err = r.replace(ctx, kind, org, id, old.revision, old.value, value, body)
		if !errors.Is(err, errOutrun) {
			return value, err
		}
		if err := awaitOther(ctx, r, of, place{org, id}, old.revision); err != nil {
			return none, err
		}
	}
	return none, problem.New(problem.Conflict, "edited_elsewhere", "somebody else is changing this too; read it again")
}

// remove deletes an object, and waits until the view is without it.
func remove[T any](ctx context.Context, r *Registry, kind, org, id string, of func(*view) *table[T]) error {
	at := place{org, id}
	for range tries {
		old, ok := of(r.view.Load()).rows[at]
		if !ok {
			return unknown(kind)
		}
		err := r.audited(ctx, audit.OpDelete, kind, org, id, old.value, nil, func() error {
			return r.call(ctx, kind, func(ctx context.Context) error {
				return r.kv.Delete(ctx, joinKey(kind, org, id), jetstream.LastRevision(old.revision))
			})
		})
		if err != nil && !errors.Is(err, errOutrun) {
			return err
		}
		outrun := err != nil
		if err := awaitOther(ctx, r, of, at, old.revision); err != nil || !outrun {
			return err
		}
	}
	return problem.New(problem.Conflict, "edited_elsewhere", "somebody else is changing this too; read it again")
}

// errOutrun says that the object is no longer at the revision it was read at.
var errOutrun = errors.New("written by somebody else meanwhile")

// write stores value if the object is still at revision (0: does not exist),
// and waits until the view has it.
func (r *Registry) write(ctx context.Context, kind, org, id string, revision uint64, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", kind, id, err)
	}
	return r.replace(ctx, kind, org, id, revision, nil, value, body)
}

// identities are the members by which the parts of an object are known: a
// session's, a secret's, a mapping's.
var identities = []string{"id", "sealed", "match"}

// replace writes body, which is value and what a later version has put into the
// object, in place of what was there before.
func (r *Registry) replace(ctx context.Context, kind, org, id string, revision uint64, before, value any, body []byte) error {
	key := joinKey(kind, org, id)
	var written uint64
	operation := audit.OpUpdate
	if revision == 0 {
		operation = audit.OpCreate
	}
	err := r.audited(ctx, operation, kind, org, id, before, value, func() error {
		return r.call(ctx, kind, func(ctx context.Context) (err error) {
			if revision == 0 {
				written, err = r.kv.Create(ctx, key, body)
			} else {
				written, err = r.kv.Update(ctx, key, body, revision)
			}
			return err
		})
	})
	if errors.Is(err, errOutrun) && revision == 0 {
		return problem.New(problem.Conflict, "exists", "a "+kind+" with this id exists already")
	}
	if err != nil {
		return err
	}
	return r.await(ctx, func(v *view) bool { return v.revision >= written })
}

// call does one write with a deadline, counts it and says what went wrong.
func (r *Registry) call(ctx context.Context, kind string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := f(ctx)
	switch {
	case err == nil:
		r.metrics.writes.WithLabelValues(kind, "ok").Inc()
		return nil
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch), wrongSequence(err):
		r.metrics.writes.WithLabelValues(kind, "outrun").Inc()
		return errOutrun
	default:
		r.metrics.writes.WithLabelValues(kind, "error").Inc()
		return problem.BusyFor(2*time.Second, "registry_unavailable", "the registry cannot be written at the moment; try again",
			fmt.Errorf("write %s to the registry: %w", kind, err))
	}
}

func wrongSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// await returns when the view meets a condition.
func (r *Registry) await(ctx context.Context, met func(*view) bool) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for {
		v := r.view.Load()
		if met(v) {
			return nil
		}
		select {
		case <-v.next:
		case <-ctx.Done():
			return problem.BusyFor(2*time.Second, "registry_behind", "the registry was written, but the server has not seen it yet; read it again soon",
				fmt.Errorf("wait for the registry's view: %w", ctx.Err()))
		}
	}
}

// awaitOther returns when the view no longer shows the object at revision.
func awaitOther[T any](ctx context.Context, r *Registry, of func(*view) *table[T], at place, revision uint64) error {
	return r.await(ctx, func(v *view) bool { return of(v).rows[at].revision != revision })
}

func unknown(kind string) error {
	return problem.New(problem.NotFound, "unknown_"+kind, "there is no such "+kind)
}

func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()) }
