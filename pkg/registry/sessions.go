package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// maxSessions is in how many places a person can be signed in. One more ends
// the oldest.
const maxSessions = 20

var personForm = regexp.MustCompile(`^(key|usr)_[A-Za-z0-9]{1,64}$`)

// signedIn is one session in the view, with whose it is.
type signedIn struct {
	person  *Person
	session *Session
}

// SignIn starts a session of p, who has just proved who they are: with the key
// whose secret has the digest keyHash or, when that is zero, with an account.
// It returns what the browser is to keep, which cannot be read again. What was
// known of the person is replaced, so that their other sessions follow.
func (r *Registry) SignIn(ctx context.Context, p Person, keyHash auth.Digest, life time.Duration) (Session, string, error) {
	if err := r.checkPerson(&p); err != nil {
		return Session{}, "", err
	}
	now := r.now()
	token := auth.NewToken(auth.SessionPrefix)
	s := Session{
		ID: "ses_" + strings.ToLower(rand.Text()), Hash: auth.Hash(token), KeyHash: keyHash,
		CreatedAt: change.At(now), ExpiresAt: change.At(now.Add(life)),
	}
	for range tries {
		_, known := r.view.Load().people.get(p.Org, p.ID)
		var err error
		if known {
			_, err = update(ctx, r, kindPerson, p.Org, p.ID, peopleOf, func(old *Person) error {
				p.Sessions = append(stillGood(old.Sessions, now), s)
				p.Sessions = p.Sessions[max(0, len(p.Sessions)-maxSessions):]
				*old = p
				return nil
			})
		} else {
			p.Sessions = []Session{s}
			err = r.create(ctx, kindPerson, p.Org, p.ID, p)
		}
		// Between the look and the write the person may have come or gone.
		if reason := problem.From(err).Reason; err == nil || reason != "exists" && reason != "unknown_"+kindPerson {
			return s, token, err
		}
		if err := r.await(ctx, func(v *view) bool { _, now := v.people.get(p.Org, p.ID); return now != known }); err != nil {
			return Session{}, "", err
		}
	}
	return Session{}, "", problem.New(problem.Conflict, "edited_elsewhere", "somebody else is signing in with this too; try again")
}

func (r *Registry) checkPerson(p *Person) error {
	if !personForm.MatchString(p.ID) {
		return problem.Invalid("id", "key_ or usr_ and letters or digits")
	}
	if p.Role != "" && !slices.Contains(auth.Roles(), p.Role) {
		return problem.Invalid("role", "one of "+strings.Join(auth.Roles(), ", "))
	}
	return firstFault(r.checkOrg(p.Org), line("name", p.Name, maxName, false), line("email", p.Email, maxName, false))
}

// stillGood returns a copy of the sessions without those that are over.
func stillGood(all []Session, now time.Time) []Session {
	return slices.DeleteFunc(slices.Clone(all), func(s Session) bool { return s.expired(now) })
}

func (s *Session) expired(now time.Time) bool { return !now.Before(s.ExpiresAt.Time) }

// SignOut ends a session: what the browser keeps stops working here before
// this returns, and everywhere within a second. Whoever is not signed in is
// not signed out, and that is no error.
func (r *Registry) SignOut(ctx context.Context, org, personID, sessionID string) error {
	_, err := update(ctx, r, kindPerson, org, personID, peopleOf, func(p *Person) error {
		i := slices.IndexFunc(p.Sessions, func(s Session) bool { return s.ID == sessionID })
		if i < 0 {
			return errUnchanged
		}
		p.Sessions = slices.Delete(slices.Clone(p.Sessions), i, i+1)
		return nil
	})
	if errors.Is(err, errUnchanged) || problem.KindOf(err) == problem.NotFound {
		return nil
	}
	return err
}

// errUnchanged ends an update that has nothing to write.
var errUnchanged = errors.New("nothing to change")

// CallerBySession returns who calls with what a browser keeps of a session. A
// session by key is as good as the key is now: its scopes, its role, its end.
func (r *Registry) CallerBySession(token string) (auth.Principal, error) {
	return r.callerBySession(auth.Hash(token))
}

func (r *Registry) callerBySession(hash auth.Digest) (auth.Principal, error) {
	in, ok := r.view.Load().sessions[hash]
	if !ok || in.session.expired(r.now()) {
		return auth.Principal{}, problem.New(problem.Unauthenticated, "session_ended", "the session has ended; sign in again")
	}
	person, session := in.person, in.session
	p := auth.Principal{
		Org: person.Org, KeyID: person.ID, Scopes: auth.RoleScopes(person.Role), Role: person.Role, Name: person.Name, Mail: person.Email,
	}
	if !session.KeyHash.IsZero() {
		k, err := r.keyByHash(session.KeyHash)
		if err != nil {
			return auth.Principal{}, problem.New(problem.Unauthenticated, "session_ended", "the key that was signed in with has ended; sign in again")
		}
		p = k.Principal()
	}
	p.SessionID, p.Shown = session.ID, hash
	return p, nil
}

// Session returns one session of a person.
func (r *Registry) Session(org, personID, sessionID string) (Session, bool) {
	if p, ok := r.view.Load().people.get(org, personID); ok {
		for _, s := range p.Sessions {
			if s.ID == sessionID {
				return s, true
			}
		}
	}
	return Session{}, false
}

// StillIn reports whether who was let in as p would be let in now: the key is
// neither deleted, over nor rotated away, and the session has not ended.
func (r *Registry) StillIn(p auth.Principal) bool {
	var err error
	if p.SessionID != "" {
		_, err = r.callerBySession(p.Shown)
	} else {
		_, err = r.keyByHash(p.Shown)
	}
	return err == nil
}

// endSessions forgets the sessions that are over, and the people who have none
// left.
func (r *Registry) endSessions(ctx context.Context) {
	now := r.now()
	for _, row := range r.view.Load().people.rows {
		p := row.value
		good := stillGood(p.Sessions, now)
		if len(good) == len(p.Sessions) && len(good) > 0 {
			continue
		}
		var err error
		if len(good) == 0 { // at this revision: they may be signing in right now
			err = r.call(ctx, kindPerson, func(ctx context.Context) error {
				return r.kv.Delete(ctx, joinKey(kindPerson, p.Org, p.ID), jetstream.LastRevision(row.revision))
			})
		} else {
			_, err = update(ctx, r, kindPerson, p.Org, p.ID, peopleOf, func(p *Person) error {
				p.Sessions = stillGood(p.Sessions, now)
				return nil
			})
		}
		if err != nil && !errors.Is(err, errOutrun) && problem.KindOf(err) != problem.NotFound && ctx.Err() == nil {
			r.log.Warn("sessions that ended not removed yet", "person", p.ID, "error", err)
		}
	}
}

func peopleOf(v *view) *table[Person] { return &v.people }
