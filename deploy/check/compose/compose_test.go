// Package compose checks docker-compose.yml, as compose itself reads it,
// against the program and the files that it mounts.
package compose

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"whatchanged/deploy/check/program"
)

// load reads docker-compose.yml with these variables, as compose would.
func load(ctx context.Context, tb testing.TB, environ ...string) (*types.Project, error) {
	tb.Helper()
	file := filepath.Join(program.Root(tb), "docker-compose.yml")
	options, err := cli.NewProjectOptions([]string{file}, cli.WithEnv(environ), cli.WithInterpolation(true), cli.WithConsistency(true))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(ctx)
}

func TestItLoads(t *testing.T) {
	project, err := load(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	if project.Name != "whatchanged" {
		t.Errorf("the project is called %q, want whatchanged", project.Name)
	}
}
