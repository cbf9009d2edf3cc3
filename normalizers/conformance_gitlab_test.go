package normalizers_test

// gitlabIgnored are the kinds that the mapping table gives "no", and jobs
// without an environment, which it does not name.
var gitlabIgnored = map[string]bool{
	"wiki_page": true, "issue": true, "work_item": true, "note": true, "emoji": true, "access_token": true,
}

var gitlabConformance = conformance{
	dir:      "gitlab",
	provider: func(entry) string { return "gitlab" },
	ignored: func(e entry, facts map[string]any) bool {
		kind := e.text("object_kind")
		return gitlabIgnored[kind] || kind == "build" && facts["environment"] == nil
	},
	facts: factTable{
		"event":          "metadata.event",
		"object_kind":    "metadata.object_kind",
		"event_name":     "metadata.event_name",
		"event_type":     "metadata.event_type",
		"action":         "metadata.action",
		"actor_username": "metadata.user_username",
		"actor_name":     "metadata.user_name",
		"actor_email":    "metadata.user_email",
		"user_username":  "changed_by",
		"user_name":      "metadata.user_name",
		"repository":     "repository",
		"repository_url": "metadata.repository_url",
		"default_branch": "metadata.default_branch",
		"project_id":     "metadata.project_id",

		// Who pushed is who did it; in administration it is whom it was done to.
		"Push Hook/actor_username":     "changed_by",
		"Tag Push Hook/actor_username": "changed_by",

		"ref": "metadata.ref", "branch": "branch", "tag": "version", "before": "metadata.before", "after": "metadata.after",
		"checkout_sha": "metadata.checkout_sha", "commit_count": "metadata.commit_count",
		"last_commit_id": "metadata.last_commit_id", "last_commit_timestamp": "metadata.last_commit_timestamp",

		"mr_iid": "pr_number", "mr_id": "external_id", "mr_url": "pr_url", "mr_title": "metadata.mr_title", "mr_state": "metadata.mr_state",
		"mr_merge_status": "metadata.merge_status", "merge_commit_sha": "commit_sha", "source_branch": "metadata.source_branch",
		"target_branch": "branch", "target_repository": "metadata.target_repository",

		"pipeline_id": "external_id", "pipeline_iid": "metadata.pipeline_iid", "pipeline_url": "pipeline_url",
		"pipeline_source": "metadata.source", "status": "metadata.status", "detailed_status": "metadata.detailed_status",
		"is_tag": "metadata.tag", "sha": "commit_sha", "commit_id": "commit_sha", "commit_timestamp": "metadata.commit_timestamp",
		"created_at": "metadata.created_at", "updated_at": "metadata.updated_at", "finished_at": "metadata.finished_at",

		"build_id": "external_id", "build_name": "resource.name", "build_stage": "metadata.build_stage", "build_status": "metadata.build_status",
		"build_started_at": "metadata.build_started_at", "build_finished_at": "metadata.build_finished_at",
		"repository_name": "metadata.repository_name", "Job Hook/pipeline_id": "metadata.pipeline_id",

		"deployment_id": "external_id", "environment": "environment", "environment_url": "resource.url", "deployable_url": "pipeline_url",
		"short_sha": "metadata.short_sha", "commit_url": "metadata.commit_url", "commit_title": "commit_message",
		"status_changed_at": "occurred_at",

		"release_action": "metadata.action", "release_name": "metadata.release_name", "release_url": "resource.url",
		"released_at": "metadata.released_at",

		"flag_id": "external_id", "flag_name": "resource.name", "flag_description": "description", "flag_active": "metadata.active",

		"group_access": "metadata.group_access", "group_name": "metadata.group_name", "group_path": "metadata.group_path",
		"access_level": "metadata.access_level", "name": "metadata.name", "path": "metadata.path", "full_path": "metadata.full_path",
		"path_with_namespace": "metadata.path_with_namespace", "old_path": "metadata.old_path", "owner_name": "metadata.owner_name",
		"username": "metadata.username", "state": "metadata.state",
	},
}
