package azuredevops_test

import (
	"testing"

	"whatchanged/normalizers/azuredevops"
	"whatchanged/normalizers/normtest"
)

func BenchmarkNormalize(b *testing.B) {
	normtest.BenchCases(b, azuredevops.New(), map[string]string{
		"build":        "testdata/build-complete.txtar",
		"release":      "testdata/release-approved.txtar",
		"push":         "testdata/push.txtar",
		"pull-request": "testdata/pull-request-merged.txtar",
	})
}
