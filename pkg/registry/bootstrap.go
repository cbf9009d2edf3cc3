package registry

import (
	"context"
	"fmt"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// DefaultOrg is the org that the first start makes.
const DefaultOrg = "default"

// BootstrapConfig fixes what the first start would draw at random.
type BootstrapConfig struct {
	APIKey auth.Secret // empty: drawn
	Token  auth.Secret // of the source; empty: drawn
	// Keep stores the result where the user finds it, before the registry has
	// it: what cannot be shown again must not be lost to a crash. May be nil.
	Keep func(Bootstrap) error
}

// Bootstrap is what the first start made. It is shown once.
type Bootstrap struct {
	Org         string
	APIKey      auth.Secret
	SourceToken auth.Secret
}

// Bootstrap fills an empty registry with an org, one admin key and one source,
// and returns them. A registry that is not empty stays as it is: then the
// result is the zero Bootstrap.
func (r *Registry) Bootstrap(ctx context.Context, cfg BootstrapConfig) (Bootstrap, error) {
	if !r.Empty() {
		if cfg.APIKey != "" || cfg.Token != "" {
			r.log.Warn("bootstrap values have no effect: the registry is not empty")
		}
		return Bootstrap{}, nil
	}
	b := Bootstrap{Org: DefaultOrg, APIKey: cfg.APIKey, SourceToken: cfg.Token}
	if b.APIKey == "" {
		b.APIKey = auth.Secret(auth.NewToken(auth.KeyPrefix))
	}
	if b.SourceToken == "" {
		b.SourceToken = auth.Secret(auth.NewToken(auth.TokenPrefix))
	}
	if !auth.ValidKey(b.APIKey.Reveal()) {
		return Bootstrap{}, problem.Invalid("bootstrap_api_key", "16 to 256 printable characters without spaces")
	}
	if !auth.ValidToken(b.SourceToken.Reveal()) {
		return Bootstrap{}, problem.Invalid("bootstrap_token", "16 to 128 letters, digits, - or _")
	}
	if cfg.Keep != nil {
		if err := cfg.Keep(b); err != nil {
			return Bootstrap{}, fmt.Errorf("keep the bootstrap values: %w", err)
		}
	}
	now := change.At(r.now())
	key := Key{
		ID: KeyPrefix + DefaultOrg, Org: DefaultOrg, Name: "bootstrap", Hash: auth.Hash(b.APIKey.Reveal()),
		Scopes: []auth.Scope{auth.Admin}, Role: auth.SiteAdmin, CreatedAt: now,
	}
	source := Source{
		ID: sourcePrefix + DefaultOrg, Org: DefaultOrg, Name: "bootstrap", TokenHash: auth.Hash(b.SourceToken.Reveal()),
		Auth: AuthNone, CreatedAt: now,
	}
	// The org comes last: until it is there the registry counts as empty, and a
	// start after a crash does all this again, over what the crash left. Of several
	// that do it at the same time one gets past each step.
	v := r.view.Load()
	err := r.write(ctx, kindKey, DefaultOrg, key.ID, v.keys.rows[place{DefaultOrg, key.ID}].revision, key)
	if err == nil {
		err = r.write(ctx, kindSource, DefaultOrg, source.ID, v.sources.rows[place{DefaultOrg, source.ID}].revision, source)
	}
	if err == nil {
		err = r.create(ctx, kindOrg, DefaultOrg, DefaultOrg, Org{ID: DefaultOrg, Name: "Default", CreatedAt: now})
	}
	if problem.KindOf(err) == problem.Conflict && r.filled(ctx) {
		return Bootstrap{}, nil // services that were started together are given the same values: another was first
	}
	if err != nil {
		return Bootstrap{}, fmt.Errorf("fill the empty registry: %w", err)
	}
	return b, nil
}

// filled waits until somebody else has filled the registry, for as long as one
// who is about it may take.
func (r *Registry) filled(ctx context.Context) bool {
	wait := time.NewTimer(writeTimeout)
	defer wait.Stop()
	for {
		v := r.view.Load()
		if len(v.orgs.rows) > 0 {
			return true
		}
		select {
		case <-v.next:
		case <-wait.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}
