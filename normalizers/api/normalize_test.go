package api_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/normalizers/api"
	"whatchanged/pkg/change"
)

// S1-9 to S1-24: the fields and their defaults.
func TestParse_TakesEveryFieldOfTheRequest(t *testing.T) {
	got, err := api.Changes.Parse([]byte(`{
		"summary": " Deploy checkout 2.4.1 ", "change_type": "rollback", "description": "because", "source": "jenkins",
		"commit_sha": "9fceb02", "commit_message": "fix\n\nall of it", "branch": "main", "pr_number": 42,
		"pr_url": "https://example.com/pr/42", "pipeline_url": "https://example.com/run/7", "environment": "staging",
		"risk_level": "high", "changed_by": "ann@example.com", "external_id": "run-7", "tags": ["a", "b"],
		"metadata": {"k": [1, {"x": null}]}, "occurred_at": "2026-01-02T03:04:05.678+01:00", "action": "deployment.rollback",
		"status": "succeeded", "version": "2.4.1", "repository": "shop/checkout", "region": "eu-west-1", "account": "123",
		"session_id": "s1", "correlation_id": "c1", "actor": {"id": "u1", "name": "Ann", "type": "engineer"},
		"resource": {"type": "service", "id": "checkout", "name": "Checkout", "url": "https://example.com/checkout"}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	var occurred change.Time
	if err := occurred.UnmarshalJSON([]byte(`"2026-01-02T02:04:05.678Z"`)); err != nil {
		t.Fatal(err)
	}
	want := change.Change{
		Summary: "Deploy checkout 2.4.1", Type: change.Rollback, Description: "because", Source: "jenkins",
		CommitSHA: "9fceb02", CommitMessage: "fix\n\nall of it", Branch: "main", PRNumber: "42",
		PRURL: "https://example.com/pr/42", PipelineURL: "https://example.com/run/7", Environment: "staging",
		Risk: change.High, ChangedBy: "ann@example.com", ExternalID: "run-7", Tags: []string{"a", "b"},
		Metadata: json.RawMessage(`{"k": [1, {"x": null}]}`), OccurredAt: occurred, Action: "deployment.rollback",
		Status: change.Succeeded, Version: "2.4.1", Repository: "shop/checkout", Region: "eu-west-1", Account: "123",
		SessionID: "s1", CorrelationID: "c1", Actor: change.Actor{ID: "u1", Name: "Ann", Type: "engineer"},
		Resource: change.Resource{Type: "service", ID: "checkout", Name: "Checkout", URL: "https://example.com/checkout"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParse_FillsInDefaults(t *testing.T) {
	got, err := api.Changes.Parse([]byte(`{"summary": "hello", "description": null, "tags": {"team": "shop", "n": 1}, "changed_by": "ann", "metadata": {"service": "api-gateway"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := change.Change{
		Summary: "hello", Type: change.Deployment, Source: "api", Environment: "production", Risk: change.Low,
		Tags: []string{"team:shop", "n:1"}, ChangedBy: "ann", Actor: change.Actor{ID: "ann", Name: "ann", Type: "user"},
		Metadata: json.RawMessage(`{"service": "api-gateway"}`), Resource: change.Resource{ID: "api-gateway"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParse_NamesTheFieldThatIsWrong(t *testing.T) {
	f := func(body, field, message string) {
		t.Helper()
		_, err := api.Changes.Parse([]byte(body))
		var fault *api.FieldError
		if !errors.As(err, &fault) || !errors.Is(err, change.ErrMalformed) {
			t.Fatalf("Parse(%.80s) = %v, want a FieldError that is malformed", body, err)
		}
		if fault.Field != field || !strings.Contains(fault.Message, message) {
			t.Errorf("Parse(%.80s) = %q: %q, want %q: ...%q...", body, fault.Field, fault.Message, field, message)
		}
	}
	f(`{}`, "summary", "required")
	f(`{"summary": "  \n "}`, "summary", "required")
	f(`{"summary": 3}`, "summary", "string")
	f(`{"summary": "`+strings.Repeat("ä", 201)+`"}`, "summary", "200 characters")
	f(`{"summary": "s", "change_type": "party"}`, "change_type", "deployment, config_change")
	f(`{"summary": "s", "risk_level": "HIGH"}`, "risk_level", "low, medium, high, critical")
	f(`{"summary": "s", "status": "done"}`, "status", "started, succeeded")
	f(`{"summary": "s", "occurred_at": "yesterday"}`, "occurred_at", "RFC 3339")
	f(`{"summary": "s", "occurred_at": 1700000000}`, "occurred_at", "string")
	f(`{"summary": "s", "tags": "a,b"}`, "tags", "list")
	f(`{"summary": "s", "tags": [1]}`, "tags", "strings")
	f(`{"summary": "s", "metadata": []}`, "metadata", "object")
	f(`{"summary": "s", "metadata": {"a": "`+strings.Repeat("x", 64<<10)+`"}}`, "metadata", "65536 bytes")
	f(`{"summary": "s", "pr_number": 1.5}`, "pr_number", "whole number")
	f(`{"summary": "s", "pr_number": {}}`, "pr_number", "string")
	f(`{"summary": "s", "pr_url": "javascript:alert(1)"}`, "pr_url", "http")
	f(`{"summary": "s", "actor": {"type": "wizard"}}`, "actor.type", "ci_system")
	f(`{"summary": "s", "resource": {"url": "ftp://x"}}`, "resource.url", "http")
	f(`[]`, "", "object")
	f(`{"summary": "s"`, "", "")
}
