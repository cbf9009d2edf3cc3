package github

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"
)

func TestEvents_HasAllThatGoGitHubKnows(t *testing.T) {
	for _, name := range github.MessageTypes() {
		if _, ok := events[name]; !ok {
			t.Errorf("%s is not in the table", name)
		}
	}
}

func TestEvents_HasAllOfTheCorpus(t *testing.T) {
	for _, e := range corpusIndex(t) {
		if _, ok := events[e.Headers["X-GitHub-Event"]]; !ok {
			t.Errorf("%s: %q is not in the table", e.File, e.Headers["X-GitHub-Event"])
		}
		name, ok := strings.CutPrefix(strings.TrimPrefix(e.File, "octokit-ghes35-"), "octokit-")
		if name, _, _ = strings.Cut(name, "-"); !ok && !strings.HasPrefix(e.File, "octokit-ghes35-") {
			continue
		}
		if _, ok := events[name]; !ok {
			t.Errorf("%s: %q is not in the table", e.File, name)
		}
	}
}

// Octokit describes these events, too; GitHub Enterprise Server and older
// versions of GitHub send the others that are in the table.
func TestEvents_HasAllThatOctokitKnows(t *testing.T) {
	for name := range strings.FieldsSeq(`branch_protection_configuration branch_protection_rule check_run check_suite
		code_scanning_alert commit_comment create custom_property custom_property_values delete dependabot_alert deploy_key
		deployment deployment_protection_rule deployment_review deployment_status discussion discussion_comment fork
		github_app_authorization gollum installation installation_repositories installation_target issue_comment issues label
		marketplace_purchase member membership merge_group meta milestone org_block organization package page_build
		personal_access_token_request ping project project_card project_column projects_v2 projects_v2_item
		projects_v2_status_update public pull_request pull_request_review pull_request_review_comment
		pull_request_review_thread push registry_package release repository repository_advisory repository_dispatch
		repository_import repository_ruleset repository_vulnerability_alert secret_scanning_alert
		secret_scanning_alert_location secret_scanning_scan security_advisory security_and_analysis sponsorship star status
		sub_issues team team_add watch workflow_dispatch workflow_job workflow_run`) {
		if _, ok := events[name]; !ok {
			t.Errorf("%s is not in the table", name)
		}
	}
}

func TestEvents_AreEitherAChangeOrIgnored(t *testing.T) {
	for name, e := range events {
		ways := 0
		for _, is := range []bool{e.ignored != "", e.typed != nil, e.plain != nil} {
			if is {
				ways++
			}
		}
		if ways != 1 || (e.ignored == "") != (e.kind != "") {
			t.Errorf("%s: %d of ignored, typed and plain; kind %q", name, ways, e.kind)
		}
	}
}

func TestEvents_EachChangeHasACase(t *testing.T) {
	shown := make(map[string]bool)
	for _, b := range bodies(t) {
		shown[b.event] = true
	}
	for _, name := range slices.Sorted(maps.Keys(events)) {
		if events[name].ignored == "" && !shown[name] {
			t.Errorf("no case in testdata shows %s", name)
		}
	}
}

func TestTelling_NamesOnlyEventsOfTheTable(t *testing.T) {
	for _, row := range telling {
		if _, ok := events[row.event]; !ok {
			t.Errorf("%s is not in the table", row.event)
		}
	}
}

// corpusEntry is a line of the corpus's index.
type corpusEntry struct {
	File    string            `json:"file"`
	Headers map[string]string `json:"headers"`
}

// corpusDir returns the folder of GitHub's real payloads, which lies beside the
// repository or where WHATCHANGED_CORPUS says.
func corpusDir(t *testing.T) string {
	t.Helper()
	root := os.Getenv("WHATCHANGED_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	dir := filepath.Join(root, "github")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("no corpus: ", err)
	}
	return dir
}

func corpusIndex(t *testing.T) []corpusEntry {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(corpusDir(t), "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var entries []corpusEntry
	if err := json.Unmarshal(b, &entries); err != nil {
		t.Fatal(err)
	}
	return entries
}
