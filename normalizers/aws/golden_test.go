package aws_test

import (
	"testing"

	"whatchanged/normalizers/aws"
	"whatchanged/normalizers/normtest"
)

func TestAWS(t *testing.T) { normtest.Run(t, aws.New(), "testdata/*.txtar") }

func FuzzAWS(f *testing.F) { normtest.Fuzz(f, aws.New()) }
