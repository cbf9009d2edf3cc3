package auditlog_test

import (
	"testing"

	"whatchanged/normalizers/github/auditlog"
	"whatchanged/normalizers/normtest"
)

func TestAuditLog(t *testing.T) { normtest.Run(t, auditlog.New(), "testdata/*.txtar") }

func FuzzNormalize(f *testing.F) { normtest.Fuzz(f, auditlog.New()) }

func BenchmarkNormalize(b *testing.B) {
	const body = `{"@timestamp":1767612000000,"_document_id":"kL1","action":"repo.update_member","actor":"mona","actor_id":583231,
		"actor_ip":"192.0.2.7","actor_location":{"country_code":"CH"},"business":"acme","org":"acme","org_id":9919,"repo":"acme/shop","repo_id":186853002,
		"user":"hubot","user_id":2,"old_repo_permission":"read","new_repo_permission":"admin","operation_type":"modify","created_at":1767612000000}`
	r := normtest.Records(b, []byte(body))[0]
	normtest.Bench(b, auditlog.New(), r, func() any { return new(map[string]any) })
}
