package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/problem"
)

// in returns whether a session's token is good now.
func in(r *Registry, token string) bool {
	_, err := r.CallerBySession(token)
	return err == nil
}

func TestSessions_LifeOfOne(t *testing.T) {
	r, _ := openBootstrapped(t)
	jane := Person{ID: "usr_1", Org: DefaultOrg, Name: "Jane", Email: "jane@acme.example", Role: auth.PowerUser}
	first, token, err := r.SignIn(t.Context(), jane, auth.Digest{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.CallerBySession(token)
	if err != nil || p.Org != DefaultOrg || p.KeyID != "usr_1" || p.SessionID != first.ID || !p.HasRole(auth.PowerUser) || !p.Allows(auth.SourcesAdmin) || p.Allows(auth.KeysAdmin) {
		t.Errorf("%+v %v", p, err)
	}
	if _, err := r.CallerByKey(token); err == nil {
		t.Error("a session's token was taken for a key")
	}
	if !r.StillIn(p) {
		t.Error("not in any more")
	}
	jane.Role = auth.Member
	_, second, err := r.SignIn(t.Context(), jane, auth.Digest{}, 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := r.CallerBySession(token); p.Role != auth.Member || p.Allows(auth.SourcesAdmin) {
		t.Errorf("the first session did not follow: %+v", p)
	}
	if err := r.SignOut(t.Context(), DefaultOrg, "usr_1", first.ID); err != nil {
		t.Fatal(err)
	}
	if in(r, token) || r.StillIn(p) || !in(r, second) {
		t.Error("signing out ended the wrong session, or none")
	}
	if err := r.SignOut(t.Context(), DefaultOrg, "usr_1", first.ID); err != nil {
		t.Errorf("signing out twice: %v", err)
	}
	if err := r.SignOut(t.Context(), DefaultOrg, "usr_nobody", "ses_x"); err != nil {
		t.Errorf("signing out nobody: %v", err)
	}

	// What is over does not work, and is forgotten; the person with the last.
	r.now = func() time.Time { return time.Now().Add(3 * time.Hour) }
	if in(r, second) {
		t.Error("a session that is over still works")
	}
	r.endSessions(t.Context())
	eventually(t, "the person is forgotten", func() bool { return len(r.view.Load().people.rows) == 0 })
	r.now = time.Now
	if _, token, err = r.SignIn(t.Context(), jane, auth.Digest{}, time.Hour); err != nil || !in(r, token) {
		t.Errorf("back again: %v", err)
	}
	before := r.view.Load().people.rows[place{DefaultOrg, "usr_1"}].revision
	r.endSessions(t.Context())
	if after := r.view.Load().people.rows[place{DefaultOrg, "usr_1"}].revision; after != before {
		t.Error("written although nothing had ended")
	}
}

func TestSessions_ByKeyAreAsGoodAsTheKey(t *testing.T) {
	r, b := openBootstrapped(t)
	k, secret, err := r.CreateKey(t.Context(), Key{Org: DefaultOrg, Name: "x", Scopes: []auth.Scope{auth.ChangesRead}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.CallerByKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := r.SignIn(t.Context(), Person{ID: k.ID, Org: DefaultOrg}, p.Shown, time.Hour)
	if err != nil || !in(r, token) {
		t.Fatal(err)
	}
	if _, _, err := r.RotateKey(t.Context(), DefaultOrg, k.ID, time.Hour, func(*Key) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if !in(r, token) || !r.StillIn(p) {
		t.Error("ended although the old form works")
	}
	r.now = func() time.Time { return time.Now().Add(61 * time.Minute) }
	if in(r, token) || r.StillIn(p) {
		t.Error("good although the form that was shown has ended")
	}
	if _, err := r.CallerByKey(b.APIKey.Reveal()); err != nil {
		t.Errorf("another key: %v", err)
	}
}

func TestSessions_AreBoundedAndNoneIsLost(t *testing.T) {
	r, _ := openBootstrapped(t)
	jane := Person{ID: "usr_1", Org: DefaultOrg, Role: auth.Member}
	var mu sync.Mutex
	var tokens []string
	var wg sync.WaitGroup
	for range tries { // at the same time, also to be the first
		wg.Go(func() {
			_, token, err := r.SignIn(t.Context(), jane, auth.Digest{}, time.Hour)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			tokens = append(tokens, token)
		})
	}
	wg.Wait()
	for i, token := range tokens {
		if !in(r, token) {
			t.Errorf("sign-in %d of several at the same time is lost", i)
		}
	}
	for i := range maxSessions {
		if _, _, err := r.SignIn(t.Context(), jane, auth.Digest{}, time.Hour); err != nil {
			t.Fatal(i, err)
		}
	}
	if n := len(r.view.Load().sessions); n != maxSessions {
		t.Errorf("%d sessions, want %d", n, maxSessions)
	}
	for _, token := range tokens {
		if in(r, token) {
			t.Error("the oldest did not give way")
		}
	}
}

func TestSignIn_RefusesWhatCannotBeKept(t *testing.T) {
	r, _ := openBootstrapped(t)
	f := func(p Person, field string) {
		t.Helper()
		_, _, err := r.SignIn(t.Context(), p, auth.Digest{}, time.Hour)
		if problem.From(err).Field != field || err == nil {
			t.Errorf("%+v: %v, want one about %q", p, err, field)
		}
	}
	for _, id := range []string{"", "jane", "src_1", "usr_", "usr_a.b", "usr_a>", "usr_*"} {
		f(Person{ID: id, Org: DefaultOrg}, "id")
	}
	f(Person{ID: "usr_1", Org: "nobody"}, "")
	f(Person{ID: "usr_1", Org: DefaultOrg, Role: "king"}, "role")
	f(Person{ID: "usr_1", Org: DefaultOrg, Name: "a\nb"}, "name")
	f(Person{ID: "usr_1", Org: DefaultOrg, Email: fmt.Sprintf("%300s", "x")}, "email")
}

func TestRotateKey_SaysWhatBecameOfTheOldForm(t *testing.T) {
	r, _ := openBootstrapped(t)
	k, first, err := r.CreateKey(t.Context(), Key{Org: DefaultOrg, Name: "x", Scopes: []auth.Scope{auth.ChangesRead}})
	if err != nil {
		t.Fatal(err)
	}
	free := func(*Key) error { return nil }
	_, second, err := r.RotateKey(t.Context(), DefaultOrg, k.ID, time.Hour, free)
	if err != nil {
		t.Fatal(err)
	}
	f := func(what, token, reason string) {
		t.Helper()
		_, err := r.KeyByToken(token)
		if reason == "" && err != nil || reason != "" && problem.From(err).Reason != reason {
			t.Errorf("%s: %v, want %q", what, err, reason)
		}
	}
	f("during the overlap", first, "")
	f("the new one", second, "")
	r.now = func() time.Time { return time.Now().Add(time.Hour) }
	f("after it", first, "key_rotated")
	f("the new one", second, "")
	r.now = time.Now
	stop := problem.New(problem.Forbidden, "no", "no")
	if _, _, err := r.RotateKey(t.Context(), DefaultOrg, k.ID, 0, func(*Key) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("who may not: %v", err)
	}
	f("the first, still", first, "")
	if _, err := r.UpdateKey(t.Context(), DefaultOrg, k.ID, func(k *Key) error {
		k.Hash, k.OldHash, k.Org, k.ID, k.Name = auth.Digest{}, auth.Digest{}, "evil", "key_other", "renamed"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f("after an update that touched what it must not", second, "")
	f("the old one too", first, "")
	if _, ok := r.Key("evil", k.ID); ok {
		t.Error("the key went to another org")
	}
}

// Who follows writes nothing of its own accord but the heartbeat.
func TestFollowing_LeavesWritingToOthers(t *testing.T) {
	kv, _ := startBucket(t)
	if _, err := open(t, kv).Bootstrap(t.Context(), BootstrapConfig{}); err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), kv, testLog(t), prometheus.NewRegistry(), Following())
	if err != nil {
		t.Fatal(err)
	}
	r.TouchKey(DefaultOrg, KeyPrefix+DefaultOrg)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if k, _ := open(t, kv).Key(DefaultOrg, KeyPrefix+DefaultOrg); !k.LastUsed.IsZero() {
		t.Error("it wrote when the key was used")
	}
}
