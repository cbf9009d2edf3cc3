package bitbucket_test

import (
	"testing"

	"golang.org/x/tools/txtar"

	"whatchanged/normalizers/bitbucket"
	"whatchanged/normalizers/normtest"
)

func TestBitbucket(t *testing.T) { normtest.Run(t, bitbucket.New(), "testdata/*.txtar") }

func FuzzNormalize(f *testing.F) { normtest.Fuzz(f, bitbucket.New()) }

// BenchmarkNormalize measures the events that come most, beside decoding them.
func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct{ name, event string }{
		{"cloud_push", "repo:push"}, {"cloud_merged", "pullrequest:fulfilled"}, {"cloud_build_failed", "repo:commit_status_updated"},
		{"push", "repo:refs_changed"}, {"merged", "pr:merged"},
	} {
		b.Run(c.name, func(b *testing.B) {
			records := normtest.Records(b, body(b, c.name), "X-Event-Key", c.event, "X-Request-UUID", "13792a34-cac6-4fda-95a8-c58e00b30001")
			normtest.Bench(b, bitbucket.New(), records[0], func() any { return new(map[string]any) })
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
