package sbom_test

import (
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/sbom"
)

func TestWrite_ListsWhatTheLinkerPutIn(t *testing.T) {
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8 X:nodwarf5",
		Main:      debug.Module{Path: "example.com/tools/whatchanged", Version: "(devel)"},
		Deps: []*debug.Module{
			{Path: "github.com/BurntSushi/toml", Version: "v1.6.0", Sum: "h1:sum="},
			{Path: "old.example/fork", Version: "v1.0.0", Replace: &debug.Module{Path: "new.example/fork", Version: "v1.0.1+incompatible"}},
		},
		Settings: []debug.BuildSetting{{Key: "-ldflags", Value: "-X a.b=/home/someone"}, {Key: "-tags", Value: "nochdb"}, {Key: "GOOS", Value: "linux"}},
	}
	var got strings.Builder
	if err := sbom.Write(&got, info, "v2.1.0", sbom.Component{Name: "@chdb/lib", Version: "26.7.3", PURL: "pkg:npm/%40chdb/lib@26.7.3"}); err != nil {
		t.Fatal(err)
	}
	const want = `{
  "bomFormat": "CycloneDX",
  "specVersion": "1.6",
  "version": 1,
  "metadata": {
    "component": {
      "bom-ref": "pkg:golang/example.com/tools/whatchanged@v2.1.0",
      "type": "application",
      "name": "whatchanged",
      "version": "v2.1.0",
      "purl": "pkg:golang/example.com/tools/whatchanged@v2.1.0",
      "properties": [
        {
          "name": "go.build.tags",
          "value": "nochdb"
        },
        {
          "name": "go.build.GOOS",
          "value": "linux"
        }
      ]
    }
  },
  "components": [
    {
      "bom-ref": "pkg:golang/github.com/BurntSushi/toml@v1.6.0",
      "type": "library",
      "name": "github.com/BurntSushi/toml",
      "version": "v1.6.0",
      "purl": "pkg:golang/github.com/BurntSushi/toml@v1.6.0",
      "properties": [
        {
          "name": "go.sum",
          "value": "h1:sum="
        }
      ]
    },
    {
      "bom-ref": "pkg:golang/new.example/fork@v1.0.1%2Bincompatible",
      "type": "library",
      "name": "new.example/fork",
      "version": "v1.0.1+incompatible",
      "purl": "pkg:golang/new.example/fork@v1.0.1%2Bincompatible"
    },
    {
      "bom-ref": "pkg:golang/stdlib@1.26.8",
      "type": "library",
      "name": "stdlib",
      "version": "1.26.8",
      "purl": "pkg:golang/stdlib@1.26.8"
    },
    {
      "bom-ref": "pkg:npm/%40chdb/lib@26.7.3",
      "type": "library",
      "name": "@chdb/lib",
      "version": "26.7.3",
      "purl": "pkg:npm/%40chdb/lib@26.7.3"
    }
  ],
  "dependencies": [
    {
      "ref": "pkg:golang/example.com/tools/whatchanged@v2.1.0",
      "dependsOn": [
        "pkg:golang/github.com/BurntSushi/toml@v1.6.0",
        "pkg:golang/new.example/fork@v1.0.1%2Bincompatible",
        "pkg:golang/stdlib@1.26.8",
        "pkg:npm/%40chdb/lib@26.7.3"
      ]
    }
  ]
}
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
}
