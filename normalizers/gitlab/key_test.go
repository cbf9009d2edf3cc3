package gitlab_test

import (
	"net/http"
	"testing"

	"whatchanged/normalizers"
	"whatchanged/normalizers/gitlab"
)

// A project's hook, its group's and the instance's say the same deployment in
// requests of their own.
func TestKey_IsTheDeploymentsByWhateverHook(t *testing.T) {
	key := func(name, header, id string) string {
		t.Helper()
		r := normalizers.Record{Provider: "gitlab", Header: http.Header{header: {id}}, JSON: body(t, name)}
		res, err := gitlab.New().Normalize(r)
		if err != nil || len(res.Drafts) != 1 {
			t.Fatalf("%s: %d drafts, %v", name, len(res.Drafts), err)
		}
		return res.Drafts[0].Key
	}
	for _, name := range []string{"deployment_succeeded", "merge_request_merged"} {
		if a, b := key(name, "Idempotency-Key", "a"), key(name, "Webhook-Id", "b"); a != b {
			t.Errorf("%s has the keys %q and %q", name, a, b)
		}
	}
	if a, b := key("deployment_succeeded", "Idempotency-Key", "a"), key("deployment_failed", "Idempotency-Key", "a"); a == b {
		t.Errorf("what succeeded and what failed have the key %q", a)
	}
	if a, b := key("push_default_branch", "Idempotency-Key", "a"), key("push_default_branch", "Idempotency-Key", "b"); a == b {
		t.Errorf("two pushes have the key %q", a)
	}
	if a, b := key("push_default_branch", "Webhook-Id", "a"), key("push_default_branch", "Idempotency-Key", "a"); a != b {
		t.Errorf("one push has the keys %q and %q", a, b)
	}
}
