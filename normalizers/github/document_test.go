package github

import (
	"cmp"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"whatchanged/normalizers/normtest"
)

const page = "../../docs/providers/github.md"

// shown is a change that a golden case makes.
type shown struct {
	Type     string   `json:"change_type"`
	Action   string   `json:"action"`
	Risk     string   `json:"risk_level"`
	Hints    []string `json:"risk_hints"`
	Summary  string   `json:"summary"`
	Metadata struct {
		Event string `json:"event"`
	} `json:"metadata"`
}

func TestDocument_ShowsWhatBecomesOfEachEvent(t *testing.T) {
	var cases []shown
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var made []shown
		for _, f := range archive.Files {
			if f.Name == "want.json" && json.Unmarshal(f.Data, &made) == nil {
				cases = append(cases, made...)
			}
		}
	}
	slices.SortStableFunc(cases, func(a, b shown) int {
		return cmp.Or(cmp.Compare(a.Metadata.Event, b.Metadata.Event), cmp.Compare(a.Action, b.Action), cmp.Compare(a.Type, b.Type))
	})
	var rows [][]string
	last := shown{}
	for _, c := range cases {
		if _, ok := events[c.Metadata.Event]; !ok {
			continue // an event from the future
		}
		name := ""
		if c.Metadata.Event != last.Metadata.Event {
			name = "`" + c.Metadata.Event + "`"
		}
		c.Hints = slices.DeleteFunc(c.Hints, func(h string) bool { return h == "time_inferred" })
		row := []string{name, "`" + c.Action + "`", c.Type, c.Summary, strings.Join(append([]string{c.Risk}, c.Hints...), ", ")}
		if len(rows) > 0 && name == "" && c.Summary == last.Summary {
			continue
		}
		rows, last = append(rows, row), c
	}
	normtest.Document(t, page, "events", normtest.Table([]string{"event", "action", "type", "for example", "risk and why"}, rows))
}

func TestDocument_ShowsWhatIsIgnored(t *testing.T) {
	by := make(map[string][]string)
	for _, name := range slices.Sorted(maps.Keys(events)) {
		if why := events[name].ignored; why != "" {
			by[why] = append(by[why], "`"+name+"`")
		}
	}
	var rows [][]string
	for _, why := range slices.Sorted(maps.Keys(by)) {
		rows = append(rows, []string{why, strings.Join(by[why], ", ")})
	}
	normtest.Document(t, page, "ignored", normtest.Table([]string{"reason", "events"}, rows))
}
