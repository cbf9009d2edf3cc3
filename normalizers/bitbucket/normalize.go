// Package bitbucket turns the webhooks of Bitbucket Cloud and of Bitbucket Data
// Center (once Server) into changes. The two share a name and little else: the
// kind of event says which of them speaks.
package bitbucket

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/fields"
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

const (
	provider = "bitbucket"
	version  = 1
)

// New returns the normalizer of Bitbucket's webhooks.
func New() normalizers.Normalizer { return normalizer{} }

type normalizer struct{}

func (normalizer) Provider() string { return provider }
func (normalizer) Version() int     { return version }

// Normalize turns one webhook into changes: a push one for each ref, all else
// one.
func (normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	payload := gjson.ParseBytes(r.JSON)
	if !payload.IsObject() {
		return normalizers.Result{}, fmt.Errorf("%w: a Bitbucket payload is a JSON object", change.ErrMalformed)
	}
	body := fields.Of(payload)
	kind := kindOf(body, r.Event)
	e := forge.Find(events, kind)
	if e.Ignored != "" {
		return normalizers.Ignore(e.Ignored), nil
	}
	id := key(r)
	refs := refsOf(body, kind)
	if len(refs) > normalizers.MaxRecords {
		return normalizers.Result{}, fmt.Errorf("%w: more than %d refs in a push", change.ErrMalformed, normalizers.MaxRecords)
	}
	if len(refs) == 0 {
		b := newBuilder(kind, body)
		if e.Fill != nil {
			e.Fill(b)
		}
		return b.Result(id, kind), nil
	}
	var res normalizers.Result
	for i, ref := range refs {
		b := newBuilder(kind, body)
		b.ref, b.alone = fields.Of(ref), len(refs) == 1
		e.Fill(b)
		one := id
		if i > 0 {
			one += " " + strconv.Itoa(i)
		}
		res.Drafts = append(res.Drafts, b.Result(one, kind).Drafts...)
	}
	return res, nil
}

// refsOf returns what became of each ref in a push; none of any other event.
func refsOf(body *fields.Object, kind string) []gjson.Result {
	var list gjson.Result
	switch kind {
	case "repo:push":
		list = body.Get("push.changes")
	case "repo:refs_changed":
		list = body.Get("changes")
	}
	var refs []gjson.Result
	list.ForEach(func(_, ref gjson.Result) bool {
		if ref.IsObject() {
			refs = append(refs, ref)
		}
		return list.IsArray() && len(refs) <= normalizers.MaxRecords
	})
	return refs
}

// kindOf returns Bitbucket's key of the event. Without its header the payload
// of a Data Center has it, and Cloud's says by its members what it is.
func kindOf(body *fields.Object, header string) string {
	if kind := forge.First(header, body.Text("eventKey")); kind != "" {
		return kind
	}
	has := func(name string) bool { return body.Get(name).Exists() }
	switch {
	case has("comment"):
		return "pullrequest:comment_created"
	case has("pullrequest"):
		switch body.Text("pullrequest.state") {
		case "MERGED":
			return "pullrequest:fulfilled"
		case "DECLINED", "SUPERSEDED":
			return "pullrequest:rejected"
		}
		return "pullrequest:updated"
	case has("push"):
		return "repo:push"
	case has("commit_status"):
		return "repo:commit_status_updated"
	case has("issue"):
		return "issue:updated"
	case has("fork"):
		return "repo:fork"
	}
	return ""
}

// requests are the headers that name a request of Cloud's, over all its
// attempts, and of a Data Center's.
var requests = []string{"X-Request-Uuid", "X-Request-Id"}

// key names the fact: the request when it has a name.
func key(r normalizers.Record) string {
	for _, name := range requests {
		if id := r.Header.Get(name); id != "" {
			return id
		}
	}
	sum := sha256.Sum256(r.JSON)
	return "sha256-" + hex.EncodeToString(sum[:])
}

// builder makes the change of one event.
type builder struct {
	forge.Builder
	kind  string
	ref   *fields.Object // of a push: what became of one ref
	alone bool           // and there is no other

	repositoryID string
	mainBranch   string // where that is said
	url          string // the repository's page
}

// newBuilder starts with what all events of both have in common.
func newBuilder(kind string, body *fields.Object) *builder {
	b := &builder{Builder: forge.NewBuilder(body), kind: kind}
	b.Meta.Set("event", kind)
	repository := body.Object("repository")
	if repository.Text("slug") == "" && repository.Text("full_name") == "" {
		if to := body.Object("pullRequest.toRef.repository"); to.Text("slug") != "" {
			repository = to
		}
	}
	b.repository(repository)
	b.actor(body.Object("actor"))
	b.At("date")
	b.Copy("date")
	return b
}

// repository says which it is about: in Cloud a workspace's, in a Data Center
// a project's.
func (b *builder) repository(r *fields.Object) {
	b.Project = r.Text("full_name")
	if slug := r.Text("slug"); b.Project == "" && slug != "" {
		b.Project = slug
		if project := r.Text("project.key"); project != "" {
			b.Project = project + "/" + slug
		}
		b.Meta.Set("repository_slug", slug)
	}
	b.Change.Repository = b.Project
	b.Change.Account = r.First("workspace.slug", "project.key")
	b.mainBranch = r.Text("mainbranch.name")
	b.url = forge.First(r.Text("links.html.href"), r.Get("links.self").Get("0.href").String())
	b.repositoryID = strings.Trim(r.First("uuid", "id"), "{}")
	b.Meta.Set("project", r.Text("project.key"))
	b.Meta.Set("repository_url", b.url)
	b.Resource("repository", b.repositoryID, b.Project, b.url)
}

// actor says who did it. Cloud's users have a nickname and a name that is
// shown, a Data Center's a name to sign in with.
func (b *builder) actor(who *fields.Object) {
	name := who.First("nickname", "username", "name", "slug")
	shown := who.First("display_name", "displayName")
	b.Actor(strings.Trim(who.First("uuid", "account_id", "id"), "{}"), name, shown,
		who.Text("type") == "app_user" || who.Text("type") == "SERVICE" || strings.HasSuffix(name, "-bot"))
	b.Meta.Set("actor_name", shown)
	b.Meta.Set("actor_email", who.Text("emailAddress"))
}

// correlation ties changes about one thing of a repository together.
func (b *builder) correlation(kind, id string) string {
	repository := forge.First(b.repositoryID, b.Project)
	if id == "" || repository == "" {
		return ""
	}
	return provider + ":" + repository + ":" + kind + ":" + id
}
