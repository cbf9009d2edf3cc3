package github_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"whatchanged/normalizers"
	"whatchanged/normalizers/github"
	"whatchanged/normalizers/normtest"
	"whatchanged/pkg/change"
)

// GitHub sends up to 25 MB: whatever is that large, a change comes of it, of a
// size that can be stored.
func TestNormalize_TakesTwentyFiveMegabytes(t *testing.T) {
	text := strings.Repeat("a long line of text, ", 25<<20/21-1000)
	for event, body := range map[string]string{
		"push": fmt.Sprintf(`{"ref":"refs/heads/main","after":%q,"commits":[%s],"head_commit":%s,"repository":%s,"sender":%s}`,
			sha, commits(50_000), commits(1), repository, user),
		"pull_request":      fmt.Sprintf(`{"action":"opened","number":1,"pull_request":{"number":1,"title":"%s","body":"%s"},"repository":%s,"sender":%s}`, text[:1<<20], text, repository, user),
		"workflow_dispatch": fmt.Sprintf(`{"inputs":{"notes":"%s"},"ref":"refs/heads/main","workflow":"deploy.yml","repository":%s,"sender":%s}`, text, repository, user),
		"release":           fmt.Sprintf(`{"action":"edited","release":{"tag_name":"v1","body":"%s"},"changes":{"body":{"from":"%s"}},"repository":%s,"sender":%s}`, text[:12<<20], text[:12<<20], repository, user),
		"invented":          fmt.Sprintf(`{"action":"done","invented":{"name":"%s"},"changes":%s,"repository":%s,"sender":%s}`, text, strings.Repeat(`{"a":`, 300)+"1"+strings.Repeat("}", 300), repository, user),
	} {
		t.Run(event, func(t *testing.T) {
			d := change.Delivery{Org: "test", Body: []byte(body), ReceivedAt: change.At(normtest.Received), Header: http.Header{"X-Github-Event": {event}}}
			set := normalizers.Set{"github": github.New(), normalizers.Generic: github.New()}
			res := set.Process(&d, normalizers.Settings{}, normtest.Received, normtest.Received)
			normtest.Check(t, res)
			if len(res.Changes) != 1 {
				t.Fatalf("%d bytes: %s %s", len(body), res.Outcome, res.Reason)
			}
			t.Logf("%d bytes: %s", len(body), res.Changes[0].Summary)
		})
	}
}
