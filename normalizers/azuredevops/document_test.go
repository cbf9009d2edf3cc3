package azuredevops

import (
	"testing"

	"whatchanged/normalizers/normtest"
)

func TestDocument_ShowsTheEvents(t *testing.T) {
	var rows [][]string
	for _, k := range kinds {
		becomes := "`" + string(k.typ) + "`"
		if k.ignore != "" {
			becomes = "ignored: " + k.ignore
		}
		rows = append(rows, []string{"`" + k.event + "`", becomes, k.says})
	}
	normtest.Document(t, "../../docs/providers/azure-devops.md", "events", normtest.Table([]string{"event", "becomes", "which says"}, rows))
}
