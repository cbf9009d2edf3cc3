package store_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"whatchanged/pkg/change"
	"whatchanged/pkg/glob"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

func pick[T any](from []T, n int) T { return from[n%len(from)] }

// sample makes n changes of two orgs over a year, some in the same millisecond.
func sample(n int) []change.Change {
	var all []change.Change
	for i := range n {
		at := noon.AddDate(0, 0, -(i*i)%366).Add(-time.Duration(i%7) * time.Millisecond)
		all = append(all, made(pick([]string{"acme", "other"}, i/2), fmt.Sprint(i), at, func(c *change.Change) {
			c.ServiceID = pick([]string{"", "svc_1", "svc_2"}, i)
			c.Type = pick(change.Types(), i/3)
			c.Source = pick([]string{"github", "gitlab", "GitHub"}, i/5)
			c.Environment = pick([]string{"production", "staging", ""}, i/7)
			c.Risk = pick(change.Risks(), i/11)
			c.Status = pick(append(change.Statuses(), ""), i/13)
			c.ChangedBy = pick([]string{"mona", "hubot@example.com", ""}, i/2)
			c.Actor = change.Actor{Name: pick([]string{"mona", "Mona L."}, i/3), ID: pick([]string{"7", "8", ""}, i)}
			c.Repository = pick([]string{"acme/api", "acme/web"}, i/4)
			c.Tags = pick([][]string{nil, {"team:a"}, {"team:a", "tier:1"}}, i)
			c.Action = pick([]string{"push", "deployment.succeeded", "deployment_failed"}, i)
			c.SessionID, c.CorrelationID = pick([]string{"", "ses-1"}, i/2), pick([]string{"op-1", "op-2", ""}, i/3)
			c.ExternalID, c.Provenance.Provider = pick([]string{"41", "42"}, i/5), pick([]string{"github", "aws"}, i/2)
			c.Account, c.Region = pick([]string{"1234", ""}, i/3), pick([]string{"eu-west-1", "us-east-1"}, i/4)
			c.Branch, c.Version = pick([]string{"main", "next"}, i/2), pick([]string{"v1", "v2", ""}, i/6)
			c.CommitSHA = pick([]string{"abc1234def", "abc1999", ""}, i/2)
			c.Resource = change.Resource{ID: pick([]string{"api-gateway", "db"}, i), Name: pick([]string{"db", ""}, i/3)}
			c.Summary = pick([]string{"Deploy api-gateway v2", "deploy WEB", "Ünïcode größer", "scale web_tier to 3"}, i) + fmt.Sprint(" #", i)
		}))
	}
	return all
}

// match is what the filter must do, said once more without a database.
func match(c change.Change, f store.ChangeFilter) bool {
	eq := func(want, got string) bool { return want == "" || want == got }
	words := func(s string) []string {
		return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
			return r < 128 && !unicode.IsLetter(r) && !unicode.IsDigit(r)
		})
	}
	for _, word := range words(f.Q) {
		if !slices.Contains(words(c.Summary), word) {
			return false
		}
	}
	return c.Org == f.Org && eq(f.ServiceID, c.ServiceID) && in(f.Types, c.Type) && eq(f.Source, c.Source) &&
		eq(f.Environment, c.Environment) && eq(f.Repository, c.Repository) && in(f.Risks, c.Risk) && in(f.Statuses, c.Status) &&
		(f.Action == "" || glob.Match(f.Action, c.Action)) && eq(f.ActorID, c.Actor.ID) && eq(f.SessionID, c.SessionID) &&
		eq(f.CorrelationID, c.CorrelationID) && eq(f.ExternalID, c.ExternalID) && eq(f.Provider, c.Provenance.Provider) &&
		eq(f.Account, c.Account) && eq(f.Region, c.Region) && eq(f.Branch, c.Branch) && eq(f.Version, c.Version) &&
		strings.HasPrefix(c.CommitSHA, f.CommitSHA) &&
		(f.Actor == "" || slices.Contains([]string{c.ChangedBy, c.Actor.Name, c.Actor.ID}, f.Actor)) &&
		(f.ResourceID == "" || f.ResourceID == c.Resource.ID || f.ResourceID == c.Resource.Name) &&
		(f.Tag == "" || slices.Contains(c.Tags, f.Tag)) &&
		(f.DeliveryID.IsZero() || f.DeliveryID == c.Provenance.DeliveryID) &&
		(f.Start.IsZero() || !c.OccurredAt.Before(f.Start)) && (f.End.IsZero() || c.OccurredAt.Before(f.End)) &&
		(f.AsOf.IsZero() || !c.CreatedAt.After(change.At(f.AsOf).Time))
}

// in reports whether got is one of want, or nothing is asked for.
func in[T comparable](want []T, got T) bool { return len(want) == 0 || slices.Contains(want, got) }

func newestFirst(a, b change.Change) int {
	return cmp.Or(b.OccurredAt.Compare(a.OccurredAt.Time), slices.Compare(b.ID[:], a.ID[:]))
}

func TestFindChanges_AgreesWithAFilterInMemory(t *testing.T) {
	s := storetest.New(t)
	const n = 400
	var all []change.Change
	for i, c := range sample(n)[:40] { // each with a delivery of its own
		r := stored(c.Org, noon.Add(time.Duration(i)*time.Minute), c)
		insert(t, s, batch(r))
		all = append(all, r.Changes...)
	}
	for org, changes := range byOrg(sample(n)[40:]) {
		r := stored(org, noon.Add(n*time.Minute), changes...)
		insert(t, s, batch(r))
		all = append(all, r.Changes...)
	}
	slices.SortFunc(all, newestFirst)
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		sometimes := func(label string, values ...string) string {
			if rapid.IntRange(0, 4).Draw(t, label+"?") > 0 {
				return ""
			}
			return rapid.SampledFrom(values).Draw(t, label)
		}
		seldom := func(label string, values ...string) string {
			if rapid.IntRange(0, 19).Draw(t, label+"?") > 0 {
				return ""
			}
			return rapid.SampledFrom(values).Draw(t, label)
		}
		at := func(label string) time.Time {
			if rapid.Bool().Draw(t, label+"?") {
				return time.Time{}
			}
			c := rapid.SampledFrom(all).Draw(t, label)
			return c.OccurredAt.Add(time.Duration(rapid.IntRange(-1500, 1500).Draw(t, label+" µs")) * time.Microsecond)
		}
		f := store.ChangeFilter{
			Org:         rapid.SampledFrom([]string{"acme", "other", "none"}).Draw(t, "org"),
			ServiceID:   sometimes("service", "svc_1", "svc_2"),
			Types:       several[change.Type](sometimes("types", "code", "deployment", "code,deployment,scaling")),
			Source:      sometimes("source", "github", "gitlab"),
			Environment: sometimes("environment", "production", "staging"),
			Actor:       sometimes("actor", "mona", "7", "Mona L."),
			Repository:  sometimes("repository", "acme/api"),
			Risks:       several[change.Risk](sometimes("risks", "low", "high,critical")),
			Statuses:    several[change.Status](sometimes("statuses", "failed", "failed,succeeded")),
			Tag:         sometimes("tag", "team:a", "tier:1", "team"),
			Action:      sometimes("action", "push", "pus", "pus*", "deployment.*", "deployment_*", "*ed", "*"),
			ResourceID:  sometimes("resource", "db", "api-gateway"),
			ActorID:     seldom("actor id", "7", "mona"),
			SessionID:   seldom("session", "ses-1"), CorrelationID: seldom("correlation", "op-1", "op"),
			ExternalID: seldom("external", "42"), Provider: seldom("provider", "aws"),
			Account: seldom("account", "1234"), Region: seldom("region", "eu-west-1"),
			Branch: seldom("branch", "next"), Version: seldom("version", "v2"), CommitSHA: seldom("commit", "abc1", "abc1234def", "1234"),
			Q:     sometimes("q", "deploy", "WEB", "api v2", "größer", "tier", "eploy", "1", "ünïcode!"),
			Start: at("start"), End: at("end"),
		}
		if rapid.IntRange(0, 9).Draw(t, "delivery?") == 0 {
			f.DeliveryID = rapid.SampledFrom(all).Draw(t, "delivery").Provenance.DeliveryID
		}
		if rapid.IntRange(0, 3).Draw(t, "as of?") == 0 {
			f.AsOf = noon.Add(time.Duration(rapid.IntRange(-1, 45).Draw(t, "as of")) * time.Minute)
		}
		if !f.Start.IsZero() && !f.End.IsZero() && f.End.Before(f.Start) {
			f.Start, f.End = f.End, f.Start
		}
		q := store.ChangeQuery{
			ChangeFilter: f, Total: true, Limit: rapid.IntRange(1, 50).Draw(t, "limit"), Offset: rapid.IntRange(0, 30).Draw(t, "offset"),
			Sort: rapid.SampledFrom([]string{"", store.Desc, store.Asc}).Draw(t, "sort"),
		}
		want := []change.Change{}
		for _, c := range all {
			if match(c, f) {
				want = append(want, c)
			}
		}
		if q.Sort == store.Asc {
			slices.Reverse(want)
		}
		total := len(want)
		more := total > q.Offset+q.Limit
		want = want[min(q.Offset, total):min(q.Offset+q.Limit, total)]

		got, err := s.FindChanges(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got.Data); diff != "" {
			t.Fatalf("%+v (-want +got):\n%s", q, diff)
		}
		if got.Total != int64(total) || got.HasMore != more || (got.NextCursor != "") != more {
			t.Fatalf("%+v: total %d, more %v, cursor %q; want %d, %v", q, got.Total, got.HasMore, got.NextCursor, total, more)
		}
	})
}

func several[T ~string](list string) []T {
	var out []T
	for word := range strings.SplitSeq(list, ",") {
		if word != "" {
			out = append(out, T(word))
		}
	}
	return out
}

func byOrg(changes []change.Change) map[string][]change.Change {
	out := map[string][]change.Change{}
	for _, c := range changes {
		out[c.Org] = append(out[c.Org], c)
	}
	return out
}

func TestFindChanges_CursorNeitherRepeatsNorSkipsWhileRowsAreWritten(t *testing.T) {
	for _, sort := range []string{store.Desc, store.Asc} {
		t.Run(sort, func(t *testing.T) {
			s := storetest.New(t)
			var before []change.Change
			for i := range 60 { // three a millisecond, over 40 days
				at := noon.Add(-time.Duration(i/3) * 48 * time.Hour)
				before = append(before, made("acme", fmt.Sprint("before ", i), at, nil))
			}
			insert(t, s, batch(stored("acme", time.Now().Add(-time.Minute), before...)))
			slices.SortFunc(before, newestFirst)
			if sort == store.Asc {
				slices.Reverse(before)
			}
			q := store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}, Limit: 7, Sort: sort, Total: true}
			var seen []string
			for n := 0; ; n++ {
				page := find(t, s, q)
				if page.Total != 60 {
					t.Errorf("page %d: total %d, want 60", n, page.Total)
				}
				seen = append(seen, summaries(page)...)
				if !page.HasMore {
					break
				}
				q.Cursor = page.NextCursor
				var during []change.Change // between the others
				for i := range 20 {
					at := noon.Add(-time.Duration(i)*48*time.Hour + time.Duration(n-3)*time.Millisecond)
					during = append(during, made("acme", fmt.Sprint("during ", n, i), at, nil))
				}
				insert(t, s, batch(stored("acme", time.Now().Add(time.Minute), during...)))
			}
			var want []string
			for _, c := range before {
				want = append(want, c.Summary)
			}
			if diff := gocmp.Diff(want, seen); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFindChanges_RefusesWhatItCannotAnswer(t *testing.T) {
	s := storetest.New(t)
	f := func(field string, q store.ChangeQuery) {
		t.Helper()
		q.Org = "acme"
		if _, err := s.FindChanges(t.Context(), q); problem.KindOf(err) != problem.Malformed || problem.From(err).Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	f("limit", store.ChangeQuery{Limit: -1})
	f("limit", store.ChangeQuery{Limit: store.MaxLimit + 1})
	f("offset", store.ChangeQuery{Offset: -1})
	f("offset", store.ChangeQuery{Offset: store.MaxOffset + 1})
	f("sort", store.ChangeQuery{Sort: "id; DROP TABLE changes"})
	f("cursor", store.ChangeQuery{Cursor: "bm8"})
	f("q", store.ChangeQuery{ChangeFilter: store.ChangeFilter{Q: "!!!"}})
	f("q", store.ChangeQuery{ChangeFilter: store.ChangeFilter{Q: strings.Repeat("x ", 40)}})
	f("q", store.ChangeQuery{ChangeFilter: store.ChangeFilter{Q: strings.Repeat("x", 501)}})
	f("end_date", store.ChangeQuery{ChangeFilter: store.ChangeFilter{Start: noon, End: noon.Add(-1)}})

	insert(t, s, batch(stored("acme", noon, sample(2)[:2]...)))
	page := find(t, s, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}, Limit: 1})
	f("cursor", store.ChangeQuery{ChangeFilter: store.ChangeFilter{Source: "github"}, Cursor: page.NextCursor})
	f("cursor", store.ChangeQuery{Cursor: page.NextCursor, Sort: store.Asc})
	f("offset", store.ChangeQuery{Cursor: page.NextCursor, Offset: 1})
	f("as_of", store.ChangeQuery{ChangeFilter: store.ChangeFilter{AsOf: noon}, Cursor: page.NextCursor})
	if _, err := s.FindChanges(t.Context(), store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "other"}, Cursor: page.NextCursor}); problem.KindOf(err) != problem.Malformed {
		t.Errorf("a cursor of another org: %v", err)
	}
}

// hostile are texts that mean something to SQL, to its parameters or to HTTP.
var hostile = []string{
	`' OR 1=1 --`, `'; DROP TABLE changes; --`, `\`, `\'`, `x' UNION ALL SELECT * FROM changes --`, "a\tb", "a\nb", "a\r\nb", "a\x00b",
	`{org:String}`, `{{.}}`, `%' OR '%'='`, `") OR ("1"="1`, "`org`", `\N`, `NULL`, `$1`, `?`, `@org`, "\xff\xfe", `a&param_org=other`, `[1]`, `\\x27`, `/* x`,
}

func TestStore_TreatsHostileTextAsText(t *testing.T) {
	s := storetest.New(t)
	var changes []change.Change
	for i, text := range hostile {
		changes = append(changes, made("acme", fmt.Sprint(i), noon.Add(time.Duration(i)*time.Millisecond), func(c *change.Change) {
			c.ServiceID, c.Type, c.Source, c.Environment, c.ChangedBy, c.Repository = text, change.Type(text), text, text, text, text
			c.SessionID, c.CorrelationID, c.ExternalID, c.Account, c.Region, c.Branch, c.Version, c.CommitSHA = text, text, text, text, text, text, text, text
			c.Actor.ID = text
			c.Risk, c.Status, c.Tags, c.Action, c.Resource.ID, c.Summary = change.Risk(text), change.Status(text), []string{text}, text, text, "word "+text
		}))
	}
	r := stored("acme", noon, changes...)
	r.Identity = hostile[0]
	insert(t, s, batch(r, stored("other", noon, made("other", "x", noon, nil))))

	for i, text := range hostile {
		for name, f := range map[string]store.ChangeFilter{
			"service": {ServiceID: text}, "type": {Types: []change.Type{change.Type(text)}}, "source": {Source: text}, "environment": {Environment: text},
			"actor": {Actor: text}, "repository": {Repository: text}, "risk": {Risks: []change.Risk{change.Risk(text)}}, "status": {Statuses: []change.Status{"none", change.Status(text)}},
			"tag": {Tag: text}, "action": {Action: text}, "resource": {ResourceID: text},
			"actor id": {ActorID: text}, "session": {SessionID: text}, "correlation": {CorrelationID: text}, "external": {ExternalID: text},
			"account": {Account: text}, "region": {Region: text}, "branch": {Branch: text}, "version": {Version: text},
		} {
			f.Org = "acme"
			page := find(t, s, store.ChangeQuery{ChangeFilter: f, Total: true})
			if len(page.Data) != 1 || page.Total != 1 || page.Data[0].ID != changes[i].ID || page.Data[0].Source != text {
				t.Errorf("%s = %q: %d rows, total %d", name, text, len(page.Data), page.Total)
			}
			if _, err := s.Stats(t.Context(), store.StatsQuery{ChangeFilter: withRange(f), By: []string{"source"}}); err != nil {
				t.Errorf("stats with %s = %q: %v", name, text, err)
			}
		}
		page, err := s.FindChanges(t.Context(), store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme", Q: "word " + text}})
		if err != nil || !slices.ContainsFunc(page.Data, func(c change.Change) bool { return c.ID == changes[i].ID }) {
			t.Errorf("q = %q: %d rows, %v", text, len(page.Data), err)
		}
		if page := find(t, s, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: text}, Total: true}); page.Total != 0 {
			t.Errorf("org = %q: %d rows", text, page.Total)
		}
		for name, q := range map[string]store.DeliveryQuery{
			"source": {SourceID: text}, "provider": {Provider: text}, "detected_by": {DetectedBy: text}, "outcome": {Outcome: change.Outcome(text)},
		} {
			q.Org, q.Total = "acme", true
			if page, err := s.FindDeliveries(t.Context(), q); err != nil || page.Total != 0 {
				t.Errorf("deliveries with %s = %q: %d rows, %v", name, text, page.Total, err)
			}
		}
		known, err := s.KnownIdentities(t.Context(), []store.Identity{{Org: "acme", SourceID: "src_a", Identity: text}, {Org: text, SourceID: text, Identity: text}})
		if want := map[bool]int{true: 1, false: 0}[i == 0]; err != nil || len(known) != want {
			t.Errorf("identity %q: %d known, want %d; %v", text, len(known), want, err)
		}
		if _, err := s.Account(t.Context(), store.AccountQuery{Org: "acme", SourceID: text, Start: noon.Add(-time.Hour), End: noon.Add(time.Hour)}); err != nil {
			t.Errorf("account of %q: %v", text, err)
		}
		if _, err := s.StoredFrames(t.Context(), store.FrameRange{Chain: text, To: 9}); err != nil {
			t.Errorf("frames of %q: %v", text, err)
		}
	}
}

func withRange(f store.ChangeFilter) store.ChangeFilter {
	f.Start, f.End = noon.AddDate(-1, 0, 0), noon.Add(24*time.Hour)
	return f
}
