package gitlab_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	gogitlab "github.com/xanzy/go-gitlab"
	"golang.org/x/tools/txtar"

	"whatchanged/normalizers/gitlab"
	"whatchanged/normalizers/normtest"
)

// BenchmarkNormalize measures the events that come most, beside decoding them
// into go-gitlab's types.
func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct {
		name, hook string
		body       []byte
		into       func() any
	}{
		{"push", "Push Hook", body(b, "push_default_branch"), func() any { return new(gogitlab.PushEvent) }},
		{"push_20_commits", "Push Hook", bigPush(), func() any { return new(gogitlab.PushEvent) }},
		{"merge_request", "Merge Request Hook", body(b, "merge_request_merged"), func() any { return new(gogitlab.MergeEvent) }},
		{"pipeline_40_jobs", "Pipeline Hook", bigPipeline(), func() any { return new(gogitlab.PipelineEvent) }},
		{"job", "Job Hook", body(b, "job_stops_environment"), func() any { return new(gogitlab.JobEvent) }},
		{"deployment", "Deployment Hook", body(b, "deployment_failed"), func() any { return new(gogitlab.DeploymentEvent) }},
		{"release", "Release Hook", body(b, "release_created"), func() any { return new(gogitlab.ReleaseEvent) }},
		{"member", "Member Hook", body(b, "member_removed"), func() any { return new(gogitlab.MemberEvent) }},
		{"note", "Note Hook", body(b, "note"), func() any { return new(gogitlab.MergeCommentEvent) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			records := normtest.Records(b, c.body, "X-Gitlab-Event", c.hook, "Idempotency-Key", "f5e5f430-f57b-4e6e-9fac-d9128cd7232f")
			normtest.Bench(b, gitlab.New(), records[0], c.into)
		})
	}
}

// body is a golden case's.
func body(tb testing.TB, name string) []byte {
	tb.Helper()
	archive, err := txtar.ParseFile("testdata/" + name + ".txtar")
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range archive.Files {
		if f.Name == "body.json" {
			return f.Data
		}
	}
	tb.Fatalf("%s has no body", name)
	return nil
}

const benchProject = `"project":{"id":15,"name":"Diaspora","web_url":"https://gitlab.example/mike/diaspora","path_with_namespace":"mike/diaspora",` +
	`"default_branch":"main","namespace":"Mike","visibility_level":0},"user":{"id":4,"name":"John Smith","username":"jsmith","email":"john@example.com"}`

// bigPush has as many commits as GitLab sends.
func bigPush() []byte {
	var commits []string
	for i := range 20 {
		commits = append(commits, fmt.Sprintf(`{"id":"%040d","message":"Change %d\n\nBecause it was time.","title":"Change %d",`+
			`"timestamp":"2026-01-05T11:%02d:00+00:00","url":"https://gitlab.example/mike/diaspora/-/commit/%d",`+
			`"author":{"name":"John Smith","email":"john@example.com"},"added":["app/a%d.rb"],"modified":["app/models/b%d.rb","README.md"],"removed":[]}`,
			i, i, i, i, i, i, i))
	}
	return []byte(`{"object_kind":"push","event_name":"push","before":"` + strings.Repeat("a", 40) + `","after":"` + fmt.Sprintf("%040d", 19) +
		`","ref":"refs/heads/main","ref_protected":true,"checkout_sha":"` + fmt.Sprintf("%040d", 19) + `","user_id":4,"user_name":"John Smith",` +
		`"user_username":"jsmith","project_id":15,` + benchProject + `,"commits":[` + strings.Join(commits, ",") + `],"total_commits_count":20}`)
}

// bigPipeline has as many jobs as a larger project's.
func bigPipeline() []byte {
	var jobs []string
	for i := range 40 {
		jobs = append(jobs, fmt.Sprintf(`{"id":%d,"stage":"test","name":"rspec %d/40","status":"success","created_at":"2026-01-05 11:00:00 UTC",`+
			`"started_at":"2026-01-05 11:01:00 UTC","finished_at":"2026-01-05 11:09:00 UTC","duration":480.5,"queued_duration":2.1,"failure_reason":null,`+
			`"when":"on_success","manual":false,"allow_failure":false,"user":{"id":4,"name":"John Smith","username":"jsmith"},`+
			`"runner":{"id":380987,"description":"shared","runner_type":"instance_type","active":true,"is_shared":true,"tags":["linux","docker"]},`+
			`"artifacts_file":{"filename":null,"size":null},"environment":null}`, 500+i, i))
	}
	doc := `{"object_kind":"pipeline","object_attributes":{"id":31,"iid":3,"name":"Deploy to production","ref":"main","tag":false,` +
		`"sha":"bcbb5ec396a2c0f828686f14fac9b80b780504f2","before_sha":"bcbb5ec396a2c0f828686f14fac9b80b780504f2","source":"push","status":"success",` +
		`"detailed_status":"passed","stages":["build","test","deploy"],"created_at":"2026-01-05 11:00:00 UTC","finished_at":"2026-01-05 11:10:00 UTC",` +
		`"duration":600,"queued_duration":3,"url":"https://gitlab.example/mike/diaspora/-/pipelines/31"},"merge_request":null,` + benchProject +
		`,"commit":{"id":"bcbb5ec396a2c0f828686f14fac9b80b780504f2","message":"test\n","title":"test","timestamp":"2026-01-05T11:00:00+00:00"},"builds":[` +
		strings.Join(jobs, ",") + `]}`
	return bytes.TrimSpace([]byte(doc))
}
