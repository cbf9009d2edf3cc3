package registry

import (
	"context"
	"maps"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// CallerByKey returns who calls with an API key. An error is KeyByToken's.
func (r *Registry) CallerByKey(token string) (auth.Principal, error) {
	hash := auth.Hash(token)
	k, err := r.keyByHash(hash)
	if err != nil {
		return auth.Principal{}, err
	}
	p := k.Principal()
	p.Shown = hash
	return p, nil
}

// KeyByToken returns the API key that a caller shows. An error is of kind
// Unauthenticated, and says why: whoever has a key's secret may know what
// became of it.
func (r *Registry) KeyByToken(token string) (*Key, error) {
	return r.keyByHash(auth.Hash(token))
}

func (r *Registry) keyByHash(hash auth.Digest) (*Key, error) {
	now := r.now()
	k := r.view.Load().keyHashes[hash]
	switch {
	case k == nil:
		return nil, problem.New(problem.Unauthenticated, "unauthenticated", "the API key is unknown or deleted")
	case k.expired(now):
		return nil, problem.New(problem.Unauthenticated, "key_expired",
			"the API key "+k.ID+" expired at "+k.ExpiresAt.String()+"; ask for another, or for a later expires_at")
	case k.Hash != hash && !now.Before(k.OldUntil.Time):
		return nil, problem.New(problem.Unauthenticated, "key_rotated",
			"the API key "+k.ID+" was rotated, and this, its old form, ended at "+k.OldUntil.String()+"; use the new one")
	}
	return k, nil
}

// CreateKey adds a key with a fresh secret, and returns both. The secret
// cannot be read again.
func (r *Registry) CreateKey(ctx context.Context, k Key) (Key, string, error) {
	secret := auth.NewToken(auth.KeyPrefix)
	created, err := r.ImportKey(ctx, k, secret)
	return created, secret, err
}

// ImportKey adds a key whose secret is in use already, perhaps with another
// product.
func (r *Registry) ImportKey(ctx context.Context, k Key, secret string) (Key, error) {
	if !auth.ValidKey(secret) {
		return Key{}, problem.Invalid("key", "16 to 256 printable characters without spaces")
	}
	k.ID, k.Hash = newID(KeyPrefix), auth.Hash(secret)
	k.CreatedAt, k.LastUsed = change.At(r.now()), change.Time{}
	k.RotatedAt, k.OldHash, k.OldUntil = change.Time{}, auth.Digest{}, change.Time{}
	k.normalize()
	if err := firstFault(r.checkOrg(k.Org), k.validate()); err != nil {
		return Key{}, err
	}
	if k.expired(r.now()) {
		return Key{}, problem.Invalid("expires_at", "lies in the past")
	}
	if _, taken := r.view.Load().keyHashes[k.Hash]; taken {
		return Key{}, problem.New(problem.Conflict, "key_taken", "choose another key")
	}
	return k, r.create(ctx, kindKey, k.Org, k.ID, k)
}

// UpdateKey changes a key: edit gets a copy, may be called several times and
// must not touch ID, Org or what belongs to its secret.
func (r *Registry) UpdateKey(ctx context.Context, org, id string, edit func(*Key) error) (Key, error) {
	return update(ctx, r, kindKey, org, id, keysOf, func(k *Key) error {
		kept := *k
		if err := edit(k); err != nil {
			return err
		}
		k.ID, k.Org, k.Hash, k.CreatedAt, k.LastUsed = kept.ID, kept.Org, kept.Hash, kept.CreatedAt, kept.LastUsed
		k.RotatedAt, k.OldHash, k.OldUntil = kept.RotatedAt, kept.OldHash, kept.OldUntil
		k.normalize()
		if err := k.validate(); err != nil {
			return err
		}
		if k.ExpiresAt != kept.ExpiresAt && k.expired(r.now()) {
			return problem.Invalid("expires_at", "lies in the past; to end a key now, delete it")
		}
		return nil
	})
}

// RotateKey gives a key a fresh secret, and returns both. The old one works
// for overlap longer; zero ends it at once. The one before that ends now. May
// is asked about the key as it is when it is rotated.
func (r *Registry) RotateKey(ctx context.Context, org, id string, overlap time.Duration, may func(*Key) error) (Key, string, error) {
	secret := auth.NewToken(auth.KeyPrefix)
	k, err := update(ctx, r, kindKey, org, id, keysOf, func(k *Key) error {
		if err := may(k); err != nil {
			return err
		}
		now := r.now()
		k.OldHash, k.OldUntil = k.Hash, change.At(now.Add(overlap))
		k.Hash, k.RotatedAt = auth.Hash(secret), change.At(now)
		return nil
	})
	return k, secret, err
}

// DeleteKey removes a key; it stops working everywhere within a second, and
// here before this returns.
func (r *Registry) DeleteKey(ctx context.Context, org, id string) error {
	return remove(ctx, r, kindKey, org, id, keysOf)
}

// TouchKey notes that a key was just used. It costs a map entry; what was
// noted is written once a minute.
func (r *Registry) TouchKey(org, id string) {
	now := change.At(r.now())
	r.usesMu.Lock()
	r.uses[place{org, id}] = now
	r.usesMu.Unlock()
}

// writeUses writes the uses that TouchKey noted. What fails waits for the next
// time, unless the key is gone.
func (r *Registry) writeUses(ctx context.Context) {
	r.usesMu.Lock()
	uses := maps.Clone(r.uses)
	clear(r.uses)
	r.usesMu.Unlock()
	for at, used := range uses {
		_, err := update(ctx, r, kindKey, at.org, at.id, keysOf, func(k *Key) error {
			k.LastUsed = used
			return nil
		})
		if err == nil || problem.KindOf(err) == problem.NotFound {
			continue
		}
		r.usesMu.Lock()
		if r.uses[at].Before(used.Time) {
			r.uses[at] = used
		}
		r.usesMu.Unlock()
	}
}
