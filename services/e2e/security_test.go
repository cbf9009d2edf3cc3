package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	caseRow   = regexp.MustCompile(`(?m)^\| ([ABC]\d+) \|.*\| (.+) \|$`)
	shownBy   = regexp.MustCompile("`([a-z0-9/]+) (Test\\w+)`")
	caseCount = map[string]string{ // what there is of each kind; numbers that are left out were put together with others
		"A": "1 2 3 4 5 6 7 8 11 12 14 15 16 17 18 19 20 21 23 24 25 27 28 30 31 32 34 35 36 37 38 39 40 41",
		"B": "1 2 3 4 5 7 8 9 10 11 12 13 16 17 18 20 21 22 23 24",
		"C": "1 2 4 5 6 7 8 10 11 14 15 16 17 18 19 20 21 24 25 26 27 28 29 30 31 32 33 34 35",
	}
)

// Every case of docs/security.md names the tests that show it, or says why there is
// none; each of them exists, and its file names the case.
func TestSecurity_EveryCaseHasItsTest(t *testing.T) {
	doc, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string][]string{}
	for _, row := range caseRow.FindAllStringSubmatch(string(doc), -1) {
		id, shown := row[1], row[2]
		listed[id[:1]] = append(listed[id[:1]], id[1:])
		tests := shownBy.FindAllStringSubmatch(shown, -1)
		if len(tests) == 0 && !strings.Contains(shown, "not built: ") {
			t.Errorf("%s: neither a test nor why there is none: %s", id, shown)
		}
		for _, test := range tests {
			if err := shows(test[1], test[2], id); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
	got := map[string]string{}
	for kind, numbers := range listed {
		got[kind] = strings.Join(numbers, " ")
	}
	if diff := cmp.Diff(caseCount, got); diff != "" {
		t.Errorf("cases (-want +got):\n%s", diff)
	}
}

// shows returns an error unless a package has the test, in a file that names the case.
func shows(pkg, test, id string) error {
	files, err := filepath.Glob(filepath.Join("../..", pkg, "*_test.go"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), "func "+test+"(") {
			continue
		}
		if !regexp.MustCompile(`\b` + id + `\b`).Match(text) {
			return fmt.Errorf("%s does not name it", file)
		}
		return nil
	}
	return fmt.Errorf("there is no %s in %s", test, pkg)
}
