// Package sbom writes what a program is made of as a CycloneDX document. It
// takes it from what Go's linker wrote into the program, so that the document
// and the program cannot differ. It does not look for vulnerabilities or
// licences.
package sbom

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path"
	"runtime/debug"
	"strings"
)

// specVersion is the version of CycloneDX that is written.
const specVersion = "1.6"

// Component is a part that Go's linker knows nothing about, such as a library
// that is loaded at run time.
type Component struct {
	Name, Version string
	PURL          string // its package URL
}

// Write writes the document of the program that info describes, known to people
// as version. The same program gives the same bytes: there is no time in it.
func Write(w io.Writer, info *debug.BuildInfo, version string, more ...Component) error {
	main := component{
		Type: "application", Name: path.Base(info.Main.Path), Version: version,
		PURL: golang(info.Main.Path, version), Properties: settings(info.Settings),
	}
	main.Ref = main.PURL
	doc := document{
		Format: "CycloneDX", SpecVersion: specVersion, Version: 1,
		Metadata: metadata{Component: main},
	}
	add := func(c component) {
		c.Type, c.Ref = "library", c.PURL
		doc.Components = append(doc.Components, c)
		doc.uses(main.Ref, c.Ref)
	}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		c := component{Name: dep.Path, Version: dep.Version, PURL: golang(dep.Path, dep.Version)}
		if dep.Sum != "" {
			c.Properties = []property{{"go.sum", dep.Sum}}
		}
		add(c)
	}
	toolchain := strings.TrimPrefix(strings.Fields(info.GoVersion + " ")[0], "go")
	add(component{Name: "stdlib", Version: toolchain, PURL: golang("stdlib", toolchain)})
	for _, m := range more {
		add(component{Name: m.Name, Version: m.Version, PURL: m.PURL})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("write the bill of materials: %w", err)
	}
	return nil
}

// golang returns the package URL of a Go module.
func golang(module, version string) string {
	parts := strings.Split(module, "/")
	for i, p := range parts {
		parts[i] = escape(p)
	}
	return "pkg:golang/" + strings.Join(parts, "/") + "@" + escape(version)
}

// escape escapes a part of a package URL, where + may not stand for itself.
func escape(part string) string { return strings.ReplaceAll(url.PathEscape(part), "+", "%2B") }

// settings keeps what says how the program was built, and not where.
func settings(all []debug.BuildSetting) []property {
	var out []property
	for _, s := range all {
		switch s.Key {
		case "-tags", "-trimpath", "CGO_ENABLED", "GOARCH", "GOOS", "GOAMD64", "GOARM64", "vcs.revision", "vcs.modified":
			out = append(out, property{"go.build." + strings.TrimPrefix(s.Key, "-"), s.Value})
		}
	}
	return out
}

// document is the part of CycloneDX's bill of materials that we write:
// https://cyclonedx.org/docs/1.6/json/
type document struct {
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Ref        string     `json:"bom-ref"`
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	PURL       string     `json:"purl"`
	Properties []property `json:"properties,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref  string   `json:"ref"`
	Uses []string `json:"dependsOn"`
}

// uses notes that one component is made of another. Which dependency needs
// which is not in a program, so that all are the program's own.
func (d *document) uses(ref, used string) {
	if len(d.Dependencies) == 0 {
		d.Dependencies = []dependency{{Ref: ref}}
	}
	d.Dependencies[0].Uses = append(d.Dependencies[0].Uses, used)
}
