package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/config"
)

var update = flag.Bool("update", false, "rewrite what is generated from the code")

// TestWords: the words on each setting are those of the comment on its field.
func TestWords_AreTheCommentsOnTheFields(t *testing.T) {
	comments := commentsOf(t)
	fields := config.Fields(new(Config))
	var want strings.Builder
	for _, f := range fields {
		about := comments[f.In.PkgPath()+"."+f.In.Name()+"."+f.Name]
		if about == "" {
			t.Errorf("%s: the field %s.%s has no comment that begins with its name", f.Key, f.In, f.Name)
			continue
		}
		fmt.Fprintf(&want, "%s\t%s\n", f.Key, plain(about, f, fields))
	}
	golden(t, "words.txt", want.String(), words)
}

// TestReference: the page in docs is what the program prints.
func TestReference_IsThePageInDocs(t *testing.T) {
	var got bytes.Buffer
	if err := writeReference(&got); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "docs", "operating", "configuration.md")
	have, err := os.ReadFile(path)
	if err != nil && !*update {
		t.Fatal(err)
	}
	golden(t, path, got.String(), string(have))
	for _, s := range settingsAll() {
		if s.About == "" {
			t.Errorf("%s is not described", s.Key)
		}
		if len(s.By) == 0 {
			t.Errorf("%s: nobody reads it, says readBy", s.Key)
		}
	}
	var known []string
	for _, cmd := range newRoot(&Environment{}).Commands() {
		known = append(known, cmd.Name())
	}
	for start, names := range readBy {
		if !slices.ContainsFunc(settingsAll(), func(s settingLine) bool { return strings.HasPrefix(s.Key, start) }) {
			t.Errorf("readBy has %q, which no setting begins with", start)
		}
		for _, name := range names {
			if !slices.Contains(known, name) {
				t.Errorf("readBy of %q has %q, which is no command", start, name)
			}
		}
	}
	for _, name := range notSettings {
		listed := slices.ContainsFunc(otherVariables, func(v struct{ Name, About string }) bool { return v.Name == name })
		if !listed && name != "WHATCHANGED_CORPUS" { // for tests
			t.Errorf("%s is not in the reference", name)
		}
	}
}

// golden compares what the code makes with what is kept.
func golden(t *testing.T, path, want, have string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%s is stale; run go test ./services/whatchanged -run 'TestWords|TestReference' -update, twice (-want +got):\n%s", path, diff)
	}
}

// commentsOf returns the comments on the fields of all structs in the packages
// that declare settings, by package, type and field.
func commentsOf(t *testing.T) map[string]string {
	t.Helper()
	packages := map[string]bool{}
	for _, f := range config.Fields(new(Config)) {
		packages[f.In.PkgPath()] = true
	}
	out := map[string]string{}
	for _, pkg := range slices.Sorted(maps.Keys(packages)) {
		dir := filepath.Join("..", "..", strings.TrimPrefix(pkg, "whatchanged/"))
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if spec, ok := n.(*ast.TypeSpec); ok {
					if s, ok := spec.Type.(*ast.StructType); ok {
						before, last := "", "" // the field before, and its comment
						for _, field := range s.Fields.List {
							text := strings.Join(strings.Fields(field.Doc.Text()), " ")
							for _, id := range field.Names {
								if shared := before + " and " + id.Name + " "; text == "" && strings.HasPrefix(last, shared) {
									text = last
								} else if !strings.HasPrefix(text, id.Name+" ") {
									text = ""
								}
								out[pkg+"."+spec.Name.Name+"."+id.Name] = text
								before, last = id.Name, text
							}
						}
					}
				}
				return true
			})
		}
	}
	return out
}

// plain turns a comment for those who read the code into words for those who
// configure: other fields by their keys, and no name in front. A comment on two
// fields keeps both.
func plain(about string, f config.Field, fields []config.Field) string {
	if rest := strings.TrimPrefix(about, f.Name+" "); !strings.HasPrefix(rest, "and ") {
		about = rest
	}
	for _, verb := range []string{"is ", "are "} {
		about = strings.TrimPrefix(about, verb)
	}
	both := strings.HasPrefix(about, f.Name+" and ") || strings.Contains(about, " and "+f.Name+" ")
	for _, other := range fields {
		beside := other.In == f.In && other.Key != f.Key && len(other.Name) > 3
		if beside || both && other.Key == f.Key {
			about = regexp.MustCompile(`\b`+other.Name+`\b`).ReplaceAllString(about, "`"+other.Key+"`")
		}
	}
	if first, _, _ := strings.Cut(about, " "); strings.Contains(first, "://") {
		return about
	}
	return strings.ToUpper(about[:1]) + about[1:]
}

func TestPlain_IsForThoseWhoConfigure(t *testing.T) {
	type pair struct {
		CertFile, KeyFile, URL string
	}
	fields := config.Fields(new(pair))
	f := func(i int, about, want string) {
		t.Helper()
		if got := plain(about, fields[i], fields); got != want {
			t.Errorf("%s: %q, want %q", about, got, want)
		}
	}
	f(0, "CertFile is a certificate; it needs KeyFile.", "A certificate; it needs `key_file`.")
	f(0, "CertFile turns on TLS.", "Turns on TLS.")
	f(0, "CertFile and KeyFile turn on TLS.", "`cert_file` and `key_file` turn on TLS.")
	f(1, "CertFile and KeyFile turn on TLS.", "`cert_file` and `key_file` turn on TLS.")
	f(2, "URL is nats://host:4222, say.", "nats://host:4222, say.")
}
