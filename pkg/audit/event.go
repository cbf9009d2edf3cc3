package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
)

// Object names an object of an org. Its name is what it was called then.
type Object struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// Outcome says what became of an action whose record was made before it.
type Outcome string

// The outcomes. An event that says Unknown is of an action that was about to be
// done when the process, or its connection to the registry, ended: it may have
// been done or not.
const (
	Done      Outcome = "done"
	Unknown   Outcome = "unknown"
	Withdrawn Outcome = "withdrawn" // it was not done; nobody is shown the event
)

// Change is something that somebody does to an object. Old and New are the
// object before and after, as JSON or as anything that encodes to it: the
// description is made from what differs. The actor comes from the context.
type Change struct {
	Operation string // of the kind
	Object    Object // Name may be left out when Old or New have one
	Parents   []Object
	Org       string
	Old, New  any
	Detail    string // more for the description; never anything secret
}

type asKey struct{}

type as struct {
	operation string
	parents   []Object
}

// As returns a context in which what is written to objects is recorded as an
// operation of theirs, such as "rotate" for what would be an update, and as
// belonging to parents, the nearest first. Kinds without that operation are
// recorded as what is written.
func As(ctx context.Context, operation string, parents ...Object) context.Context {
	return context.WithValue(ctx, asKey{}, as{operation, parents})
}

// Event is one record of the trail.
type Event struct {
	ID          change.AuditID `json:"id"`
	Version     uint64         `json:"version"` // the latest word on it counts
	Org         string         `json:"org"`
	At          change.Time    `json:"at"`
	User        User           `json:"user"`
	Area        string         `json:"area"`
	Operation   string         `json:"operation"`
	TargetID    string         `json:"target_id"`
	Action      Action         `json:"action"`
	Object      Object         `json:"object"`
	ServiceID   string         `json:"service_id,omitempty"`
	PipelineID  string         `json:"pipeline_id,omitempty"`
	Description string         `json:"description"`
	Outcome     Outcome        `json:"outcome"`
}

// Use is one use of a key: a call that carried it.
type Use struct {
	ID     change.AuditID `json:"id"`
	Org    string         `json:"org"`
	At     change.Time    `json:"at"`
	KeyID  string         `json:"key_id"`
	Scopes []auth.Scope   `json:"scopes"`
	Method string         `json:"method"`
	Target string         `json:"target"`
	UserID string         `json:"user_id"`
}

// User is who did something.
type User struct {
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
	KeyID string `json:"key_id,omitempty"`
}

// System is the actor of what the program does by itself.
const System = "system"

// UserOf returns the user that a principal is. Those with the same address are
// the same user, whichever key they call with; a key without one is a user of
// its own.
func UserOf(p auth.Principal) User {
	u := User{ID: p.KeyID, Name: p.Name, Email: p.Mail, KeyID: p.KeyID}
	if p.Mail != "" {
		sum := sha256.Sum256([]byte(p.Org + "\x00" + strings.ToLower(p.Mail)))
		u.ID = "usr_" + hex.EncodeToString(sum[:12])
	}
	return u
}

func userFrom(ctx context.Context) User {
	p, ok := auth.PrincipalFrom(ctx)
	if !ok {
		return User{ID: System, Name: System}
	}
	return UserOf(p)
}

// errNothing says that a change is not worth an event.
var errNothing = errors.New("nothing to record")

// eventOf makes the event of a change. An update of which nothing would be told
// (when a key was last used, or the same values again) is errNothing.
func eventOf(ctx context.Context, c Change, now time.Time) (Event, error) {
	kind, ok := Of(c.Object.Kind)
	if !ok {
		kind = unregistered(c.Object.Kind)
	}
	op, ok := kind.operation(c.Operation)
	if how, meant := ctx.Value(asKey{}).(as); meant {
		if of, has := kind.operation(how.operation); has {
			op, ok = of, true
		}
		if c.Parents == nil {
			c.Parents = how.parents
		}
	}
	if !ok {
		return Event{}, fmt.Errorf("record %s of %s %s: there is no such operation", c.Operation, kind.Name, c.Object.ID)
	}
	before, err := fieldsOf(c.Old)
	if err != nil {
		return Event{}, fmt.Errorf("read %s %s before: %w", kind.Name, c.Object.ID, err)
	}
	after, err := fieldsOf(c.New)
	if err != nil {
		return Event{}, fmt.Errorf("read %s %s after: %w", kind.Name, c.Object.ID, err)
	}
	told := kind.diff(op.Action, before, after)
	if op.Action == Update && len(told) == 0 || slices.Contains(bookkeeping, c.Object.Kind) {
		return Event{}, errNothing
	}
	c.Object.Kind = kind.Name
	c.Object.Name = cmp.Or(c.Object.Name, nameOf(after), nameOf(before))
	e := Event{
		ID: change.NewAuditID(now), Org: c.Org, User: userFrom(ctx),
		Area: kind.Area, Operation: cmp.Or(op.Word, op.Name), TargetID: c.Object.ID, Action: op.Action,
		Object: c.Object, Description: kind.describe(op, c, told), Outcome: Done,
	}
	e.At = change.At(e.ID.Time())
	if kind.OfParent && len(c.Parents) > 0 {
		e.TargetID = c.Parents[0].ID
	}
	for _, o := range append([]Object{c.Object}, c.Parents...) {
		switch o.Kind {
		case "service":
			e.ServiceID = o.ID
		case "pipeline":
			e.PipelineID = o.ID
		}
	}
	return e, nil
}

// maxTarget bounds what is kept of a path, which the caller made up.
const maxTarget = 512

// Target is what the log of key uses shows of a call: its path, escaped as it
// came, below /api, without the query, which holds what people search for and
// is no name of a thing.
func Target(escapedPath string) string {
	target := path.Clean("/" + escapedPath)
	if below, ok := strings.CutPrefix(target, "/api/"); ok {
		target = "/" + below
	}
	return clip(strings.ToValidUTF8(target, "?"), maxTarget)
}

// NewUse returns the record of a call with a key.
func NewUse(p auth.Principal, method, escapedPath string, now time.Time) Use {
	id := change.NewAuditID(now)
	return Use{
		ID: id, Org: p.Org, At: change.At(id.Time()), KeyID: p.KeyID, Scopes: p.Scopes,
		Method: method, Target: Target(escapedPath), UserID: UserOf(p).ID,
	}
}

// fieldsOf returns an object's fields by their names in JSON.
func fieldsOf(v any) (map[string]json.RawMessage, error) {
	var text []byte
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []byte:
		text = v
	case json.RawMessage:
		text = v
	default:
		var err error
		if text, err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	if len(text) == 0 {
		return nil, nil
	}
	var fields map[string]json.RawMessage
	return fields, json.Unmarshal(text, &fields)
}

// nameOf returns what an object is called.
func nameOf(fields map[string]json.RawMessage) string {
	for _, field := range []string{"name", "title"} {
		var name string
		if json.Unmarshal(fields[field], &name) == nil && name != "" {
			return name
		}
	}
	return ""
}
