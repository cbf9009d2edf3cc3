// Package workflows checks .github/workflows with actionlint, and what it does
// not ask for.
package workflows

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"whatchanged/deploy/check/program"
)

func files(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(program.Root(t), ".github", "workflows", "*.yml"))
	if err != nil || len(found) < 2 {
		t.Fatalf("workflows: %q, %v", found, err)
	}
	return found
}

// lint runs actionlint at its pinned version, and without the tools that it
// would run when a machine has them.
func lint(t *testing.T, paths ...string) (string, error) {
	t.Helper()
	mod := filepath.Join(program.Root(t), ".ci", "tools", "actionlint", "go.mod")
	args := append([]string{"tool", "-modfile=" + mod, "actionlint", "-no-color", "-shellcheck=", "-pyflakes="}, paths...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = program.Root(t)
	cmd.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestActionlintFindsNothing(t *testing.T) {
	if out, err := lint(t, files(t)...); err != nil {
		t.Errorf("actionlint: %v\n%s", err, out)
	}
}

func TestActionlintWouldFindSomething(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.yml")
	text := "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ github.reff }}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := lint(t, file); err == nil || !strings.Contains(out, `"reff"`) {
		t.Errorf("actionlint: %v, want an error that names reff:\n%s", err, out)
	}
}

// A whole version, and not a name that moves.
var pinned = regexp.MustCompile(`^[a-z0-9-]+/[a-z0-9-]+@v[0-9]+\.[0-9]+\.[0-9]+$`)

func TestActionsArePinnedAndJobsLimited(t *testing.T) {
	for _, file := range files(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		var workflow struct {
			Permissions map[string]string
			Jobs        map[string]struct {
				Timeout int `yaml:"timeout-minutes"`
				Steps   []struct {
					Uses string
					With map[string]any
				}
			}
		}
		if err := yaml.Unmarshal(text, &workflow); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if workflow.Permissions == nil {
			t.Errorf("%s: it does not say what its token may do", name)
		}
		for id, job := range workflow.Jobs {
			if job.Timeout == 0 {
				t.Errorf("%s: job %s may run for ever", name, id)
			}
			for _, step := range job.Steps {
				if step.Uses != "" && !pinned.MatchString(step.Uses) {
					t.Errorf("%s: %s is not pinned by its version", name, step.Uses)
				}
				if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != false {
					t.Errorf("%s: job %s keeps the token where its commands can read it", name, id)
				}
			}
		}
	}
}

// The chart asks for the tags under which a release pushes the images.
func TestTheChartsImageIsTheReleases(t *testing.T) {
	read := func(parts ...string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(append([]string{program.Root(t)}, parts...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var chart struct {
		Version    string `yaml:"version"`
		AppVersion string `yaml:"appVersion"`
	}
	if err := yaml.Unmarshal([]byte(read("charts", "whatchanged", "Chart.yaml")), &chart); err != nil {
		t.Fatal(err)
	}
	release := read(".github", "workflows", "release.yml")
	for _, line := range []string{
		`tags: ["v*.*.*"]`, // what is released,
		"tags: ${{ steps.name.outputs.image }}:${{ github.ref_name }}${{ matrix.suffix }}", // the image of it,
		`grep -qx "appVersion: \"$VERSION\"" charts/whatchanged/Chart.yaml`,                // and the chart of it
	} {
		if !strings.Contains(release, line) {
			t.Errorf("release.yml has no %s", line)
		}
	}
	if chart.AppVersion != "v"+chart.Version {
		t.Errorf("the chart %s is of the release %s, want v%s as its tag is", chart.Version, chart.AppVersion, chart.Version)
	}
}
