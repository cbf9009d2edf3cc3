package aws

import (
	"slices"
	"strings"
	"testing"

	"whatchanged/normalizers/aws/phrase"
	"whatchanged/normalizers/normtest"
)

const page = "../../docs/providers/aws.md"

func TestDocument_EventsAreTheOnesOfTheTable(t *testing.T) {
	var rows [][]string
	for _, k := range eventKinds {
		if k.ignore != "" {
			continue
		}
		look := ""
		if k.look != nil {
			look = k.look.says
		}
		said := strings.NewReplacer("*verb*", "*started, succeeded, failed*", "*did*", "*what happened*").Replace(phrase.Show(k.say))
		rows = append(rows, []string{"`" + k.detailType + "`", "`" + string(k.typ) + "`", said, look})
	}
	normtest.Document(t, page, "events", normtest.Table([]string{"detail-type", "type", "in words", "a closer look"}, rows))
}

func TestDocument_IgnoredEvents(t *testing.T) {
	var order []string
	kinds := make(map[string][]string)
	for _, k := range eventKinds {
		if k.ignore == "" {
			continue
		}
		if !slices.Contains(order, k.ignore) {
			order = append(order, k.ignore)
		}
		what := "`" + k.detailType + "`"
		if k.look != nil {
			what += ", but for " + k.look.says
		}
		kinds[k.ignore] = append(kinds[k.ignore], what)
	}
	var rows [][]string
	for _, reason := range order {
		rows = append(rows, []string{reason, strings.Join(kinds[reason], "; ")})
	}
	normtest.Document(t, page, "ignored-events", normtest.Table([]string{"reason", "detail-type"}, rows))
}
