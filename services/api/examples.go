package api

import (
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// examples are what the document shows for members of these names, wherever a
// schema has none of its own: a name means the same everywhere.
var examples = map[string]string{
	"_id": "aud_01kjx2v5c0qj3m8z4n6r7t9w1y", "account": "123456789012", "action": "deployment.succeeded",
	"body_sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", "branch": "main", "chain": "01kjx2v5",
	"changes": "/api/v1/changes?service_id=svc_abc123", "commit_message": "Raise pool size to 40", "commit_sha": "abc1234def5678",
	"correlation_id": "run-4711", "default_environment": "production", "default_service_id": "svc_abc123",
	"delivery_id": "dlv_01kjx2v5c0qj3m8z4n6r7t9w1y", "description": "Release includes new billing module and bug fixes",
	"detected_by": "header:X-GitHub-Event", "email": "jane.doe@example.com", "endpoint": "https://s3.eu-west-1.amazonaws.com",
	"environment": "production", "external_id": "4711", "first_error": "normalize: unexpected end of JSON", "id": "jane.doe",
	"idempotency_key": "build-4711-1", "identity": "github:72d3162e-cc78-11e3-81ab-4c9367dc0958",
	"incidents_url": "https://changes.example.com/api/webhooks/incoming/incidents/wct_...",
	"key":           "wc_live_...", "key_id": "key_01kjx2v5c0qj3m8z4n6r7t9w1y", "last_error": "insert: connection refused", "name": "API Gateway",
	"next":        "/api/v1/changes/chg_01kjx2v5c0qj3m8z4n6r7t9w1y/window?cursor=...",
	"next_cursor": "AZ0...", "normalizer": "github", "note": "complete until its usual lag", "outcome": "unknown",
	"pipeline_url": "https://ci.example.com/acme/gateway/4711", "pr_number": "42", "pr_url": "https://github.com/acme/gateway/pull/42",
	"provider": "github", "reason": "read_only", "region": "eu-west-1", "repository": "acme/gateway",
	"resource_url": "https://console.example.com/gateway", "secret": "the secret that the sender signs with",
	"secret_access_key": "the secret of that access key", "secret_header": "X-Api-Key", "service_id": "svc_abc123", "service_name": "API Gateway",
	"session_id": "deploy-4711", "signature_algorithm": "sha256", "signature_header": "X-Signature", "source": "github_actions",
	"source_id": "src_01kjx2v5c0qj3m8z4n6r7t9w1y", "target_id": "svc_abc123", "title": "Deploy v2.1.0 to production", "token": "wct_...",
	"token_id": "key_01kjx2v5c0qj3m8z4n6r7t9w1y", "type": "user", "url": "https://example.pagerduty.com/incidents/Q0RA1B2C3D4E5F",
	"user_email": "jane.doe@example.com", "user_id": "jane.doe@example.com", "user_name": "Jane Doe", "version": "v2.1.0",
	"webhook_url":  "https://changes.example.com/api/webhooks/incoming/changes/wct_...",
	"what_changed": "/api/v1/what-changed?at=2026-03-30T15:30:00.000Z",
}

// listExamples are the same for lists of texts.
var listExamples = map[string][]string{
	"accounts": {"123456789012"}, "dependencies": {"svc_database1"}, "ignore_branches": {"renovate/*"}, "ignore_events": {"github.star"},
	"networks": {"192.30.252.0/22"}, "owners": {"team-gateway"}, "repositories": {"acme/gateway"}, "resources": {"api-gateway"},
	"risk_hints": {"production"}, "scopes": {"changes:read"}, "secrets": {"the secret that the sender signs with"},
	"tag_list": {"billing"}, "tags": {"billing", "release"}, "topics": {"arn:aws:sns:eu-west-1:123456789012:changes"},
}

// objectExamples are the same for objects of any content.
var objectExamples = map[string]map[string]any{
	"group": {"source": "github"}, "metadata": {"old_value": 20, "new_value": 40}, "tags": {"team": "billing"},
}

// exemplify gives every member of a schema that says nothing of the kind an
// example.
func exemplify(s *huma.Schema) {
	for name, member := range s.Properties {
		if len(member.Examples) > 0 || len(member.Enum) > 0 || member.Ref != "" || len(member.OneOf) > 0 {
			continue
		}
		switch member.Type {
		case huma.TypeString:
			if text, ok := examples[name]; ok {
				member.Examples = []any{text}
			} else if member.Format == "date-time" {
				member.Examples = []any{"2026-03-30T15:30:00.000Z"}
			}
		case huma.TypeInteger, huma.TypeNumber:
			member.Examples = []any{1}
		case huma.TypeArray:
			if list, ok := listExamples[name]; ok && member.Items.Type == huma.TypeString {
				member.Examples = []any{slices.Clone(list)}
			}
		case huma.TypeObject:
			if object, ok := objectExamples[name]; ok {
				member.Examples = []any{object}
			}
		}
	}
}
