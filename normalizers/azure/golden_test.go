package azure_test

import (
	"testing"

	"whatchanged/normalizers/azure"
	"whatchanged/normalizers/normtest"
)

func TestAzure(t *testing.T) { normtest.Run(t, azure.New(), "testdata/*.txtar") }

func FuzzAzure(f *testing.F) { normtest.Fuzz(f, azure.New()) }
