package program

import (
	"strings"
	"testing"
)

func TestTheProgramIsFoundAndRuns(t *testing.T) {
	out, err := Run(t.Context(), Path(t), nil, "--version")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out, "whatchanged ") {
		t.Errorf("--version printed %q, want the program's name first", out)
	}
}
