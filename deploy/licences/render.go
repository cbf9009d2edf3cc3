package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

var page = template.Must(template.New("").Funcs(template.FuncMap{"join": strings.Join}).Parse(
	"# Licences of what is in a release\n\n" +
		"`go run ./deploy/licences` writes this page from the modules that Go links into the program, on Linux (x86-64, arm64)\n" +
		"and macOS, and from the files in which each grants its licence; a test fails when it is out of date, and when a\n" +
		"licence appears that may not be passed on. `go run ./deploy/licences -texts` prints the files in full: they are\n" +
		"`/LICENCES.txt` in the images and `LICENCES.txt` in the archives of a release. Where a row has two licences, the\n" +
		"module has files under each. What is under MPL-2.0 is used unchanged.\n\n" +
		"| part | version | licence | |\n|---|---|---|---|\n" +
		"{{range .}}| {{.Name}} | {{.Version}} | {{join .Licences \", \"}} | {{.Note}} |\n{{end}}"))

// render returns the page.
func render(parts []part) ([]byte, error) {
	var out bytes.Buffer
	if err := page.Execute(&out, parts); err != nil {
		return nil, fmt.Errorf("write %s: %w", document, err)
	}
	return out.Bytes(), nil
}

// printTexts prints the licences and notices in full.
func printTexts(w io.Writer, parts []part) error {
	rule := strings.Repeat("=", 80)
	for _, p := range parts {
		fmt.Fprintf(w, "%s\n%s %s: %s\n%s\n\n", rule, p.Name, p.Version, strings.Join(p.Licences, ", "), rule)
		for _, file := range p.Files {
			text, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("print a licence of %s: %w", p.Name, err)
			}
			if _, err := fmt.Fprintf(w, "%s:\n\n%s\n\n", filepath.Base(file), bytes.TrimSpace(text)); err != nil {
				return fmt.Errorf("print the licences: %w", err)
			}
		}
	}
	return nil
}
