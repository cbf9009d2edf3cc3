package gitea_test

import (
	"testing"

	"golang.org/x/tools/txtar"

	"whatchanged/normalizers/gitea"
	"whatchanged/normalizers/normtest"
)

// BenchmarkNormalize measures the events that come most, beside decoding them.
// Gitea's own types are in no package that one would depend on.
func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct{ name, event string }{
		{"push", "push"}, {"pull_request_merged", "pull_request"}, {"release_published", "release"}, {"branch_created", "create"},
	} {
		b.Run(c.name, func(b *testing.B) {
			records := normtest.Records(b, body(b, c.name), "X-Gitea-Event", c.event, "X-Gitea-Delivery", "13792a34-cac6-4fda-95a8-c58e00b30001")
			normtest.Bench(b, gitea.New(), records[0], func() any { return new(map[string]any) })
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
