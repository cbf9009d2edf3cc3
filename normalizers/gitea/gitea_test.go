package gitea_test

import (
	"testing"

	"whatchanged/normalizers/gitea"
	"whatchanged/normalizers/normtest"
)

func TestGitea(t *testing.T) { normtest.Run(t, gitea.New(), "testdata/*.txtar") }

func TestForgejo(t *testing.T) { normtest.Run(t, gitea.NewForgejo(), "testdata/forgejo/*.txtar") }

func TestGogs(t *testing.T) { normtest.Run(t, gitea.NewGogs(), "testdata/gogs/*.txtar") }

func FuzzNormalize(f *testing.F) { normtest.Fuzz(f, gitea.New()) }
