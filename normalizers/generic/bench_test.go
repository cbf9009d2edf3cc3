package generic_test

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"whatchanged/normalizers/generic"
	"whatchanged/normalizers/normtest"
)

// BenchmarkNormalize measures small and large records of those without types
// of their own, beside decoding them into a map.
func BenchmarkNormalize(b *testing.B) {
	for _, name := range []string{"change-event", "deploy-script", "jenkins-completed", "launchdarkly-flag", "argocd-application", "kubernetes-audit", "alertmanager-firing", "infrastructure-events"} {
		b.Run(name, func(b *testing.B) {
			archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
			if err != nil {
				b.Fatal(err)
			}
			var body []byte
			for _, f := range archive.Files {
				if f.Name == "body.json" {
					body = []byte(strings.TrimSpace(string(f.Data)))
				}
			}
			normtest.Bench(b, generic.New(), normtest.Records(b, body)[0], func() any { return new(any) })
		})
	}
}
