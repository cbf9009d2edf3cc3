package azure

import (
	"fmt"
	"testing"

	"whatchanged/normalizers/normtest"
)

const page = "../../docs/providers/azure.md"

func TestDocument_ShowsTheOperations(t *testing.T) {
	var rows [][]string
	for _, op := range operations {
		closer := ""
		if op.look != nil {
			closer = "the request or the name may tell more"
		}
		rows = append(rows, []string{normtest.Code(op.resource), op.verbs, normtest.Outcome(op.typ, ""), normtest.Code(op.hint), closer})
	}
	normtest.Document(t, page, "operations", normtest.Table([]string{"Microsoft.", "operation", "type", "hint", ""}, rows))
}

func TestDocument_ShowsTheSigns(t *testing.T) {
	var rows [][]string
	for _, s := range signs {
		rows = append(rows, []string{s.says, normtest.Code(s.body), normtest.Code(s.hint)})
	}
	normtest.Document(t, page, "signs", normtest.Table([]string{"what it means", "in the request", "hint"}, rows))
}

func TestDocument_ShowsEventGrid(t *testing.T) {
	var rows [][]string
	for _, k := range gridKinds {
		rows = append(rows, []string{normtest.Code("Microsoft." + k.kind), normtest.Outcome(k.typ, k.ignore)})
	}
	rows = append(rows, []string{"any other", "by its last word: created and deleted `infrastructure`, changed `config_change`, else `other`"})
	normtest.Document(t, page, "eventgrid", normtest.Table([]string{"event", "becomes"}, rows))
}

func TestDocument_ShowsTheCategories(t *testing.T) {
	var rows [][]string
	for _, c := range categories {
		says := c.says
		switch {
		case c.ignore != "":
			says = "ignored: " + c.ignore
		case says == "":
			says = "as Administrative"
		}
		name := normtest.Code(c.name)
		if c.name == "" {
			name = "none"
		}
		rows = append(rows, []string{name, says})
	}
	normtest.Document(t, page, "categories", normtest.Table([]string{"category", "becomes"}, rows))
}

func TestDocument_ShowsKeyVault(t *testing.T) {
	var rows [][]string
	for _, op := range vaultOperations {
		rows = append(rows, []string{normtest.Code(op.name), normtest.Outcome(op.typ, ""), fmt.Sprintf("alice@contoso.com %s", op.past), normtest.Code(op.hint)})
	}
	normtest.Document(t, page, "vault", normtest.Table([]string{"operation", "type", "summary", "hint"}, rows))
}

func TestDocument_ShowsTheDirectory(t *testing.T) {
	var rows [][]string
	for _, k := range directoryKinds {
		rows = append(rows, []string{k.words, normtest.Outcome(k.typ, ""), normtest.Code(k.hint)})
	}
	normtest.Document(t, page, "directory", normtest.Table([]string{"words", "type", "hint"}, rows))
}
