package gitlab_test

import (
	"testing"

	"whatchanged/normalizers/gitlab"
	"whatchanged/normalizers/normtest"
)

func TestGitLab(t *testing.T) { normtest.Run(t, gitlab.New(), "testdata/*.txtar") }

func FuzzNormalize(f *testing.F) { normtest.Fuzz(f, gitlab.New()) }
