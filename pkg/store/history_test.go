package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

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
	n := 0
	random := func(t *rapid.T, org string) change.Change {
		n++
		pick := func(label string, values ...string) string { return rapid.SampledFrom(values).Draw(t, label) }
		at := noon.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "minute")) * time.Minute)
		c := made(org, fmt.Sprint("random", n), at, nil)
		c.Type = change.Type(pick("type", "deployment", "deployment", "deployment", "rollback", "code"))
		c.Status = change.Status(pick("status", "", "started", "succeeded", "failed"))
		c.Action = pick("action", "", "deployment.inactive", "inactive", "deployed")
		c.ServiceID = pick("service", "", "svc_1")
		c.Repository = pick("repository", "", "acme/api", "acme/web")
		c.Resource.ID = pick("resource", "", "acme/api")
		c.Environment = pick("environment", "production", "")
		c.Version = pick("version", "", "v1.0", "1.1", "main", "2.0-rc.1", "v1.", "7", ".1")
		c.CommitSHA = pick("commit", "", "abcdef0123", "ABCDEF0", "abc", "0123456789")
		c.CorrelationID = pick("operation", "", "", "op_1", "op_2")
		return c
	}
	run := 0
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		run++
		org := fmt.Sprint("org", run)
		var all, asked []store.Deployment
		var results []change.Result
		for i := range rapid.IntRange(1, 12).Draw(t, "changes") {
			r := stored(org, noon.Add(time.Duration(i%3)*time.Millisecond), random(t, org))
			results = append(results, r)
			if d, ok := store.DeploymentOf(&r.Changes[0]); ok {
				all = append(all, d)
			}
		}
		if err := s.InsertChanges(ctx, []store.Batch{batch(results...)}); err != nil {
			t.Fatal(err)
		}
		asked = append(asked, all...)
		now := random(t, org)
		now.CreatedAt = change.At(noon)
		if d, ok := store.DeploymentOf(&now); ok {
			asked = append(asked, d)
		}
		got, err := s.Before(ctx, asked)
		if err != nil {
			t.Fatal(err)
		}
		for i := range asked {
			var want store.Past
			for j := range all {
				want.Consider(&asked[i], &all[j])
			}
			if want.Before != got[i].Before || !want.Last.OccurredAt.Equal(got[i].Last.OccurredAt.Time) || !want.Last.CreatedAt.Equal(got[i].Last.CreatedAt.Time) {
				t.Fatalf("past of %+v (-memory +store):\n%s", asked[i], cmp.Diff(want, got[i]))
			}
		}
	})
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
