package image

import (
	"bytes"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// checkSBOM reads a bill of materials with CycloneDX's own library, and looks
// whether it has what must be in it.
func checkSBOM(t *testing.T, text []byte) {
	t.Helper()
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
