package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
)

// did is what is done to an object, and what the trail says of it.
type did struct {
	operation string
	object    audit.Object
	parents   []audit.Object
	old, new  any

	action      string // of the event
	area, word  string // in the log of user actions
	target      string
	description string
}

type fields = map[string]any

var (
	serviceObject  = audit.Object{Kind: "service", ID: "svc_1", Name: "checkout"}
	versionObject  = audit.Object{Kind: "version", ID: "ver_1", Name: "v2"}
	pipelineObject = audit.Object{Kind: "pipeline", ID: "pip_1", Name: "pipeline-1"}
)

// life is the creation, update and deletion of an object of a kind: the update
// changes its name, its labels and the field of which no value is told.
func life(kind, words, area, secret string, parents ...audit.Object) []did {
	o := audit.Object{Kind: kind, ID: kind + "_1"}
	of := ""
	for _, p := range parents[:min(1, len(parents))] {
		of = " for " + p.Kind + " '" + p.Name + "'"
	}
	before, after := fields{"name": "before"}, fields{"name": "after", "labels": fields{"team": "hidden-label"}}
	before[secret], after[secret] = "hidden-before", "hidden-after"
	set, changed := ": "+secret+" set", ", "+secret+" changed, labels changed"
	return []did{
		{"create", o, parents, nil, before, "create", area, "create", o.ID, "Created " + words + " 'before'" + of + set},
		{"update", o, parents, before, after, "update", area, "update", o.ID, "Updated " + words + " 'after'" + of + ": name changed from 'before' to 'after'" + changed},
		{"delete", o, parents, after, nil, "delete", area, "delete", o.ID, "Deleted " + words + " 'after'" + of},
	}
}

// tell records what is done, and compares what the API then says of it.
func tell(t *testing.T, s *system, all []did) {
	t.Helper()
	ctx := s.actor("Jane", "jane@example.com")
	for _, d := range all {
		if err := s.audit.Record(ctx, audit.Change{
			Org: orgName, Operation: d.operation, Object: d.object, Parents: d.parents, Old: d.old, New: d.new,
		}); err != nil {
			t.Fatal(err)
		}
	}
	filter := client.AuditFilter{ObjectType: all[0].object.Kind, ObjectID: all[0].object.ID, User: "jane@example.com", Sort: "asc"}
	events := s.events(filter, len(all))
	actions, err := s.admin.UserActions(t.Context(), time.Now(), all[0].area)
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]client.UserAction{}
	for _, a := range actions.Data {
		byID[a.ID] = a
	}
	for i, d := range all {
		e := events[i]
		if e.Action != d.action || e.Description != d.description {
			t.Errorf("%s of %s: %s %q\nwant %s %q", d.operation, d.object.Kind, e.Action, e.Description, d.action, d.description)
		}
		if strings.Contains(e.Description, "hidden") {
			t.Errorf("%s of %s tells what it must not: %s", d.operation, d.object.Kind, e.Description)
		}
		want := client.UserAction{Type: d.area, Action: d.word, TargetID: d.target, UserEmail: "jane@example.com"}
		a := byID[e.ID.String()]
		got := client.UserAction{Type: a.Type, Action: a.Action, TargetID: a.TargetID, UserEmail: a.UserEmail}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the action %s of %s (-want +got):\n%s", d.operation, d.object.Kind, diff)
		}
	}
}

// S2-14, S3-17, S3-18, S3-19, S3-20, S3-23, S3-24, S3-25, S3-26, S3-27, S3-28, S3-30, S3-33, S3-34: each kind, those that the
// product gets later too, tells what it must and nothing else, from the recorder to the API.
func TestAudit_EveryKindIsRecordedAndRead(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, c := range []struct {
		name string
		did  []did
	}{
		{"project", life("org", "organisation", "organisation", "description")},
		{"project environment variable", life("org_variable", "organisation environment variable", "organisation", "value")},
		{"deployment", life("service", "service", "service", "description")},
		{"deployment environment variable", life("service_variable", "service environment variable", "service", "value", serviceObject)},
		{"version", life("version", "version", "service", "description", serviceObject)},
		{"version environment variable", life("version_variable", "version environment variable", "service", "value", versionObject, serviceObject)},
		{"pipeline", life("pipeline", "pipeline", "pipeline", "description")},
		{"request schedule", life("schedule", "request schedule", "schedule", "request_data")},
		{"service user", life("key", "API key", "key", "token")},
		{"incident", life("incident", "incident", "incident", "description")},
		{"alert rule", life("alert_rule", "alert rule", "alert_rule", "config")},
		{"log stream", life("log_stream", "log stream", "log_stream", "credentials")},
	} {
		t.Run(c.name, func(t *testing.T) { tell(t, s, c.did) })
	}
}

// S2-11, S3-14, S3-15, S3-31: the printed description, word for word.
func TestAudit_ThePrintedDescription(t *testing.T) {
	t.Parallel()
	s := start(t)
	o := audit.Object{Kind: "pipeline_object", ID: "obj_1"}
	in := []audit.Object{pipelineObject}
	tell(t, s, []did{
		{"create", o, in, nil, fields{"name": "deployment-1"}, "create", "pipeline", "update_steps", "pip_1",
			"Created pipeline object 'deployment-1' for pipeline 'pipeline-1'"},
		{"update", o, in, fields{"name": "deployment-1"}, fields{"name": "deployment-object"}, "update", "pipeline", "update_steps", "pip_1",
			"Updated pipeline object 'deployment-object' for pipeline 'pipeline-1': name changed from 'deployment-1' to 'deployment-object'"},
		{"delete", o, in, fields{"name": "deployment-object"}, nil, "delete", "pipeline", "update_steps", "pip_1",
			"Deleted pipeline object 'deployment-object' for pipeline 'pipeline-1'"},
	})
}

// S2-2, S2-6, S2-7, S2-8, S2-9, S2-10, S2-12, S2-13, S2-14, S2-15, S2-16: all that is done with pipelines.
func TestAudit_WhatIsDoneWithAPipeline(t *testing.T) {
	t.Parallel()
	s := start(t)
	o := pipelineObject
	f := func(operation, action, description string) did {
		return did{operation, o, nil, nil, nil, action, "pipeline", operation, o.ID, description}
	}
	update := f("update", "update", "Updated pipeline 'pipeline-1': settings changed from {\"retries\":1} to {\"retries\":2}")
	update.old, update.new = fields{"settings": fields{"retries": 1}}, fields{"settings": fields{"retries": 2}}
	tell(t, s, []did{
		f("create_from_template", "create", "Created pipeline 'pipeline-1' from a template"),
		f("start", "info", "Started pipeline 'pipeline-1'"),
		f("stop", "info", "Stopped pipeline 'pipeline-1'"),
		f("reset", "info", "Reset pipeline 'pipeline-1'"),
		f("resume", "info", "Resumed pipeline 'pipeline-1'"),
		f("approve", "info", "Approved pipeline 'pipeline-1'"),
		update,
		f("publish", "info", "Published pipeline 'pipeline-1' to the catalog"),
		f("duplicate", "create", "Created pipeline 'pipeline-1' as a duplicate"),
		f("delete", "delete", "Deleted pipeline 'pipeline-1'"),
	})
}

// S2-12, S3-32: steps and attachments of a pipeline are changed on the pipeline.
func TestAudit_StepsAndAttachmentsBelongToTheirPipeline(t *testing.T) {
	t.Parallel()
	s := start(t)
	in := []audit.Object{pipelineObject}
	o := audit.Object{Kind: "pipeline_attachment", ID: "att_1", Name: "github"}
	tell(t, s, []did{
		{"create", o, in, nil, fields{"source_id": "src_1"}, "create", "pipeline", "update", "pip_1",
			"Created pipeline attachment 'github' for pipeline 'pipeline-1': source_id set to 'src_1'"},
		{"delete", o, in, nil, nil, "delete", "pipeline", "update", "pip_1",
			"Deleted pipeline attachment 'github' for pipeline 'pipeline-1'"},
	})
}

// S3-13, S3-29: what is none of create, update and delete is info, as with a version's file.
func TestAudit_AFilesUploadAndDownloadAreInfo(t *testing.T) {
	t.Parallel()
	s := start(t)
	o := audit.Object{Kind: "version_file", ID: "fil_1", Name: "deploy.zip"}
	of := []audit.Object{versionObject, serviceObject}
	tell(t, s, []did{
		{"upload", o, of, nil, nil, "info", "service", "upload", "fil_1", "Uploaded version file 'deploy.zip' for version 'v2'"},
		{"download", o, of, nil, nil, "info", "service", "download", "fil_1", "Downloaded version file 'deploy.zip' for version 'v2'"},
	})
}

// S3-5: the trail of the whole project, of one deployment, of one pipeline.
func TestAudit_IsReadByProjectDeploymentOrPipeline(t *testing.T) {
	t.Parallel()
	s := start(t)
	ctx := s.actor("Jane", "jane@example.com")
	record := func(operation string, o audit.Object, parents ...audit.Object) {
		t.Helper()
		if err := s.audit.Record(ctx, audit.Change{Org: orgName, Operation: operation, Object: o, Parents: parents}); err != nil {
			t.Fatal(err)
		}
	}
	record("create", serviceObject)
	record("create", versionObject, serviceObject)
	record("create", audit.Object{Kind: "version_variable", ID: "var_1", Name: "URL"}, versionObject, serviceObject)
	record("create", pipelineObject)
	record("create", audit.Object{Kind: "pipeline_object", ID: "obj_1", Name: "step"}, pipelineObject)
	record("create", audit.Object{Kind: "schedule", ID: "sch_1", Name: "nightly"})
	of := func(f client.AuditFilter, n int, want ...string) {
		t.Helper()
		f.User, f.Sort = "Jane", "asc"
		var names []string
		for _, e := range s.events(f, n) {
			names = append(names, e.Object.Name)
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", f, diff)
		}
	}
	of(client.AuditFilter{}, 6, "checkout", "v2", "URL", "pipeline-1", "step", "nightly")
	of(client.AuditFilter{ServiceID: "svc_1"}, 3, "checkout", "v2", "URL")
	of(client.AuditFilter{PipelineID: "pip_1"}, 2, "pipeline-1", "step")
	of(client.AuditFilter{Action: "create", ObjectType: "request_schedule"}, 1, "nightly")
}

// S3-35, S3-36, S1-5: what is taken in as a change, and payloads that are read, are no events of the trail.
func TestAudit_WhatIsIngestedIsNotAnEvent(t *testing.T) {
	t.Parallel()
	s := start(t)
	logged := s.log(s.admin, client.NewChange{Summary: "a change"})
	if _, err := s.admin.Payload(t.Context(), logged.Provenance.DeliveryID); err != nil {
		t.Fatal(err)
	}
	s.deliver(orgName, "src_x", `{"title": "a webhook"}`, nil)
	if _, err := s.admin.CreateService(t.Context(), client.NewService{Name: "the last event"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range s.events(client.AuditFilter{}, 3) {
		got = append(got, e.Description)
	}
	want := []string{"Created service 'the last event'", "Created API key 'test': scopes set to ['admin'], role set to 'site_admin', token set", "Created organisation 'acme'"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// S2-23, S2-24, S2-30, S2-31: a week without a date, one day with it, newest first, and at most a thousand.
func TestAudit_LogsOfAWeekAndOfADay(t *testing.T) {
	t.Parallel()
	s := start(t)
	now := time.Now().UTC()
	var events []audit.Event
	var uses []audit.Use
	for _, days := range []int{0, 3, 6, 8, 30} {
		at := now.AddDate(0, 0, -days).Add(-time.Minute)
		use := audit.NewUse(auth.Principal{Org: orgName, KeyID: "key_old", Scopes: []string{auth.EventsRead}}, "GET", "/api/v1/changes", at)
		uses = append(uses, use)
		events = append(events, audit.Event{
			ID: use.ID, Version: 1, Org: orgName, At: use.At, Area: "pipeline", Operation: "start", Action: audit.Info,
			Object: pipelineObject, TargetID: pipelineObject.ID, Outcome: audit.Done,
		})
	}
	if err := s.store.InsertAuditEvents(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if err := s.store.InsertUses(t.Context(), uses); err != nil {
		t.Fatal(err)
	}
	count := func(day time.Time, want int) {
		t.Helper()
		actions, err := s.admin.UserActions(t.Context(), day, "pipeline")
		if err != nil || actions.Count != want || len(actions.Data) != want {
			t.Errorf("actions of %s: %d %d %v, want %d", day, actions.Count, len(actions.Data), err, want)
		}
		used, err := s.admin.TokenUses(t.Context(), day, auth.EventsRead)
		if err != nil || used.Count != want || len(used.Data) != want {
			t.Errorf("uses of %s: %d %d %v, want %d", day, used.Count, len(used.Data), err, want)
		}
	}
	count(time.Time{}, 3)
	count(events[3].At.Time, 1)
	count(events[4].At.Time, 1)
	count(now.AddDate(0, 0, -100), 0)

	var many []audit.Use
	for range 1005 {
		many = append(many, audit.NewUse(auth.Principal{Org: orgName, KeyID: "key_busy", Scopes: []string{auth.EventsWrite}}, "GET", "/api/v1/changes", now))
	}
	if err := s.store.InsertUses(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	if used, err := s.admin.TokenUses(t.Context(), time.Time{}, auth.EventsWrite); err != nil || used.Count != 1000 {
		t.Errorf("of 1005 uses: %d %v, want 1000", used.Count, err)
	}
}
