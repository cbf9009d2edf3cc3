package azuredevops_test

import (
	"testing"

	"whatchanged/normalizers/azuredevops"
	"whatchanged/normalizers/normtest"
)

func TestAzureDevOps(t *testing.T) { normtest.Run(t, azuredevops.New(), "testdata/*.txtar") }

func FuzzAzureDevOps(f *testing.F) { normtest.Fuzz(f, azuredevops.New()) }
