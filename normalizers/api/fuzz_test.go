package api_test

import (
	"testing"

	"whatchanged/normalizers/api"
	"whatchanged/normalizers/normtest"
)

func FuzzAPI(f *testing.F) { normtest.Fuzz(f, api.New()) }
