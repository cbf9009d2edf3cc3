package api_test

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestOpenAPI_IsTheGoldenFile(t *testing.T) {
	t.Parallel()
	s := start(t)
	got := s.call("GET", "/openapi.json", "", "Authorization", "")
	if got.Status != 200 || got.Header.Get("Content-Type") != "application/openapi+json" {
		t.Fatalf("GET /openapi.json: %d %s", got.Status, got.Header)
	}
	const golden = "openapi.golden.json"
	if *update {
		if err := os.WriteFile(golden, []byte(got.Body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.Body); diff != "" {
		t.Errorf("openapi.json (-want +got), -update rewrites it:\n%s", diff)
	}
}
