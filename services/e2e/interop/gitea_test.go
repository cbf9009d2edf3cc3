//go:build interop

package interop_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/client"
)

const secret = "0123456789abcdef0123456789abcdef"

// A real Gitea tells of real pushes, a pull request, a release and a deleted
// branch: each is one change, well named, however often it is sent.
func TestGitea_SignedWebhooksBecomeChanges(t *testing.T) {
	ctx := t.Context()
	ours := startWhatchanged(t)
	source, err := ours.api.CreateSource(ctx, client.NewSource{Name: "Gitea", Provider: "gitea", Auth: "hmac", Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	wire := tap(t, ours.url)
	forge := startGitea(t)

	forge.post("/user/repos", `{"name": "shop", "private": true, "default_branch": "main"}`, http.StatusCreated)
	hook := forge.hook(wire.through(t, source.WebhookURL), secret)

	repo := forge.clone(t, "shop")
	repo.commit("pool.go", "size = 10\n", "First")
	repo.git("push", "-q", "origin", "main")
	wire.settles(t, 2) // create and push
	repo.commit("pool.go", "size = 20\n", "Raise the size")
	repo.git("push", "-q", "origin", "main")
	wire.settles(t, 1)
	repo.git("checkout", "-q", "-b", "pool")
	repo.commit("db/migrate/1_pool.sql", "alter table pool;\n", "Remember the size")
	repo.git("push", "-q", "origin", "pool")
	wire.settles(t, 2)
	forge.post("/repos/mona/shop/pulls", `{"head": "pool", "base": "main", "title": "Remember the pool's size"}`, http.StatusCreated)
	wire.settles(t, 1)
	forge.merge("/repos/mona/shop/pulls/1/merge", `{"Do": "merge"}`)
	merged := wire.settles(t, 2) // the pull request and the push that merges it
	forge.post("/repos/mona/shop/releases", `{"tag_name": "v1.0.0", "target_commitish": "main", "name": "1.0.0", "body": "The first."}`, http.StatusCreated)
	wire.settles(t, 3) // the release, its tag, and the push of it
	forge.do(http.MethodDelete, "/repos/mona/shop/branches/pool", "", http.StatusNoContent)
	wire.settles(t, 1)

	want := []string{
		"code branch.created: mona created branch main in mona/shop",
		"code push: mona pushed 1 commit to the new branch main in mona/shop: First",
		"code push: mona pushed 1 commit to main in mona/shop: Raise the size",
		"code branch.created: mona created branch pool in mona/shop",
		"database_migration push: mona pushed 1 commit to the new branch pool in mona/shop: Remember the size",
		"code pull_request.opened: mona opened #1 'Remember the pool's size' in mona/shop",
		"code pull_request.merged: mona merged #1 'Remember the pool's size' into main in mona/shop",
		"database_migration push: mona pushed 2 commits to main in mona/shop: Merge pull request 'Remember the pool's size' (#1) from pool into main",
		"deployment release.published: mona published release v1.0.0 in mona/shop",
		"code tag.created: mona created tag v1.0.0 in mona/shop",
		"code tag.pushed: mona pushed tag v1.0.0 in mona/shop",
		"code branch.deleted: mona deleted branch pool in mona/shop",
	}
	slices.Sort(want)
	ours.eventually(t, want)
	for _, d := range ours.deliveries(t, "stored") {
		if d.Provider != "gitea" || d.DetectedBy != "header:X-Gitea-Event" || !strings.HasPrefix(d.Identity, "gitea-signature:") {
			t.Errorf("a delivery came as %s by %s with the identity %q", d.Provider, d.DetectedBy, d.Identity)
		}
	}

	t.Run("sent again by hand", func(t *testing.T) {
		forge.redeliver(t, "/mona/shop/settings/hooks", hook, merged[0].Get("X-Gitea-Delivery"))
		again := wire.settles(t, 1)
		if again[0].Get("X-Gitea-Delivery") == merged[0].Get("X-Gitea-Delivery") {
			t.Error("Gitea has kept the delivery's id; what was said of it is no longer so")
		}
		ours.delivered(t, "duplicate", 1)
		ours.eventually(t, want)
	})
	t.Run("the test of a webhook", func(t *testing.T) {
		forge.do(http.MethodPost, "/repos/mona/shop/hooks/"+hook+"/tests", "", http.StatusNoContent)
		wire.settles(t, 1)
		ours.delivered(t, "ignored", 1)
		ours.eventually(t, want)
	})
	t.Run("with a wrong secret", func(t *testing.T) {
		forge.do(http.MethodDelete, "/repos/mona/shop/hooks/"+hook, "", http.StatusNoContent)
		forge.hook(wire.through(t, source.WebhookURL), "another secret of good length, and wrong")
		repo.git("checkout", "-q", "main")
		repo.git("pull", "-q", "origin", "main")
		repo.commit("pool.go", "size = 30\n", "Nobody hears of this")
		repo.git("push", "-q", "origin", "main")
		wire.refuses(t, http.StatusUnauthorized)
		ours.eventually(t, want)
	})
}

// recorder stands between Gitea and us, and remembers what was sent and how it
// was answered.
type recorder struct {
	url string

	mu      sync.Mutex
	seen    int
	headers []http.Header
	answers []int
}

// tap starts a recorder in front of a server.
func tap(t *testing.T, upstream string) *recorder {
	t.Helper()
	to, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) },
		ModifyResponse: func(res *http.Response) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.headers = append(r.headers, res.Request.Header.Clone())
			r.answers = append(r.answers, res.StatusCode)
			return nil
		},
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// through returns a webhook's URL by way of the recorder.
func (r *recorder) through(t *testing.T, webhook string) string {
	t.Helper()
	u, err := url.Parse(webhook)
	if err != nil {
		t.Fatal(err)
	}
	return r.url + u.Path
}

// settles waits for n more deliveries, checks that all were taken, and returns
// their headers.
func (r *recorder) settles(t *testing.T, n int) []http.Header {
	t.Helper()
	headers, answers := r.next(t, n)
	for i, status := range answers {
		if status != http.StatusOK {
			t.Fatalf("%s was answered %d", headers[i].Get("X-Gitea-Event"), status)
		}
	}
	return headers
}

// refuses waits for one more delivery and checks how it was answered.
func (r *recorder) refuses(t *testing.T, want int) {
	t.Helper()
	if _, answers := r.next(t, 1); answers[0] != want {
		t.Errorf("the delivery was answered %d, want %d", answers[0], want)
	}
}

func (r *recorder) next(t *testing.T, n int) ([]http.Header, []int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		r.mu.Lock()
		from, got := r.seen, len(r.answers)
		if got >= from+n {
			r.seen = from + n
			headers, answers := r.headers[from:r.seen], r.answers[from:r.seen]
			r.mu.Unlock()
			return headers, answers
		}
		var events []string
		for _, h := range r.headers[from:] {
			events = append(events, h.Get("X-Gitea-Event-Type"))
		}
		r.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %d deliveries and saw %v", patience, n, events)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// eventually waits until the changes are these and no others.
func (w *whatchanged) eventually(t *testing.T, want []string) {
	t.Helper()
	diff := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(100 * time.Millisecond) {
		if diff = cmp.Diff(want, w.changes(t)); diff == "" {
			return
		}
	}
	t.Fatalf("the changes (-want +got)\n%s", diff)
}

func (w *whatchanged) changes(t *testing.T) []string {
	t.Helper()
	page, err := w.api.Changes(t.Context(), client.ChangeFilter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, c := range page.Data {
		if c.Source != "gitea" || c.Repository != "mona/shop" || c.ChangedBy != "mona" {
			t.Errorf("%s by %s in %s from %s", c.Action, c.ChangedBy, c.Repository, c.Source)
		}
		got = append(got, string(c.Type)+" "+c.Action+": "+c.Summary)
	}
	slices.Sort(got)
	return got
}

func (w *whatchanged) deliveries(t *testing.T, outcome string) []client.Delivery {
	t.Helper()
	page, err := w.api.Deliveries(t.Context(), client.DeliveryFilter{Outcome: outcome, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return page.Data
}

// delivered waits for so many deliveries of an outcome.
func (w *whatchanged) delivered(t *testing.T, outcome string, want int) {
	t.Helper()
	got := 0
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(100 * time.Millisecond) {
		if got = len(w.deliveries(t, outcome)); got == want {
			return
		}
	}
	t.Fatalf("%d deliveries are %s, want %d", got, outcome, want)
}
