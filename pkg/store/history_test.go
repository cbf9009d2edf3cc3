package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

// deployed returns a deployment of acme/api to production.
func deployed(key, version, commit string, at time.Time, edit func(*change.Change)) change.Change {
	return made("acme", key, at, func(c *change.Change) {
		c.Repository, c.Environment, c.Version, c.CommitSHA = "acme/api", "production", version, commit
		if edit != nil {
			edit(c)
		}
	})
}

func deployment(t interface{ Fatalf(string, ...any) }, c change.Change) store.Deployment {
	d, ok := store.DeploymentOf(&c)
	if !ok {
		t.Fatalf("no deployment: %+v", c)
	}
	return d
}

func TestBefore_TellsWhatAnOlderVersionReplaces(t *testing.T) {
	s := storetest.New(t)
	after := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	insert(t, s, batch(stored("acme", noon,
		deployed("1", "v1.0", "", after(0), nil),
		deployed("2", "v1.1", "", after(1), func(c *change.Change) { c.Type = change.Rollback }),
		deployed("3", "v9.9", "", after(2), func(c *change.Change) { c.Status = change.Failed }),
		deployed("4", "v9.9", "", after(2), func(c *change.Change) { c.Action = "deployment.inactive" }),
		deployed("5", "v9.9", "", after(2), func(c *change.Change) { c.Environment = "staging" }),
		deployed("6", "v9.9", "", after(2), func(c *change.Change) { c.Type = change.Code }),
		deployed("7", "v0.9", "", after(-60*24*100), nil), // longer ago than what is compared
	), stored("other", noon, made("other", "8", after(2), func(c *change.Change) {
		c.Repository, c.Environment, c.Version = "acme/api", "production", "v9.9"
	}))))
	f := func(version, want string, edit func(*change.Change)) {
		t.Helper()
		d := deployment(t, deployed("now", version, "", after(5), edit))
		pasts, err := s.Before(t.Context(), []store.Deployment{d})
		if err != nil {
			t.Fatal(err)
		}
		from, _ := pasts[0].RolledBack(&d)
		if from != want {
			t.Errorf("%s: rolled back from %q, want %q (%+v)", version, from, want, pasts[0])
		}
	}
	f("v1.0", "v1.1", nil)
	f("v1.1", "", nil)
	f("v1.2", "", nil)
	f("v9.9", "", nil)
	f("v0.9", "", nil)
	f("v1.0", "", func(c *change.Change) { c.Environment = "staging" })
	f("v1.0", "", func(c *change.Change) { c.ServiceID = "svc_1" })
	f("v1.0", "", func(c *change.Change) { c.OccurredAt = change.At(after(1)) })
}

// The store and the memory of a process decide alike, whatever there is.
func TestBefore_AgreesWithTheSameInMemory(t *testing.T) {
	s := storetest.New(t)
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(values ...string) string { return values[random.IntN(len(values))] }
	byOrg := map[string][]store.Deployment{}
	var all []store.Deployment
	var results []change.Result
	for i := range 3000 {
		org := fmt.Sprint("org", random.IntN(300)) // some ten changes each
		c := made(org, fmt.Sprint(i), noon.Add(time.Duration(random.IntN(11))*time.Minute), nil)
		c.Type = change.Type(pick("deployment", "deployment", "deployment", "rollback", "code"))
		c.Status = change.Status(pick("", "started", "succeeded", "failed"))
		c.Action = pick("", "deployment.inactive", "inactive", "deployed")
		c.ServiceID = pick("", "svc_1")
		c.Repository = pick("", "acme/api", "acme/web")
		c.Resource.ID = pick("", "acme/api")
		c.Environment = pick("production", "")
		c.Version = pick("", "v1.0", "1.1", "main", "2.0-rc.1", "v1.", "7", ".1")
		c.CommitSHA = pick("", "abcdef0123", "ABCDEF0", "abc", "0123456789")
		c.CorrelationID = pick("", "", "op_1", "op_2")
		r := stored(org, noon.Add(time.Duration(i%3)*time.Millisecond), c)
		results = append(results, r)
		if d, ok := store.DeploymentOf(&r.Changes[0]); ok {
			all, byOrg[org] = append(all, d), append(byOrg[org], d)
		}
	}
	if err := s.InsertChanges(t.Context(), []store.Batch{batch(results...)}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Before(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	before := 0
	for i := range all {
		var want store.Past
		for j := range byOrg[all[i].Org] {
			want.Consider(&all[i], &byOrg[all[i].Org][j])
		}
		if want.Before != got[i].Before || !want.Last.OccurredAt.Equal(got[i].Last.OccurredAt.Time) || !want.Last.CreatedAt.Equal(got[i].Last.CreatedAt.Time) {
			t.Fatalf("past of %+v (-memory +store):\n%s", all[i], cmp.Diff(want, got[i]))
		}
		if want.Before {
			before++
		}
	}
	if before < 20 {
		t.Errorf("only %d of %d were deployed before: the test says little", before, len(all))
	}
}

func TestDeploymentOf_LeavesOutWhatCannotBeCompared(t *testing.T) {
	f := func(want bool, edit func(*change.Change)) {
		t.Helper()
		c := deployed("k", "v1.0", "", noon, edit)
		if _, ok := store.DeploymentOf(&c); ok != want {
			t.Errorf("%+v: %v, want %v", c, ok, want)
		}
	}
	f(true, nil)
	f(true, func(c *change.Change) { c.Repository, c.Resource.ID = "", "web" })
	f(true, func(c *change.Change) { c.Status, c.Action = change.Started, "deployment.waiting" })
	f(false, func(c *change.Change) { c.Repository = "" })
	f(false, func(c *change.Change) { c.Version = "" })
	f(false, func(c *change.Change) { c.Type = change.Infrastructure })
	f(false, func(c *change.Change) { c.Status = change.Cancelled })
	f(false, func(c *change.Change) { c.Action = "deployment.inactive" })
	f(false, func(c *change.Change) { c.Version = fmt.Sprintf("%0600d", 1) })
}

func TestRolledBack_NamesWhatWasThere(t *testing.T) {
	f := func(version, commit, lastVersion, lastCommit, want string) {
		t.Helper()
		d := deployment(t, deployed("k", version, commit, noon, nil))
		p := store.Past{Before: true, Last: store.Deployment{Version: lastVersion, Commit: lastCommit, OccurredAt: change.At(noon)}}
		if from, ok := p.RolledBack(&d); from != want || ok != (want != "") {
			t.Errorf("%s %s after %s %s: %q, %v, want %q", version, commit, lastVersion, lastCommit, from, ok, want)
		}
	}
	f("v1.0", "", "v1.1", "", "v1.1")
	f("v1.0", "", "v1.0", "", "")
	f("v1.0", "aaaaaaa", "v1.0", "bbbbbbb", "") // one release, built again
	f("main", "aaaaaaa", "main", "bbbbbbb", "bbbbbbb")
	f("main", "aaaaaaa", "main", "aaaaaaa0123", "")
	f("main", "", "next", "", "next")
	f("v1.0", "", "", "bbbbbbb", "") // nothing in common to compare
}
