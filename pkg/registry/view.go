package registry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
)

// The kinds of objects, as their keys in the bucket begin: <kind>.<org>.<id>.
const (
	kindOrg     = "org"
	kindSource  = "source"
	kindKey     = "key"
	kindService = "service"
	kindPerson  = "person"
	kindUsage   = "usage"
)

// view is the registry at one revision. It never changes once published: each
// change of the bucket makes the next view.
type view struct {
	revision uint64
	next     chan struct{} // closed when a later view is published

	orgs     table[Org]
	sources  table[Source]
	keys     table[Key]
	services table[Service]
	people   table[Person]
	usages   table[Usage]

	tokens    map[auth.Digest]*Source
	open      map[auth.Digest]*Source // of tokens, those of sources that are not disabled
	mappings  map[place]*mapping      // of the sources that have their own
	keyHashes map[auth.Digest]*Key
	sessions  map[auth.Digest]signedIn
	matchers  map[string]*matcher // by org
}

// table holds the objects of one kind.
type table[T any] struct {
	rows  map[place]row[T]
	lists map[string][]*T // by org, oldest first
	stale bool            // rows changed: copy-on-write happened, lists are behind
}

type place struct{ org, id string }

type row[T any] struct {
	value    *T
	revision uint64
	raw      []byte // as it lies in the bucket: a later version may have put more into it
}

func newView() *view {
	v := &view{}
	v.freeze()
	return v
}

// entry is one key of the bucket at one revision.
type entry struct {
	key      string
	value    []byte // nil: deleted
	revision uint64
}

// with returns the view after entries, and those that could not be read. What
// cannot be read is left out: nobody gets in by a damaged record.
func (v *view) with(entries []entry) (*view, []error) {
	n := *v
	var damaged []error
	for _, e := range entries {
		n.revision = max(n.revision, e.revision)
		kind, org, id, ok := splitKey(e.key)
		if !ok {
			continue // the heartbeat, or a kind of a later version
		}
		var err error
		at := place{org, id}
		switch kind {
		case kindOrg:
			err = n.orgs.apply(at, e, func(o *Org) place { return place{o.ID, o.ID} })
		case kindSource:
			err = n.sources.apply(at, e, func(s *Source) place { return place{s.Org, s.ID} })
		case kindKey:
			err = n.keys.apply(at, e, func(k *Key) place { return place{k.Org, k.ID} })
		case kindService:
			err = n.services.apply(at, e, func(s *Service) place { return place{s.Org, s.ID} })
		case kindUsage:
			err = n.usages.apply(at, e, func(u *Usage) place { return place{u.Org, u.ID} })
		case kindPerson:
			err = n.people.apply(at, e, func(p *Person) place { return place{p.Org, p.ID} })
		}
		if err != nil {
			damaged = append(damaged, fmt.Errorf("%s at revision %d: %w", e.key, e.revision, err))
		}
	}
	n.freeze()
	return &n, damaged
}

// apply takes one entry into the table.
func (t *table[T]) apply(at place, e entry, placeOf func(*T) place) error {
	if !t.stale {
		t.rows, t.stale = maps.Clone(t.rows), true
		if t.rows == nil {
			t.rows = map[place]row[T]{}
		}
	}
	delete(t.rows, at)
	if e.value == nil {
		return nil
	}
	value := new(T)
	if err := json.Unmarshal(e.value, value); err != nil {
		return err
	}
	if placeOf(value) != at { // or one org's record could speak for another
		return fmt.Errorf("the record says it is %v", placeOf(value))
	}
	t.rows[at] = row[T]{value, e.revision, e.value}
	return nil
}

// freeze brings the indexes up to the rows and makes the view publishable.
func (v *view) freeze() {
	v.next = make(chan struct{})
	v.usages.freeze(func(u *Usage) (change.Time, string) { return u.MeasuredAt, u.ID })
	v.orgs.freeze(func(o *Org) (change.Time, string) { return o.CreatedAt, o.ID })
	if v.sources.freeze(func(s *Source) (change.Time, string) { return s.CreatedAt, s.ID }) {
		known := v.mappings
		v.tokens = make(map[auth.Digest]*Source, len(v.sources.rows))
		v.open = make(map[auth.Digest]*Source, len(v.sources.rows))
		v.mappings = map[place]*mapping{}
		for at, r := range v.sources.rows {
			if m := known[at]; m != nil && m.source == r.value {
				v.mappings[at] = m
			} else if len(r.value.Services) > 0 {
				v.mappings[at] = newMapping(r.value)
			}
			v.tokens[r.value.TokenHash] = r.value
			if !r.value.OldTokenHash.IsZero() {
				v.tokens[r.value.OldTokenHash] = r.value
			}
		}
		for hash, s := range v.tokens {
			if !s.Disabled {
				v.open[hash] = s
			}
		}
	}
	if v.keys.freeze(func(k *Key) (change.Time, string) { return k.CreatedAt, k.ID }) {
		v.keyHashes = make(map[auth.Digest]*Key, len(v.keys.rows))
		for _, r := range v.keys.rows {
			v.keyHashes[r.value.Hash] = r.value
			if !r.value.OldHash.IsZero() {
				v.keyHashes[r.value.OldHash] = r.value
			}
		}
	}
	if v.people.freeze(func(p *Person) (change.Time, string) { return change.Time{}, p.ID }) {
		v.sessions = make(map[auth.Digest]signedIn, len(v.people.rows))
		for _, r := range v.people.rows {
			for i := range r.value.Sessions {
				s := &r.value.Sessions[i]
				v.sessions[s.Hash] = signedIn{r.value, s}
			}
		}
	}
	if v.services.freeze(func(s *Service) (change.Time, string) { return s.CreatedAt, s.ID }) {
		v.matchers = make(map[string]*matcher, len(v.services.lists))
		for org, list := range v.services.lists {
			v.matchers[org] = newMatcher(list)
		}
	}
}

// freeze rebuilds the lists if the rows changed, and reports whether they did.
func (t *table[T]) freeze(order func(*T) (change.Time, string)) bool {
	if !t.stale {
		return false
	}
	t.stale = false
	t.lists = map[string][]*T{}
	for at, r := range t.rows {
		t.lists[at.org] = append(t.lists[at.org], r.value)
	}
	for _, list := range t.lists {
		slices.SortFunc(list, func(a, b *T) int {
			at, aid := order(a)
			bt, bid := order(b)
			return cmp.Or(at.Compare(bt.Time), cmp.Compare(aid, bid))
		})
	}
	return true
}

func (t *table[T]) get(org, id string) (*T, bool) {
	r, ok := t.rows[place{org, id}]
	return r.value, ok
}

func joinKey(kind, org, id string) string { return kind + "." + org + "." + id }

func splitKey(key string) (kind, org, id string, ok bool) {
	kind, rest, _ := strings.Cut(key, ".")
	org, id, ok = strings.Cut(rest, ".")
	return kind, org, id, ok
}
