package normalizers_test

import (
	"path/filepath"
	"testing"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/change"
)

// A payload that somebody kept and sends again comes without GitHub's headers.
func TestConformance_GitHubIsKnownWithoutItsHeaders(t *testing.T) {
	dir := filepath.Join(corpus(t), "github")
	known, named, total := 0, 0, 0
	for _, e := range entries(t, dir) {
		total++
		res := withoutHeaders(payload(t, dir, e))
		if res.Provider != "github" {
			t.Logf("%s is taken for %s by %s", e.File, res.Provider, res.DetectedBy)
			continue
		}
		known++
		event := ""
		if len(res.Changes) > 0 {
			event = gjson.GetBytes(res.Changes[0].Metadata, "event").Str
		}
		if event == e.text("event") || event == "" && githubIgnored[e.text("event")] {
			named++
			continue
		}
		t.Logf("%s is taken for %q", e.File, event)
	}
	t.Logf("known as GitHub's %d of %d, event found %d", known, total, named)
	if percent(known, total) < 95 || percent(named, known) < 95 {
		t.Error("want 95 % each")
	}
}

func withoutHeaders(body []byte) change.Result {
	d := &change.Delivery{ID: change.DeliveryID{1}, Org: "corpus", ReceivedAt: change.At(received), Body: body}
	return all.Set().Process(d, normalizers.Settings{}, received, received)
}

// githubIgnored are the events that the mapping table gives "no" or "no/opt".
var githubIgnored = map[string]bool{
	"ping": true, "pull_request_review": true, "pull_request_review_comment": true, "pull_request_review_thread": true,
	"workflow_job": true, "check_run": true, "check_suite": true, "status": true,
	"issues": true, "issue_comment": true, "discussion": true, "discussion_comment": true, "label": true, "milestone": true,
	"star": true, "watch": true, "fork": true, "gollum": true, "project": true, "project_card": true, "project_column": true,
	"projects_v2": true, "projects_v2_item": true, "sponsorship": true, "commit_comment": true,
}

var githubConformance = conformance{
	dir:      "github",
	provider: func(entry) string { return "github" },
	ignored:  func(e entry, _ map[string]any) bool { return githubIgnored[e.text("event")] },
	facts: factTable{
		"event":           "metadata.event",
		"action":          "metadata.action",
		"actor":           "changed_by",
		"actor_type":      "~actor.type",
		"repository":      "repository",
		"repository_url":  "metadata.repository_url",
		"default_branch":  "metadata.default_branch",
		"organization":    "metadata.organization",
		"enterprise":      "metadata.enterprise",
		"installation_id": "metadata.installation_id",

		// The payload's sender may be a machine, and another one is named as
		// the one who did it.
		"pull_request/actor":      "changed_by",
		"deployment_status/actor": "metadata.sender",
		"workflow_run/actor":      "metadata.sender",

		"ref": "metadata.ref", "ref_type": "metadata.ref_type", "master_branch": "metadata.master_branch",
		"branch": "branch", "tag": "version", "before": "metadata.before", "after": "metadata.after",
		"created": "metadata.created", "deleted": "metadata.deleted", "forced": "metadata.forced",
		"compare_url": "metadata.compare", "commit_count": "metadata.commit_count", "pusher": "metadata.pusher",
		"head_commit_sha": "metadata.head_commit_id", "head_commit_message": "commit_message",
		"head_commit_timestamp": "metadata.head_commit_timestamp",

		"pr_number": "pr_number", "pr_url": "pr_url", "pr_title": "metadata.pr_title", "pr_state": "metadata.pr_state",
		"pr_author": "metadata.pr_author", "pr_draft": "metadata.pr_draft", "pr_merged": "metadata.pr_merged",
		"pr_created_at": "metadata.pr_created_at", "pr_updated_at": "metadata.pr_updated_at", "pr_closed_at": "metadata.pr_closed_at",
		"pr_merge_commit_sha": "metadata.merge_commit_sha", "base_branch": "branch", "head_branch": "metadata.head_branch",
		"head_sha": "metadata.head_sha", "label": "metadata.label",

		"deployment_id": "external_id", "environment": "environment", "sha": "commit_sha", "task": "metadata.task",
		"deployment_creator": "metadata.deployment_creator", "deployment_created_at": "metadata.deployment_created_at",
		"status_id": "metadata.status_id", "status_state": "metadata.status_state", "status_creator": "metadata.status_creator",
		"status_created_at": "metadata.status_created_at", "status_environment": "metadata.status_environment",
		"workflow_name": "metadata.workflow_name", "workflow_run_url": "metadata.workflow_run_url",
		"workflow_head_branch": "metadata.workflow_head_branch", "workflow_head_sha": "metadata.workflow_head_sha",

		"release_id": "external_id", "release_name": "metadata.release_name", "release_url": "resource.url",
		"release_author": "metadata.release_author", "target_commitish": "metadata.target_commitish",
		"draft": "metadata.draft", "prerelease": "metadata.prerelease", "published_at": "metadata.published_at",
		"release/created_at": "metadata.release_created_at",

		"run_id": "external_id", "run_name": "resource.name", "run_number": "metadata.run_number", "run_attempt": "metadata.run_attempt",
		"run_url": "pipeline_url", "run_started_at": "metadata.run_started_at", "trigger": "metadata.trigger",
		"status": "metadata.status", "conclusion": "metadata.conclusion",
		"workflow_run/head_branch": "branch", "workflow_run/head_sha": "commit_sha",
		"workflow_run/created_at": "metadata.run_created_at", "workflow_run/updated_at": "metadata.run_updated_at",

		"member": "metadata.member", "membership_role": "metadata.membership_role", "scope": "metadata.scope",
		"team": "resource.name", "team_permission": "metadata.team_permission",
		"key_id": "external_id", "key_title": "metadata.key_title", "read_only": "metadata.read_only", "account": "account",

		"rule_id": "resource.id", "rule_name": "resource.name", "branch_protection_rule/updated_at": "metadata.rule_updated_at",
		"repo_updated_at": "metadata.repo_updated_at", "repo_visibility": "metadata.visibility", "renamed_from": "metadata.renamed_from",

		"alert_number": "external_id", "alert_state": "metadata.alert_state", "alert_url": "resource.url",
		"alert_created_at": "metadata.alert_created_at", "commit_oid": "commit_sha",

		"package_name": "resource.name", "package_type": "metadata.package_type", "package_version": "version",
		"build_status": "metadata.build_status", "build_commit": "commit_sha",

		"base_ref": "metadata.base_ref", "base_sha": "metadata.base_sha", "head_ref": "metadata.head_ref", "reason": "metadata.reason",
		"merge_group/head_sha": "commit_sha",
	},
}
