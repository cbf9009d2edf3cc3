package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// adviceRights is what to do about rights that are missing.
const adviceRights = "give it what `whatchanged nats permissions` prints"

// PermissionError says what the servers do not let this user do.
type PermissionError struct {
	User    string
	Missing []string // such as "publish deliveries.fresh"
}

func (e *PermissionError) Error() string {
	shown, more := e.Missing, ""
	if len(shown) > maxMissing {
		shown, more = shown[:maxMissing], fmt.Sprintf(" and %d more", len(e.Missing)-maxMissing)
	}
	return fmt.Sprintf("the servers' user %q may not %s%s: %s", e.User, strings.Join(shown, ", "), more, adviceRights)
}

const maxMissing = 5

// rights are what the servers say that this connection may do.
type rights struct {
	user               string
	publish, subscribe *limits // nil: everything
}

type limits struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

// allows reports whether all of a subject is allowed.
func (l *limits) allows(subject string) bool {
	within := func(wide string) bool { return covers(wide, subject) }
	return l == nil || (len(l.Allow) == 0 || slices.ContainsFunc(l.Allow, within)) && !slices.ContainsFunc(l.Deny, within)
}

// May reports whether this connection may publish on a subject. Where the
// servers do not say, it may.
func (b *Bus) May(subject string) bool { return b.rights == nil || b.rights.publish.allows(subject) }

// MayWrite reports whether this connection may write all of a bucket.
func (b *Bus) MayWrite(bucket string) bool { return b.May("$KV." + bucket + ".>") }

// learnRights asks the servers what this connection may do, and compares that
// with what it needs.
func (b *Bus) learnRights(ctx context.Context) error {
	if b.embedded != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	msg, err := b.nc.RequestWithContext(ctx, ownInfo, nil)
	if err != nil {
		var refused *PermissionError
		if err := b.permission(InboxPrefix(b.user), b.permission(ownInfo, err)); b.user != "" && errors.As(err, &refused) {
			return err // not even this: the rest would be refused one by one
		}
		b.log.Debug("servers do not say what this user may do", "error", err)
		return nil
	}
	var answer struct {
		Data struct {
			User        string `json:"user"`
			Permissions *struct {
				Publish   *limits `json:"publish"`
				Subscribe *limits `json:"subscribe"`
			} `json:"permissions"`
		} `json:"data"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return fmt.Errorf("read what this user may do: %w", err)
	}
	b.rights = &rights{user: answer.Data.User}
	if p := answer.Data.Permissions; p != nil {
		b.rights.publish, b.rights.subscribe = p.Publish, p.Subscribe
	}
	return b.checkRights()
}

// checkRights names everything at once that this process will need and may not do.
func (b *Bus) checkRights() error {
	needed, ok := PermissionsOf(b.user)
	if !ok {
		return nil
	}
	e := &PermissionError{User: b.rights.user}
	for _, subject := range needed.Publish {
		if !b.rights.publish.allows(subject) {
			e.Missing = append(e.Missing, "publish "+subject)
		}
	}
	for _, subject := range needed.Subscribe {
		if !b.rights.subscribe.allows(subject) {
			e.Missing = append(e.Missing, "subscribe "+subject)
		}
	}
	if len(e.Missing) == 0 {
		return nil
	}
	return e
}

// denials remembers what the servers refused: they say so beside the request,
// which itself has no answer.
type denials struct {
	mu       sync.Mutex
	subjects map[string]string // what was refused on it: publish or subscribe
	log      seldom
}

const maxDenials = 1000 // subjects; each is a fault of the set-up

// refused takes note of a permission violation.
func (b *Bus) refused(err error) {
	b.metrics.denied.Inc()
	if _, rest, ok := strings.Cut(err.Error(), `"`); ok {
		subject, _, _ := strings.Cut(rest, `"`)
		what := "publish"
		if strings.Contains(err.Error(), "Subscription") {
			what = "subscribe"
		}
		b.denied.mu.Lock()
		if b.denied.subjects == nil {
			b.denied.subjects = map[string]string{}
		}
		if len(b.denied.subjects) < maxDenials {
			b.denied.subjects[subject] = what
		}
		b.denied.mu.Unlock()
	}
	b.denied.log.warn(b.log, "the servers refuse something to this user", "error", err, "do", adviceRights)
}

// permission returns why a request on a subject had no answer, if the servers
// have refused it; else err.
func (b *Bus) permission(subject string, err error) error {
	user := b.user
	if b.rights != nil {
		user = b.rights.user
	}
	b.denied.mu.Lock()
	defer b.denied.mu.Unlock()
	for denied, what := range b.denied.subjects {
		if denied == subject || strings.HasPrefix(denied, subject+".") {
			return &PermissionError{User: user, Missing: []string{what + " " + denied}}
		}
	}
	return err
}
