package generic

import (
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
)

// profile says under which names something speaks of our fields. Each is a
// list of paths, by spaces, the first that holds something wins; a path may
// lead to an object that has a name.
type profile struct {
	key         string // what makes the record itself unique: all of these paths together
	time        string
	actor       string
	actorID     string
	action      string
	headline    string // what it is about, in words
	description string
	status      string
	environment string
	version     string
	commit      string
	message     string
	repository  string
	branch      string
	pipeline    string
	link        string
	pr          string
	prURL       string
	service     string
	resource    string // its id
	name        string // the resource's
	kind        string // the resource's
	account     string
	region      string
	risk        string
	typ         string
	tags        string
	external    string
	correlation string
	session     string
}

// usual are the names that most senders use, outermost first.
var usual = profile{
	time: "occurred_at occurredAt timestamp time event_time eventTime @timestamp at date datetime ts finished_at finishedAt completed_at " +
		"ended_at updated_at updatedAt started_at startedAt created_at createdAt created published_at triggered_at sent_at",
	actor: "actor changed_by changedBy user author username user_name userName sender pusher deployer deployed_by deployedBy " +
		"triggered_by triggeredBy created_by createdBy initiator requested_by requestedBy committer login owner email principal agent by",
	actorID:     "actor.id actor_id user.id user_id userId sender.id author.id",
	action:      "action event event_type eventType event_name eventName kind trigger operation type",
	headline:    "summary title message text subject short_description headline name description",
	description: "description details body long_description reason",
	status:      "status state result conclusion outcome",
	environment: "environment env stage deployment_environment target_environment environment_name environmentName",
	version:     "version tag image_tag imageTag release app_version appVersion new_version newVersion build_number buildNumber",
	commit:      "commit_sha commitSha commit_id commitId sha git_sha git_commit commit revision head_sha head_commit after",
	message:     "commit_message commitMessage head_commit.message commit.message",
	repository:  "repository repo repository_name repo_name project.path_with_namespace git_repository repo_url",
	branch:      "branch git_branch branch_name head_branch ref ref_name",
	pipeline:    "pipeline_url pipelineUrl build_url buildUrl run_url runUrl job_url ci_url details_url target_url",
	link:        "html_url url web_url link permalink href",
	pr:          "pr_number prNumber pull_request.number pull_request_number merge_request.iid pr",
	prURL:       "pr_url prUrl pull_request.html_url merge_request.url pull_request_url",
	service:     "service service_name serviceName application app app_name component",
	resource:    "resource_id resourceId resource",
	name:        "resource_name resourceName",
	kind:        "resource_type resourceType",
	account:     "account account_id accountId project_id projectId subscription subscription_id organization org tenant",
	region:      "region location zone",
	risk:        "risk_level riskLevel risk",
	typ:         "change_type changeType type category kind",
	tags:        "tags labels",
	external:    "external_id externalId id event_id eventId uuid delivery_id run_id build_id",
	correlation: "correlation_id correlationId trace_id traceId parent_id run_id",
	session:     "session_id sessionId",
}

// wrappers are members that only wrap what one wants to know.
var wrappers = []string{"data", "event", "payload", "detail", "body", "deployment", "release", "build", "incident", "alert", "object", "attributes"}

// names are what an object may be called by.
var names = []string{
	"full_name", "fullName", "path_with_namespace", "repo_name", "display_name", "displayName", "uniqueName", "login", "username",
	"name", "nickname", "email", "summary", "title", "slug", "sha", "id", "hash",
}

// payload looks up fields in a record: first under its provider's own names,
// then under the usual ones, in the wrappers too.
type payload struct {
	json   gjson.Result
	scopes []*object // the record itself, and the wrappers that it has
	found  [][]usualText
	used   []string // members of the record that a field holds as they are
}

func newPayload(v gjson.Result) *payload {
	p := &payload{json: v}
	if !v.IsObject() {
		return p
	}
	top := objectOf(v)
	p.scopes = append(make([]*object, 0, 4), top)
	for _, w := range wrappers {
		if inner := top.inner(w); inner != nil {
			p.scopes = append(p.scopes, inner)
		}
	}
	return p
}

// find returns the text of the first path that holds some. Own paths are the
// provider's: "=word" is a word of ours, and "@" says that the provider has
// none and no other is looked for.
func (p *payload) find(own, usual string) string {
	return p.findIf(own, usual, func(string) bool { return true })
}

// findTime returns the first path that holds a time. Before 1990 there were no
// webhooks: such a number is something else.
func (p *payload) findTime(own, usual string) (t time.Time, ok bool) {
	p.findIf(own, usual, func(s string) bool {
		t, ok = normalizers.ParseTime(s)
		ok = ok && t.Year() >= 1990
		return ok
	})
	return t, ok
}

// findIf returns the text of the first path that holds some and suits.
func (p *payload) findIf(own, usual string, suits func(string) bool) string {
	if own == "@" || len(p.scopes) == 0 {
		return ""
	}
	for _, path := range pathsOf(own) {
		if word, ok := strings.CutPrefix(path, "="); ok {
			return word
		}
		if s := text(p.scopes[0].get(path)); s != "" && suits(s) {
			return s
		}
	}
	if usual == "" {
		return ""
	}
	if p.found == nil {
		p.found = make([][]usualText, 0, len(p.scopes))
		for _, scope := range p.scopes {
			p.found = append(p.found, scope.usualTexts())
		}
	}
	field := fieldBy[usual]
	for i, scope := range p.scopes {
		first := p.found[i][field]
		if first.text == "" {
			continue
		}
		if suits(first.text) {
			if i == 0 && first.whole && len(first.text) < maxText {
				p.used = append(p.used, first.name.path)
			}
			return first.text
		}
		for _, path := range pathsOf(usual) { // a later name may
			v := scope.get(path)
			s := text(v)
			if s == "" || !suits(s) {
				continue
			}
			if i == 0 && !v.IsObject() && len(s) < maxText {
				p.used = append(p.used, path)
			}
			return s
		}
	}
	return ""
}

// maxText bounds what is taken for a name.
const maxText = 4096

// text is a string, a number, or the name of an object.
func text(v gjson.Result) string {
	switch {
	case v.Type == gjson.String:
		return v.Str[:min(len(v.Str), maxText)]
	case v.Type == gjson.Number:
		return v.Raw[:min(len(v.Raw), 64)]
	case v.IsObject():
		return nameOf(v)
	}
	return ""
}

// nameOf is what an object is called by.
func nameOf(v gjson.Result) string {
	best, rank := gjson.Result{}, len(names)
	v.ForEach(func(key, member gjson.Result) bool {
		if r := slices.Index(names[:rank], key.Str); r >= 0 && (member.Type == gjson.String && member.Str != "" || member.Type == gjson.Number) {
			best, rank = member, r
		}
		return rank > 0
	})
	return text(best)
}
