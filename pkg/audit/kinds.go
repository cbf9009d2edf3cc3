package audit

import "slices"

// Operations that kinds share.
var (
	createOp = Operation{Name: OpCreate, Action: Create, Verb: "Created"}
	updateOp = Operation{Name: OpUpdate, Action: Update, Verb: "Updated"}
	deleteOp = Operation{Name: OpDelete, Action: Delete, Verb: "Deleted"}
	rotateOp = Operation{Name: OpRotate, Action: Update, Verb: "Rotated"}
	created  = []Operation{createOp, updateOp, deleteOp}
)

// common are fields that mean the same wherever they are.
var common = []Field{
	{Name: "id", Show: Ignored},
	{Name: "org", Show: Ignored},
	{Name: "created_at", Show: Ignored},
	{Name: "updated_at", Show: Ignored},
	{Name: "last_used", Show: Ignored},
	{Name: "last_seen", Show: Ignored},
	{Name: "name", Show: Shown},
	{Name: "description", Show: Omitted},
	{Name: "labels", Show: Omitted},
}

func shown(names ...string) []Field   { return fields(Shown, names) }
func omitted(names ...string) []Field { return fields(Omitted, names) }
func ignored(names ...string) []Field { return fields(Ignored, names) }

func fields(show Show, names []string) []Field {
	all := make([]Field, len(names))
	for i, name := range names {
		all[i] = Field{Name: name, Show: show}
	}
	return all
}

// step is an operation on a part of a pipeline: in the log of user actions it
// is done to the pipeline.
func step(o Operation, word string) Operation {
	o.Word = word
	return o
}

// bookkeeping is kinds of which nothing is recorded when they are written: who
// is signed in where is told by the events of signing in and out, and how much is
// stored is nobody's doing.
var bookkeeping = []string{"person", "usage"}

// kinds is every kind of object there is a record of. To add one, add it here,
// and run the tests with -update: docs/audit.md is made from it.
var kinds = []Kind{
	{
		Name: "org", Words: "organisation", Alias: "project", Area: "organisation", Operations: created,
		Fields: shown("limits", "retention", "quota_bytes"),
	},
	{
		Name: "org_variable", Words: "organisation environment variable", Alias: "project_variable", Area: "organisation",
		Operations: created, Fields: slices.Concat(shown("secret"), omitted("value")),
	},
	{
		Name: "service", Words: "service", Alias: "deployment", Area: "service", Operations: created,
		Fields: shown("repositories", "resources", "accounts", "tags", "owners", "dependencies"),
	},
	{
		Name: "service_variable", Words: "service environment variable", Alias: "deployment_variable", Area: "service", Parent: "service",
		Operations: created, Fields: slices.Concat(shown("secret"), omitted("value")),
	},
	{
		Name: "version", Words: "version", Area: "service", Parent: "service", Operations: created,
		Fields: slices.Concat(shown("version", "environment", "status"), ignored("service_id")),
	},
	{
		Name: "version_variable", Words: "version environment variable", Area: "service", Parent: "version",
		Operations: created, Fields: slices.Concat(shown("secret"), omitted("value")),
	},
	{
		Name: "version_file", Words: "version file", Area: "service", Parent: "version",
		Operations: []Operation{
			{Name: "upload", Action: Info, Verb: "Uploaded"},
			{Name: "download", Action: Info, Verb: "Downloaded"},
		},
	},
	{
		Name: "pipeline", Words: "pipeline", Area: "pipeline",
		Operations: []Operation{
			createOp, updateOp, deleteOp,
			{Name: "create_from_template", Action: Create, Verb: "Created", Suffix: "from a template"},
			{Name: "duplicate", Action: Create, Verb: "Created", Suffix: "as a duplicate"},
			{Name: "start", Action: Info, Verb: "Started"},
			{Name: "stop", Action: Info, Verb: "Stopped"},
			{Name: "reset", Action: Info, Verb: "Reset"},
			{Name: "resume", Action: Info, Verb: "Resumed"},
			{Name: "approve", Action: Info, Verb: "Approved"},
			{Name: "publish", Action: Info, Verb: "Published", Suffix: "to the catalog"},
		},
		Fields: slices.Concat(shown("source_id", "settings", "steps"), ignored("status")),
	},
	{
		Name: "pipeline_object", Words: "pipeline object", Area: "pipeline", Parent: "pipeline", OfParent: true,
		Operations: []Operation{step(createOp, "update_steps"), step(updateOp, "update_steps"), step(deleteOp, "update_steps")},
		Fields:     slices.Concat(shown("type", "position", "settings", "reference"), ignored("pipeline_id")),
	},
	{
		Name: "pipeline_attachment", Words: "pipeline attachment", Area: "pipeline", Parent: "pipeline", OfParent: true,
		Operations: []Operation{step(createOp, OpUpdate), step(deleteOp, OpUpdate)},
		Fields:     slices.Concat(shown("source_id", "stream_id"), ignored("pipeline_id")),
	},
	{
		Name: "schedule", Words: "request schedule", Alias: "request_schedule", Area: "schedule", Operations: created,
		Fields: slices.Concat(shown("schedule", "enabled", "object_type", "object_id"), omitted("request_data")),
	},
	{
		Name: "key", Words: "API key", Alias: "service_user", Area: "key",
		Operations: []Operation{createOp, updateOp, deleteOp, rotateOp},
		Fields: slices.Concat(
			shown("scopes", "role", "user_name", "user_email", "expires_at", "networks", "rate_limit", "disabled"),
			[]Field{{Name: "hash", Label: "token", Show: Omitted}, {Name: "token", Show: Omitted}},
			ignored("old_hash", "old_until", "rotated_at"),
		),
	},
	{
		Name: "source", Words: "source", Area: "source",
		Operations: []Operation{
			createOp, updateOp, deleteOp, rotateOp,
			{Name: "repair", Action: Info, Verb: "Asked again for missed deliveries of"},
		},
		Fields: slices.Concat(
			shown("provider", "auth", "secret_header", "signature_header", "signature_algorithm", "oidc", "topics", "networks",
				"default_environment", "default_service_id", "ignore_events", "ignore_branches", "services", "disabled", "old_token_until"),
			[]Field{{Name: "token_hash", Label: "token", Show: Omitted}},
			omitted("secrets", "aws", "github"),
			ignored("old_token_hash", "rotated_at"),
		),
	},
	{
		Name: "incident", Words: "incident", Area: "incident", Parent: "service", Operations: created,
		Fields: slices.Concat(
			shown("title", "status", "severity", "service_id", "environment", "started_at", "resolved_at", "url", "external_id"),
			ignored("service_name", "acknowledged_at", "source", "provider", "changed_by", "actor"),
		),
	},
	{
		Name: "dead_letter", Words: "dead letter", Area: "dead_letter",
		Operations: []Operation{
			{Name: "redrive", Action: Info, Verb: "Re-drove"},
			{Name: "discard", Action: Delete, Verb: "Discarded"},
		},
	},
	{
		Name: "alert_rule", Words: "alert rule", Area: "alert_rule", Operations: created,
		Fields: slices.Concat(shown("condition", "enabled", "severity", "channels"), omitted("config")),
	},
	{
		Name: "log_stream", Words: "log stream", Area: "log_stream",
		Operations: []Operation{
			createOp, updateOp, deleteOp,
			{Name: "pause", Action: Info, Verb: "Paused"},
			{Name: "resume", Action: Info, Verb: "Resumed"},
			{Name: "test", Action: Info, Verb: "Tested"},
		},
		Fields: slices.Concat(shown("type", "status", "filters", "format"), omitted("url", "headers", "secrets", "credentials", "config")),
	},
	{
		Name: "replay", Words: "replay", Area: "replay",
		Operations: []Operation{
			{Name: OpCreate, Action: Create, Verb: "Started"},
			{Name: "cancel", Action: Info, Verb: "Cancelled"},
			{Name: "resume", Action: Info, Verb: "Resumed"},
		},
		Fields: slices.Concat(shown("source_id", "provider", "start", "end", "deliveries", "dry_run"), ignored("by")),
	},
	{
		Name: "backup", Words: "backup", Area: "backup",
		Operations: []Operation{
			{Name: OpCreate, Action: Create, Verb: "Made"},
			{Name: "restore", Action: Info, Verb: "Restored"},
		},
	},
	{
		Name: "user", Words: "user", Area: "authentication",
		Operations: []Operation{
			createOp, updateOp, deleteOp,
			{Name: OpLogin, Action: Info, Verb: "Signed in"},
			{Name: OpLogout, Action: Info, Verb: "Signed out"},
		},
		Fields: shown("email", "role", "disabled"),
	},
}
