package gcp_test

import (
	"testing"

	"whatchanged/normalizers/gcp"
	"whatchanged/normalizers/normtest"
)

func TestGCP(t *testing.T) { normtest.Run(t, gcp.New(), "testdata/*.txtar") }

func FuzzGCP(f *testing.F) { normtest.Fuzz(f, gcp.New()) }
