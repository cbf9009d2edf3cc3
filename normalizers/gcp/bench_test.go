package gcp_test

import (
	"testing"

	"whatchanged/normalizers/gcp"
	"whatchanged/normalizers/normtest"
)

func BenchmarkNormalize(b *testing.B) {
	normtest.BenchCases(b, gcp.New(), map[string]string{
		"small-iam-grant":       "testdata/owner-granted.txtar",
		"kubernetes-deployment": "testdata/kubernetes-deploy.txtar",
		"cloud-build":           "testdata/build-unwrapped.txtar",
		"read":                  "testdata/read.txtar",
	})
}
