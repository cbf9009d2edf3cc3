package normalizers_test

import (
	"strconv"
	"testing"

	"whatchanged/normalizers"
	"whatchanged/normalizers/normtest"
)

const index = "../docs/providers/README.md"

// S1-44 to S1-48, S1-50: a page a provider, and how each is recognised.
func TestDocument_RecognitionsAreInTheIndex(t *testing.T) {
	var rows [][]string
	for _, r := range normalizers.Recognitions() {
		rows = append(rows, []string{"`" + r.Provider + "`", "`" + r.By + "`", r.Asks})
	}
	normtest.Document(t, index, "recognitions", normtest.Table([]string{"provider", "seen by", "asks for"}, rows))
}

func TestDocument_HintsAreInTheIndex(t *testing.T) {
	var rows [][]string
	for _, h := range normalizers.Hints() {
		rows = append(rows, []string{"`" + h.Name + "`", strconv.Itoa(h.Weight), h.When})
	}
	normtest.Document(t, index, "hints", normtest.Table([]string{"hint", "weight", "when"}, rows))
}
