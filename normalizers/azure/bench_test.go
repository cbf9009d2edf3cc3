package azure_test

import (
	"testing"

	"whatchanged/normalizers/azure"
	"whatchanged/normalizers/normtest"
)

func BenchmarkNormalize(b *testing.B) {
	normtest.BenchCases(b, azure.New(), map[string]string{
		"activity-log":    "testdata/vm-deleted-start.txtar",
		"role-assignment": "testdata/owner-assigned.txtar",
		"event-grid":      "testdata/grid-batch.txtar",
		"directory":       "testdata/role-member-added.txtar",
		"sign-in":         "testdata/sign-in.txtar",
	})
}
