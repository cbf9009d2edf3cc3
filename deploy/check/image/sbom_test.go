package image

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// checkSBOM holds a bill of materials against CycloneDX's own schema, and looks
// whether it has what must be in it.
func checkSBOM(t *testing.T, text []byte) {
	t.Helper()
	checkSchema(t, text)
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatalf("the bill of materials: %v", err)
	}
	if got := bom.Metadata.Component.Version; got != version {
		t.Errorf("the bill of materials is of version %q, want %s", got, version)
	}
	found := map[string]bool{}
	for _, c := range *bom.Components {
		found[c.Name] = true
		if !strings.HasPrefix(c.PackageURL, "pkg:") || c.Version == "" {
			t.Errorf("component %s is at %q with version %q", c.Name, c.PackageURL, c.Version)
		}
	}
	for _, want := range []string{"stdlib", "github.com/nats-io/nats.go", "github.com/ClickHouse/clickhouse-go/v2"} {
		if !found[want] {
			t.Errorf("%s is not in the bill of materials", want)
		}
	}
}

// checkSchema uses the schemas that CycloneDX's library has beside its code.
func checkSchema(t *testing.T, text []byte) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatalf("find the schemas: %v", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "schema")
	compiler := jsonschema.NewCompiler()
	for name, file := range map[string]string{"jsf-0.82.schema.json": "jsf-0.82.schemax.json", "spdx.schema.json": "spdx.schema.json"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		part, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name, part); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile(filepath.Join(dir, "bom-1.6.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Errorf("the bill of materials: %v", err)
	}
}
