package normalizers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// pushBody returns a push of about 6.7 KB, made like GitHub's: most of it is
// the repository's many URLs.
func pushBody() []byte {
	const api = "https://api.github.example/repos/acme/shop"
	repository := map[string]any{
		"id": 186853002, "node_id": "MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=", "name": "shop", "full_name": "acme/shop",
		"private": true, "html_url": "https://github.example/acme/shop", "description": "The shop that sells everything",
		"fork": false, "created_at": 1557933565, "updated_at": "2026-01-05T10:00:00Z", "pushed_at": 1767607200,
		"default_branch": "main", "master_branch": "main", "language": "Go", "size": 21700,
		"owner": map[string]any{"name": "acme", "login": "acme", "id": 21031067, "type": "Organization"},
	}
	for name := range strings.FieldsSeq(`forks keys collaborators teams hooks issue_events events assignees branches tags
		blobs git_tags git_refs trees statuses languages stargazers contributors subscribers subscription commits
		git_commits comments issue_comment contents compare merges archive downloads issues pulls milestones
		notifications labels releases deployments`) {
		repository[name+"_url"] = api + "/" + name + "{/placeholder}"
	}
	var commits []any
	for i := range 3 {
		commits = append(commits, map[string]any{
			"id": fmt.Sprintf("%040x", 0xabc0+i), "tree_id": fmt.Sprintf("%040x", 0xdef0+i), "distinct": true,
			"message": "Fix login when the session has expired\n\nThe cookie was read before it was checked.", "timestamp": "2026-01-05T10:59:00+01:00",
			"url":    fmt.Sprintf("https://github.example/acme/shop/commit/%040x", 0xabc0+i),
			"author": map[string]any{"name": "Mona Lisa", "email": "mona@example.com", "username": "mona"},
			"added":  []string{}, "removed": []string{}, "modified": []string{"internal/session/cookie.go", "internal/session/cookie_test.go"},
		})
	}
	user := map[string]any{"login": "mona", "id": 21031067, "type": "User", "site_admin": false}
	for name := range strings.FieldsSeq("followers following gists starred subscriptions organizations repos events received_events") {
		user[name+"_url"] = "https://api.github.example/users/mona/" + name
	}
	b, err := json.Marshal(map[string]any{
		"ref": "refs/heads/main", "before": fmt.Sprintf("%040x", 0xabbf), "after": fmt.Sprintf("%040x", 0xabc2),
		"created": false, "deleted": false, "forced": false, "base_ref": nil,
		"compare": "https://github.example/acme/shop/compare/abbf...abc2", "commits": commits, "head_commit": commits[2],
		"pusher": map[string]any{"name": "mona", "email": "mona@example.com"}, "repository": repository, "sender": user,
	})
	if err != nil {
		panic(err)
	}
	return b
}

func pushHeader() http.Header {
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "GitHub-Hookshot/044aadd")
	h.Set("X-GitHub-Event", "push")
	h.Set("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	return h
}
