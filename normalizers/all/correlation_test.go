package all_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/change"
)

// delivered is one delivery of a test: a header and a body.
type delivered struct{ header, body string }

// What starts and later ends is told in several events: each is a change of its
// own, and the correlation id says that they are one story.
func TestCorrelation_TiesTheStepsOfOneOperation(t *testing.T) {
	set := all.Set()
	received := time.Date(2026, 3, 30, 13, 0, 0, 0, time.UTC)
	f := func(name string, want []change.Status, steps ...delivered) {
		t.Helper()
		var got []change.Status
		ids := map[string]bool{}
		for _, step := range steps {
			header := http.Header{}
			if name, value, ok := strings.Cut(step.header, ": "); ok {
				header.Set(name, value)
			}
			d := change.Delivery{ID: change.NewDeliveryID(received), Org: "acme", SourceID: "src_1", ReceivedAt: change.At(received), Header: header, Body: []byte(step.body)}
			res := set.Process(&d, normalizers.Settings{}, received, received)
			if len(res.Changes) == 0 {
				t.Errorf("%s: %s by %s: %s", name, res.Outcome, res.Provider, res.Reason)
			}
			for _, c := range res.Changes {
				got = append(got, c.Status)
				ids[c.CorrelationID] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: statuses (-want +got):\n%s", name, diff)
		}
		if len(ids) != 1 || ids[""] {
			t.Errorf("%s: correlation ids %v, want one", name, ids)
		}
	}
	ended := []change.Status{change.Started, change.Succeeded}
	broken := []change.Status{change.Started, change.Failed}

	deployment := `"deployment":{"id":1,"sha":"1111111111111111111111111111111111111111","ref":"main","environment":"production","creator":{"login":"mona"},"created_at":"2026-03-30T12:00:00Z"},"repository":{"id":7,"full_name":"acme/shop"},"sender":{"login":"mona"}`
	status := `{"action":"created","deployment_status":{"id":2,"state":%q,"created_at":"2026-03-30T12:05:00Z"},` + deployment + `}`
	f("GitHub deployment", ended,
		delivered{"X-GitHub-Event: deployment", `{"action":"created",` + deployment + `}`},
		delivered{"X-GitHub-Event: deployment_status", fmt.Sprintf(status, "success")})
	f("GitHub deployment that fails", broken,
		delivered{"X-GitHub-Event: deployment_status", fmt.Sprintf(status, "in_progress")},
		delivered{"X-GitHub-Event: deployment_status", fmt.Sprintf(status, "failure")})
	workflowRun := `{"action":%q,"workflow_run":{"id":9,"name":"Deploy","head_branch":"main","head_sha":"1111111111111111111111111111111111111111","run_number":3,"status":%q,"conclusion":%s,
		"workflow_id":4,"created_at":"2026-03-30T12:00:00Z","run_started_at":"2026-03-30T12:00:00Z","updated_at":"2026-03-30T12:05:00Z"},
		"workflow":{"id":4,"name":"Deploy","path":".github/workflows/deploy.yml"},"repository":{"id":7,"full_name":"acme/shop"},"sender":{"login":"mona"}}`
	f("GitHub workflow run", ended,
		delivered{"X-GitHub-Event: workflow_run", fmt.Sprintf(workflowRun, "in_progress", "in_progress", "null")},
		delivered{"X-GitHub-Event: workflow_run", fmt.Sprintf(workflowRun, "completed", "completed", `"success"`)})

	gitlab := `{"object_kind":"deployment","status":%q,"status_changed_at":"2026-03-30 12:0%d:00 +0000","deployment_id":15,"deployable_id":796,"environment":"production",
		"project":{"id":15,"path_with_namespace":"acme/shop","web_url":"https://gitlab.example/acme/shop"},"short_sha":"da156088","ref":"main","user":{"id":4,"username":"jsmith"}}`
	f("GitLab deployment", ended,
		delivered{"X-Gitlab-Event: Deployment Hook", fmt.Sprintf(gitlab, "running", 1)},
		delivered{"X-Gitlab-Event: Deployment Hook", fmt.Sprintf(gitlab, "success", 2)})
	pipeline := `{"object_kind":"pipeline","object_attributes":{"id":31,"ref":"main","sha":"1111111111111111111111111111111111111111","status":%q,"detailed_status":%q,
		"created_at":"2026-03-30 12:00:00 UTC","finished_at":%s},"user":{"id":4,"username":"jsmith"},"project":{"id":15,"path_with_namespace":"acme/shop","default_branch":"main"},
		"builds":[{"id":796,"stage":"deploy","name":"deploy production","status":%q,"environment":{"name":"production","action":"start"}}]}`
	f("GitLab pipeline", ended,
		delivered{"X-Gitlab-Event: Pipeline Hook", fmt.Sprintf(pipeline, "running", "running", "null", "running")},
		delivered{"X-Gitlab-Event: Pipeline Hook", fmt.Sprintf(pipeline, "success", "passed", `"2026-03-30 12:05:00 UTC"`, "success")})

	azure := `{"records":[{"time":"2026-03-30T12:0%d:00Z","resourceId":"/SUBSCRIPTIONS/S1/RESOURCEGROUPS/SHOP/PROVIDERS/MICROSOFT.WEB/SITES/API",
		"operationName":"MICROSOFT.WEB/SITES/WRITE","category":"Administrative","resultType":%q,"resultSignature":"%s.","correlationId":"c-1","identity":{"claims":{"name":"Mona"}},"level":"Information"}]}`
	f("Azure start and success", ended,
		delivered{"", fmt.Sprintf(azure, 1, "Start", "Started")}, delivered{"", fmt.Sprintf(azure, 2, "Success", "Succeeded.OK")})
	f("Azure start and failure", broken,
		delivered{"", fmt.Sprintf(azure, 1, "Start", "Started")}, delivered{"", fmt.Sprintf(azure, 2, "Failure", "Failed.Conflict")})

	google := `{"insertId":"i%d","logName":"projects/p/logs/cloudaudit.googleapis.com%%2Factivity","resource":{"type":"gce_instance","labels":{"project_id":"p"}},
		"timestamp":"2026-03-30T12:0%d:00Z","severity":"NOTICE","operation":{"id":"operation-1","producer":"compute.googleapis.com",%q:true},
		"protoPayload":{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","serviceName":"compute.googleapis.com","methodName":"v1.compute.instances.insert",
		"resourceName":"projects/p/zones/z/instances/api","authenticationInfo":{"principalEmail":"mona@example.com"}}}`
	f("Google operation", ended, delivered{"", fmt.Sprintf(google, 1, 1, "first")}, delivered{"", fmt.Sprintf(google, 2, 2, "last")})

	event := `{"version":"0","id":"e%[1]d","source":%[2]q,"detail-type":%[3]q,"account":"123456789012","time":"2026-03-30T12:0%[1]d:00Z","region":"eu-central-1","resources":[%[4]q],"detail":%[5]s}`
	aws := func(source, kind, resource, first, last string) []delivered {
		return []delivered{{"", fmt.Sprintf(event, 1, source, kind, resource, first)}, {"", fmt.Sprintf(event, 2, source, kind, resource, last)}}
	}
	codedeploy := `{"region":"eu-central-1","deploymentId":"d-123456789","state":%q,"application":"shop","deploymentGroup":"production"}`
	f("CodeDeploy", ended, aws("aws.codedeploy", "CodeDeploy Deployment State-change Notification", "arn:aws:codedeploy:eu-central-1:123456789012:application:shop",
		fmt.Sprintf(codedeploy, "START"), fmt.Sprintf(codedeploy, "SUCCESS"))...)
	codepipeline := `{"pipeline":"shop","version":1,"state":%q,"execution-id":"01234567-0123-0123-0123-012345678901"}`
	f("CodePipeline", ended, aws("aws.codepipeline", "CodePipeline Pipeline Execution State Change", "arn:aws:codepipeline:eu-central-1:123456789012:shop",
		fmt.Sprintf(codepipeline, "STARTED"), fmt.Sprintf(codepipeline, "SUCCEEDED"))...)
	ecs := `{"eventType":"INFO","eventName":%q,"deploymentId":"ecs-svc/123","updatedAt":"2026-03-30T12:00:00Z","reason":"ECS deployment ecs-svc/123."}`
	f("ECS", ended, aws("aws.ecs", "ECS Deployment State Change", "arn:aws:ecs:eu-central-1:123456789012:service/default/shop",
		fmt.Sprintf(ecs, "SERVICE_DEPLOYMENT_IN_PROGRESS"), fmt.Sprintf(ecs, "SERVICE_DEPLOYMENT_COMPLETED"))...)
	codebuild := `{"build-status":%q,"project-name":"shop","build-id":"arn:aws:codebuild:eu-central-1:123456789012:build/shop:1"}`
	f("CodeBuild", ended, aws("aws.codebuild", "CodeBuild Build State Change", "arn:aws:codebuild:eu-central-1:123456789012:build/shop:1",
		fmt.Sprintf(codebuild, "IN_PROGRESS"), fmt.Sprintf(codebuild, "SUCCEEDED"))...)
}
