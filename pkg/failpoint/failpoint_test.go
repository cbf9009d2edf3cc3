//go:build !failpoint

package failpoint_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A name that is passed to an empty function is nowhere in the program.
func TestFailpoint_IsNowhereInTheProductAsItIsBuilt(t *testing.T) {
	const name = "a-moment-nobody-else-names"
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	code := `package main

import "whatchanged/pkg/failpoint"

func main() {
	failpoint.Hit("` + name + `")
	failpoint.Touch("` + name + `", nil)
	if err := failpoint.Fail("` + name + `"); err != nil {
		panic(err)
	}
}
`
	if err := os.WriteFile(source, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	has := func(tags string) bool {
		binary := filepath.Join(dir, "program")
		if out, err := exec.Command("go", "build", "-tags", tags, "-o", binary, source).CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		program, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(program, []byte(name))
	}
	if has("") {
		t.Error("the program holds the failpoint's name without the tag")
	}
	if !has("failpoint") {
		t.Error("the program does not hold the failpoint's name with the tag: this test proves nothing")
	}
}
