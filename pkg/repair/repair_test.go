package repair_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/registry/registrytest"
	"whatchanged/pkg/repair"
	"whatchanged/pkg/repair/repairtest"
)

const token = "github_pat_of_a_test"

// arrived is a store that knows some identities.
type arrived map[string]bool

func (a arrived) Arrived(_ context.Context, _, _ string, identities []string) (map[string]bool, error) {
	out := map[string]bool{}
	for _, id := range identities {
		out[id] = a[id]
	}
	return out, nil
}

type bench struct {
	t      *testing.T
	sealer *auth.Sealer
	r      *repair.Repairer
	github *repairtest.GitHub
	src    *registry.Source
}

// start returns a repairer and a source whose hook is at this path of GitHub's API.
func start(t *testing.T, path string, got arrived) *bench {
	t.Helper()
	b := bustest.New(t)
	sealer, err := auth.OpenSealer(filepath.Join(t.TempDir(), "master.key"), "", false)
	if err != nil {
		t.Fatal(err)
	}
	reg, _ := registrytest.New(t, b.KV(bus.BucketRegistry))
	r, err := repair.New(repair.Deps{Registry: reg, Sealer: sealer, Store: got, Bus: b, Log: bustest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	g := repairtest.New(path, "hook secret")
	t.Cleanup(g.Close)
	g.Check = func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+token }
	s := &bench{t: t, sealer: sealer, r: r, github: g}
	s.src = &registry.Source{ID: "src_1", Org: "acme", GitHub: &registry.GitHub{Repository: "acme/shop", HookID: 7, BaseURL: g.URL}}
	s.secret(token)
	return s
}

func (b *bench) secret(text string) {
	b.t.Helper()
	if err := b.src.SetGitHubSecret(b.sealer, auth.Secret(text)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) repair(dryRun bool) repair.Report {
	b.t.Helper()
	report, err := b.r.Repair(b.t.Context(), b.src, time.Now().Add(-24*time.Hour), dryRun)
	if err != nil {
		b.t.Fatal(err)
	}
	return report
}

func guids(r repair.Report) []string {
	out := []string{}
	for _, m := range r.Missing {
		out = append(out, m.GUID)
	}
	return out
}

func TestRepair_AsksForWhatNeverArrivedAndNothingElse(t *testing.T) {
	got := arrived{}
	b := start(t, "/repos/acme/shop/hooks/7", got)
	b.github.PerPage = 3
	hour := time.Now().Add(-time.Hour)
	b.github.Happen("too-old", "push", "{}", time.Now().Add(-25*time.Hour))
	for i := range 8 {
		guid := fmt.Sprintf("guid-%d", i)
		b.github.Happen(guid, "push", "{}", hour.Add(time.Duration(i)*time.Second))
		got["github:"+guid] = i%3 != 0
	}
	got["github:guid-6"], got["incidents:github:guid-6"] = false, true // by the other URL
	b.github.Happen("too-young", "push", "{}", time.Now())

	want := []string{"guid-0", "guid-3"}
	dry := b.repair(true)
	if diff := cmp.Diff(want, guids(dry)); diff != "" || dry.Sent != 9 || dry.Pending != 1 || dry.Asked != 0 {
		t.Errorf("%+v (-want +got):\n%s", dry, diff)
	}
	if slices.ContainsFunc(b.github.Calls(), func(c string) bool { return strings.HasPrefix(c, "POST") }) {
		t.Error("a dry run asked for something")
	}
	b.github.Break(1) // GitHub stumbles once
	done := b.repair(false)
	if diff := cmp.Diff(want, guids(done)); diff != "" || done.Asked != 2 {
		t.Errorf("%+v (-want +got):\n%s", done, diff)
	}
	// They were sent again, and refused again: they get some time, and are not asked for each turn.
	if next := b.repair(false); next.Asked != 0 || next.Pending != 3 {
		t.Errorf("at once after it: %+v", next)
	}
}

func TestRepair_GivesUpWhatIsRefusedAgainAndAgain(t *testing.T) {
	b := start(t, "/orgs/acme/hooks/7", arrived{})
	b.src.GitHub.Repository, b.src.GitHub.Organization = "", "acme"
	for i := range 5 {
		b.github.Happen("refused", "push", "{}", time.Now().Add(-time.Hour+time.Duration(i)*time.Minute))
	}
	got := b.repair(false)
	if got.GivenUp != 1 || got.Asked != 0 || len(got.Missing) != 1 || got.Missing[0].Tries != 5 {
		t.Errorf("%+v", got)
	}
}

func TestRepair_StopsAtGitHubsLimit(t *testing.T) {
	b := start(t, "/repos/acme/shop/hooks/7", arrived{})
	for i := range 4 {
		b.github.Happen(fmt.Sprint("guid-", i), "push", "{}", time.Now().Add(-time.Hour))
	}
	b.github.Limit(3) // the list, and two
	got := b.repair(false)
	if got.Asked != 2 || !got.Truncated || got.RetryAt.Before(time.Now().Add(30*time.Minute)) {
		t.Errorf("%+v", got)
	}
}

func TestRepair_SaysWhatIsWrongWithoutTheToken(t *testing.T) {
	b := start(t, "/repos/acme/shop/hooks/7", arrived{})
	b.secret("another-token-of-a-test")
	_, err := b.r.Repair(t.Context(), b.src, time.Now().Add(-time.Hour), true)
	if problem.KindOf(err) != problem.Conflict || problem.From(err).Reason != "github_refuses" {
		t.Errorf("%v", err)
	}
	b.github.Close()
	_, err = b.r.Repair(t.Context(), b.src, time.Now().Add(-time.Hour), true)
	if problem.KindOf(err) != problem.Busy || strings.Contains(err.Error(), "another-token") {
		t.Errorf("%v", err)
	}
	b.src.GitHub = nil
	if _, err := b.r.Repair(t.Context(), b.src, time.Now(), true); problem.From(err).Reason != "no_github" {
		t.Errorf("%v", err)
	}
}

func TestRepair_SignsAsTheApp(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, "/app/hook", arrived{})
	b.github.Check = func(r *http.Request) bool {
		jwt := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		text, signature := jwt[:strings.LastIndex(jwt, ".")], jwt[strings.LastIndex(jwt, ".")+1:]
		raw, err := base64.RawURLEncoding.DecodeString(signature)
		sum := sha256.Sum256([]byte(text))
		claims, _ := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
		return err == nil && rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], raw) == nil && strings.Contains(string(claims), `"iss":"29310"`)
	}
	b.github.Happen("guid", "push", "{}", time.Now().Add(-time.Hour))
	for _, form := range []func() []byte{
		func() []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
		},
		func() []byte {
			der, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		},
	} {
		b.src.GitHub = &registry.GitHub{AppID: 29310, BaseURL: b.github.URL}
		b.secret(string(form()))
		if got := b.repair(true); len(got.Missing) != 1 {
			t.Errorf("%+v", got)
		}
	}
	b.src.GitHub = &registry.GitHub{AppID: 1}
	if err := b.src.SetGitHubSecret(b.sealer, "-----BEGIN nonsense"); problem.From(err).Field != "github" {
		t.Errorf("%v", err)
	}
}

func TestRepair_FollowsNoRedirectElsewhere(t *testing.T) {
	b := start(t, "/repos/acme/shop/hooks/7", arrived{})
	shown := false
	elsewhere := repairtest.New("/", "")
	elsewhere.Check = func(r *http.Request) bool { shown = true; return true }
	t.Cleanup(elsewhere.Close)
	redirect := http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect)
	b.github.Config.Handler = redirect
	if _, err := b.r.Repair(t.Context(), b.src, time.Now().Add(-time.Hour), true); err == nil || shown {
		t.Errorf("it went elsewhere: %v", err)
	}
}
