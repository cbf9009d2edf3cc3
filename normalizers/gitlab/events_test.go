package gitlab

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"whatchanged/normalizers/forge"
	"whatchanged/normalizers/normtest"
)

// Whatever go-gitlab can parse is in the table: its constants of X-Gitlab-Event,
// and the words it tells system hooks apart by.
func TestEvents_HaveAllThatGoGitLabKnows(t *testing.T) {
	hooks, kinds := goGitLab(t)
	if len(hooks) < 15 || len(kinds) < 20 {
		t.Fatalf("go-gitlab has %d hooks and %d kinds of system hooks; this test reads it wrongly", len(hooks), len(kinds))
	}
	for _, hook := range hooks {
		if hook == "Service Hook" || hook == "System Hook" {
			continue // they hold the others
		}
		if !slices.ContainsFunc(events, func(e forge.Event[*builder]) bool { return e.Hook == hook }) {
			t.Errorf("the hook %q is not in the table", hook)
		}
	}
	for _, kind := range kinds {
		if !slices.ContainsFunc(events, func(e forge.Event[*builder]) bool { return e.Kind == kind }) {
			t.Errorf("the kind %q is not in the table", kind)
		}
	}
}

// goGitLab reads from go-gitlab's source the values of its constants of type
// EventType, and the cases of ParseSystemhook.
func goGitLab(t *testing.T) (hooks, kinds []string) {
	t.Helper()
	pkg, err := build.Import("github.com/xanzy/go-gitlab", ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(pkg.Dir, "event_parsing.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := func(e ast.Expr) string {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			s, _ := strconv.Unquote(lit.Value)
			return s
		}
		return ""
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				v, ok := spec.(*ast.ValueSpec)
				if !ok || len(v.Values) != 1 {
					continue
				}
				if name, ok := v.Type.(*ast.Ident); ok && name.Name == "EventType" {
					hooks = append(hooks, text(v.Values[0]))
				}
			}
		case *ast.FuncDecl:
			if decl.Name.Name != "ParseSystemhook" {
				continue
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				if c, ok := n.(*ast.CaseClause); ok {
					for _, e := range c.List {
						if kind := text(e); kind != "" {
							kinds = append(kinds, kind)
						}
					}
				}
				return true
			})
		}
	}
	return hooks, kinds
}

func TestEvents_SayWhatBecomesOfEach(t *testing.T) {
	seen := make(map[string]string)
	for _, e := range events {
		if taken := e.Ignored == ""; taken != (e.Fill != nil) || taken != (e.Says != "") || taken != (e.Becomes != "") {
			t.Errorf("%s is ignored because %q, and says %q as %q", e.Kind, e.Ignored, e.Says, e.Becomes)
		}
		if seen[e.Kind+e.Hook] != "" {
			t.Errorf("%s by %s is there twice", e.Kind, e.Hook)
		}
		seen[e.Kind+e.Hook] = "there"
	}
}

func TestDocument_ShowsTheTable(t *testing.T) {
	rows := forge.Rows(events)
	for i := range rows {
		if rows[i][0] == "" {
			rows[i][0] = "System Hook"
		}
	}
	normtest.Document(t, "../../docs/providers/gitlab.md", "events", normtest.Table([]string{"`X-Gitlab-Event`", "kind", "becomes", "and says, or why not"}, rows))
}
