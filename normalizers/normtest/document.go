package normtest

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
)

// Document checks that the page at path shows content between its lines
// "<!-- begin NAME -->" and "<!-- end NAME -->", and with -update writes it
// there. So the tables of a provider's page say what the code does.
func Document(t *testing.T, path, name, content string) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
	before, rest, hasBegin := strings.Cut(string(page), begin)
	shown, after, hasEnd := strings.Cut(rest, end)
	if !hasBegin || !hasEnd {
		t.Fatalf("%s has no lines %q and %q", path, strings.TrimSpace(begin), end)
	}
	content = strings.TrimSpace(content) + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+content+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(content, shown); diff != "" {
		t.Errorf("%s, %s: the page is not what the code does; run the test with -update (-code +page)\n%s", path, name, diff)
	}
}

// Table writes a Markdown table, a row for each list of cells.
func Table(head []string, rows [][]string) string {
	var b strings.Builder
	row := func(cells []string) {
		b.WriteString("|")
		for _, cell := range cells {
			b.WriteString(" " + strings.ReplaceAll(cell, "|", `\|`) + " |")
		}
		b.WriteString("\n")
	}
	row(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, cells := range rows {
		row(cells)
	}
	return b.String()
}

// Code writes a word of ours or of a provider in a cell; none stays none.
func Code(word string) string {
	if word == "" {
		return ""
	}
	return "`" + word + "`"
}

// Outcome is the type of a change in a cell, or why there is no change.
func Outcome(typ change.Type, ignore string) string {
	if ignore != "" {
		return "ignored: " + ignore
	}
	return Code(string(typ))
}
