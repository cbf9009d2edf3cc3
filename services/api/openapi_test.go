package api_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
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

// Whoever reads the document sees of every parameter and every member what it
// is for, and how it looks.
func TestOpenAPI_ExplainsAndShowsEverything(t *testing.T) {
	t.Parallel()
	s := start(t)
	doc := s.call("GET", "/openapi.json", "", "Authorization", "").json(t)
	for path, operations := range doc["paths"].(map[string]any) {
		for method, o := range operations.(map[string]any) {
			o := o.(map[string]any)
			if o["summary"] == nil || o["operationId"] == nil || o["tags"] == nil {
				t.Errorf("%s %s has no summary, id or tag", method, path)
			}
			parameters, _ := o["parameters"].([]any)
			for _, p := range parameters {
				if p := p.(map[string]any); p["description"] == nil {
					t.Errorf("%s %s: parameter %s is not explained", method, path, p["name"])
				}
			}
		}
	}
	for name, schema := range doc["components"].(map[string]any)["schemas"].(map[string]any) {
		members, _ := schema.(map[string]any)["properties"].(map[string]any)
		for member, m := range members {
			m := m.(map[string]any)
			shown := m["examples"] != nil || m["enum"] != nil || m["$ref"] != nil || m["oneOf"] != nil
			items, _ := m["items"].(map[string]any)
			shown = shown || items["$ref"] != nil || items["enum"] != nil
			kinds := fmt.Sprint(m["type"])
			if !shown && !strings.Contains(kinds, "boolean") {
				t.Errorf("%s.%s (%s) has no example", name, member, kinds)
			}
		}
	}
}
