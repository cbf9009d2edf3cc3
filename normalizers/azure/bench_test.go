package azure_test

import (
	"os"
	"testing"

	"golang.org/x/tools/txtar"

	"whatchanged/normalizers/azure"
	"whatchanged/normalizers/normtest"
)

func BenchmarkNormalize(b *testing.B) {
	for name, file := range map[string]string{
		"activity-log":    "testdata/vm-deleted-start.txtar",
		"role-assignment": "testdata/owner-assigned.txtar",
		"event-grid":      "testdata/grid-batch.txtar",
		"directory":       "testdata/role-member-added.txtar",
		"sign-in":         "testdata/sign-in.txtar",
	} {
		b.Run(name, func(b *testing.B) {
			normtest.Bench(b, azure.New(), normtest.Records(b, body(b, file))[0], func() any { return new(map[string]any) })
		})
	}
}

// body is what a golden case sends.
func body(b *testing.B, file string) []byte {
	b.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range txtar.Parse(data).Files {
		if f.Name == "body.json" {
			return f.Data
		}
	}
	b.Fatalf("%s has no body", file)
	return nil
}
