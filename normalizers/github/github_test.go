package github_test

import (
	"testing"

	"whatchanged/normalizers/github"
	"whatchanged/normalizers/normtest"
)

func TestGitHub(t *testing.T) { normtest.Run(t, github.New(), "testdata/*.txtar") }

func FuzzNormalize(f *testing.F) { normtest.Fuzz(f, github.New()) }
