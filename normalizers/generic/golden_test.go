package generic_test

import (
	"testing"

	"whatchanged/normalizers/generic"
	"whatchanged/normalizers/normtest"
)

func TestGeneric(t *testing.T) { normtest.Run(t, generic.New(), "testdata/*.txtar") }

func FuzzGeneric(f *testing.F) { normtest.Fuzz(f, generic.New()) }
