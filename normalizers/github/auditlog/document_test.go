package auditlog

import (
	"strings"
	"testing"

	"whatchanged/normalizers/normtest"
)

func TestDocument_ShowsTheActions(t *testing.T) {
	var rows [][]string
	for _, a := range actions {
		name := a.name
		if strings.HasSuffix(name, ".") || !strings.Contains(name, ".") {
			name += "*"
		}
		becomes, says := string(a.kind), a.says
		if a.ignored != "" {
			becomes, says = "ignored", a.ignored
		}
		rows = append(rows, []string{"`" + name + "`", becomes, says, strings.Join(a.hints, ", ")})
	}
	normtest.Document(t, "../../../docs/providers/github.md", "audit", normtest.Table([]string{"action", "becomes", "says, or why not", "always hinted"}, rows))
}

// What stands behind another row that takes it is never found.
func TestFind_ReachesEveryRow(t *testing.T) {
	for _, a := range actions {
		if got := find(a.name); got.name != a.name {
			t.Errorf("%s is taken by %s", a.name, got.name)
		}
	}
}
