package cloudtrail_test

import (
	"testing"

	"whatchanged/normalizers/cloudtrail"
	"whatchanged/normalizers/normtest"
)

func TestCloudTrail(t *testing.T) { normtest.Run(t, cloudtrail.New(), "testdata/*.txtar") }

func FuzzCloudTrail(f *testing.F) { normtest.Fuzz(f, cloudtrail.New()) }
