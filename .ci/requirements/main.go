// Requirements prints what the product must do, by id, with the tests that ran
// for each, and the ids that no test names. The ids are those of
// docs/requirements.md; a test claims them in its comments, its body or its
// name ("S1-10", "S1-10 to S1-29"), and an end-to-end script in its comments.
//
//	go run ./.ci/requirements          run the tests and print
//	go run ./.ci/requirements -list    print without running them
//
// It fails when a test does, and when a test names an id that does not exist.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const document = "docs/requirements.md"

func main() {
	list := flag.Bool("list", false, "do not run the tests")
	flag.Parse()
	if err := run(os.Stdout, *list); err != nil {
		fmt.Fprintln(os.Stderr, "requirements:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, list bool) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	required := requirements(string(text))
	claims, err := collect(".")
	if err != nil {
		return err
	}
	results := map[test]string{}
	if !list {
		if results, err = runTests(claims); err != nil {
			return err
		}
	}
	return report(w, required, claims, results)
}

// requirement is one line of the document.
type requirement struct{ id, words string }

var lineForm = regexp.MustCompile(`(?m)^- (S\d+-\d+) (.+)$`)

func requirements(document string) (all []requirement) {
	for _, m := range lineForm.FindAllStringSubmatch(document, -1) {
		all = append(all, requirement{m[1], m[2]})
	}
	return all
}

// test is a test function, or a script that TestScripts runs.
type test struct{ dir, name string }

const scripts = "TestScripts/"

func (t test) String() string { return t.dir + " " + t.name }

// collect finds which tests claim which ids.
func collect(root string) (map[string][]test, error) {
	claims := map[string][]test{}
	claim := func(text string, t test) {
		for _, id := range ids(text) {
			if !slices.Contains(claims[id], t) {
				claims[id] = append(claims[id], t)
			}
		}
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		switch {
		case strings.HasSuffix(path, "_test.go"):
			return functions(path, func(name, text string) { claim(text, test{dir, name}) })
		case strings.HasSuffix(path, ".txtar") && filepath.Base(dir) == "testdata":
			text, err := os.ReadFile(path)
			claim(comments(string(text)), test{filepath.Dir(dir), scripts + strings.TrimSuffix(d.Name(), ".txtar")})
			return err
		}
		return nil
	})
	return claims, err
}

// functions gives each test function of a file with its text, comments and all.
func functions(path string, give func(name, text string)) error {
	src, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, src, parser.ParseComments)
	if err != nil {
		return err
	}
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") {
			continue
		}
		from := fn.Pos()
		if fn.Doc != nil {
			from = fn.Doc.Pos()
		}
		give(fn.Name.Name, string(src[set.Position(from).Offset:set.Position(fn.End()).Offset]))
	}
	return nil
}

// comments are the lines of a script that begin with #.
func comments(script string) string {
	var b strings.Builder
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

var idForm = regexp.MustCompile(`\b(S\d+)-(\d+)(?:(?:\.\.|,? to )S?(?:\d+-)?(\d+)\b)?`)

// ids are those that a text names, one by one or from one to another.
func ids(text string) (all []string) {
	for _, m := range idForm.FindAllStringSubmatch(text, -1) {
		first, _ := strconv.Atoi(m[2])
		last := first
		if m[3] != "" {
			last, _ = strconv.Atoi(m[3])
		}
		for n := first; n <= last; n++ {
			all = append(all, fmt.Sprintf("%s-%d", m[1], n))
		}
	}
	return all
}

// runTests runs every test that claims an id, and says how each ended.
func runTests(claims map[string][]test) (map[test]string, error) {
	dirs, names := map[string]bool{}, map[string]bool{}
	for _, tests := range claims {
		for _, t := range tests {
			dirs["./"+t.dir] = true
			top, _, _ := strings.Cut(t.name, "/")
			names[top] = true
		}
	}
	args := append([]string{"test", "-json", "-count=1", "-run", "^(" + strings.Join(slices.Sorted(maps.Keys(names)), "|") + ")$"},
		slices.Sorted(maps.Keys(dirs))...)
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	results := read(out, func(line string) { fmt.Fprintln(os.Stderr, line) })
	var failed *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &failed) {
		return nil, err
	}
	return results, nil
}

// read takes go test's events: how each test ended, and what it said of it.
func read(r io.Reader, progress func(string)) map[test]string {
	results := map[test]string{}
	module := moduleName()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		dir := strings.TrimPrefix(e.Package, module+"/")
		switch {
		case e.Action == "output" && (strings.Contains(e.Output, "--- FAIL") || strings.Contains(e.Output, "panic:")):
			progress(strings.TrimRight(e.Output, "\n"))
		case e.Action != "pass" && e.Action != "fail" && e.Action != "skip":
		case e.Test == "":
			progress(e.Action + " " + dir)
		default:
			results[test{dir, e.Test}] = e.Action
		}
	}
	return results
}

func moduleName() string {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		return ""
	}
	name, _, _ := strings.Cut(string(mod), "\n")
	return strings.TrimPrefix(name, "module ")
}

func report(w io.Writer, required []requirement, claims map[string][]test, results map[test]string) error {
	var none, unknown []string
	failed := map[string]bool{}
	for _, r := range required {
		fmt.Fprintf(w, "%-6s %s\n", r.id, r.words)
		for _, t := range claims[r.id] {
			how := results[t]
			switch {
			case len(results) == 0:
				how = "named"
			case how == "":
				how = "did not run"
			}
			if how == "fail" || how == "did not run" {
				failed[t.String()] = true
			}
			fmt.Fprintf(w, "       %s  %s\n", how, t)
		}
		if len(claims[r.id]) == 0 {
			none = append(none, r.id)
		}
	}
	for id := range claims {
		if !slices.ContainsFunc(required, func(r requirement) bool { return r.id == id }) {
			unknown = append(unknown, id)
		}
	}
	slices.Sort(unknown)
	fmt.Fprintf(w, "\n%d of %d have a test. None: %s\n", len(required)-len(none), len(required), strings.Join(none, " "))
	switch {
	case len(unknown) > 0:
		return fmt.Errorf("tests name what is not in %s: %s", document, strings.Join(unknown, " "))
	case len(failed) > 0:
		return fmt.Errorf("these failed or did not run: %s", strings.Join(slices.Sorted(maps.Keys(failed)), ", "))
	}
	return nil
}
