package github_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	gogithub "github.com/google/go-github/v60/github"

	"whatchanged/normalizers/github"
	"whatchanged/normalizers/normtest"
)

// BenchmarkNormalize compares each kind of payload with decoding it into
// go-github's type. The payloads have the links that GitHub's have.
func BenchmarkNormalize(b *testing.B) {
	for _, p := range []struct{ name, event, body string }{
		{"push", "push", fmt.Sprintf(`{"ref":"refs/heads/main","before":%q,"after":%q,"commits":[%s],"head_commit":%s,"repository":%s,"sender":%s}`,
			sha, sha, commits(3), commits(1), repository, user)},
		{"push_big", "push", fmt.Sprintf(`{"ref":"refs/heads/main","before":%q,"after":%q,"commits":[%s],"head_commit":%s,"repository":%s,"sender":%s}`,
			sha, sha, commits(2000), commits(1), repository, user)},
		{"pull_request", "pull_request", fmt.Sprintf(`{"action":"closed","number":42,"pull_request":{"id":1,"number":42,"title":"Raise pool size","state":"closed",
			"body":"It ran out.","user":%[1]s,"merged_by":%[1]s,"merged":true,"merged_at":"2026-01-05T11:00:00Z","merge_commit_sha":%[3]q,
			"base":{"ref":"main","sha":%[3]q,"user":%[1]s,"repo":%[2]s},"head":{"ref":"pool","sha":%[3]q,"user":%[1]s,"repo":%[2]s},
			"additions":3,"deletions":1,"changed_files":1},"repository":%[2]s,"sender":%[1]s}`, user, repository, sha)},
		{"deployment_status", "deployment_status", fmt.Sprintf(`{"action":"created","deployment_status":{"id":2,"state":"success","environment":"production",
			"created_at":"2026-01-05T11:00:00Z","creator":%[1]s},"deployment":{"id":1,"sha":%[3]q,"ref":"main","task":"deploy","environment":"production",
			"created_at":"2026-01-05T11:00:00Z","creator":%[1]s},"repository":%[2]s,"sender":%[1]s}`, user, repository, sha)},
		{"workflow_run", "workflow_run", fmt.Sprintf(`{"action":"completed","workflow_run":{"id":1,"name":"Deploy","head_branch":"main","head_sha":%[3]q,
			"run_number":17,"conclusion":"success","updated_at":"2026-01-05T11:00:00Z","actor":%[1]s,"triggering_actor":%[1]s,
			"repository":%[2]s,"head_repository":%[2]s},"workflow":{"path":".github/workflows/deploy.yml"},"repository":%[2]s,"sender":%[1]s}`, user, repository, sha)},
		{"member", "member", fmt.Sprintf(`{"action":"added","member":%[1]s,"changes":{"permission":{"to":"admin"}},"repository":%[2]s,"sender":%[1]s}`, user, repository)},
		{"without_header", "", fmt.Sprintf(`{"action":"created","member":%[1]s,"team":{"id":1,"name":"ops","permission":"pull"},"organization":{"login":"acme"},"repository":%[2]s,"sender":%[1]s}`, user, repository)},
	} {
		b.Run(p.name, func(b *testing.B) {
			headers := []string{"X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"}
			into := p.event
			if p.event != "" {
				headers = append(headers, "X-GitHub-Event", p.event)
			} else {
				into = "membership"
			}
			r := normtest.Records(b, []byte(p.body), headers...)[0]
			normtest.Bench(b, github.New(), r, func() any { return gogithub.EventForType(into) })
		})
	}
}

const sha = "6dcb09b5b57875f334f61aebed695e2e4193db5e"

var (
	user       = `{"login":"mona","id":583231,"type":"User",` + links("users/mona", "followers", "following", "gists", "starred", "subscriptions", "organizations", "repos", "events") + `}`
	repository = `{"id":186853002,"name":"shop","full_name":"acme/shop","default_branch":"main","private":true,"owner":` + user + `,` +
		links("repos/acme/shop", "forks", "keys", "collaborators", "teams", "hooks", "issue_events", "events", "assignees", "branches", "tags",
			"blobs", "git_tags", "git_refs", "trees", "statuses", "languages", "stargazers", "contributors", "subscribers", "subscription",
			"commits", "git_commits", "comments", "issue_comment", "contents", "compare", "merges", "archive", "downloads", "issues",
			"pulls", "milestones", "notifications", "labels", "releases", "deployments") + `}`
)

// links are the members that GitHub puts into everything.
func links(path string, names ...string) string {
	var list []string
	for _, name := range names {
		list = append(list, fmt.Sprintf(`"%s_url":"https://api.github.example/%s/%s"`, name, path, name))
	}
	return strings.Join(list, ",")
}

func commits(n int) string {
	var b bytes.Buffer
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%q,"message":"Change %d","timestamp":"2026-01-05T11:00:00Z","url":"https://github.example/acme/shop/commit/%s",
			"author":{"name":"Mona","email":"mona@example.com","username":"mona"},"committer":{"name":"Mona","email":"mona@example.com","username":"mona"},
			"distinct":true,"added":["a%d.go"],"removed":[],"modified":["deploy/values.yaml","internal/pool/pool.go"]}`, sha, i, sha, i)
	}
	return b.String()
}
