package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The arrows of the design: who may import whom. A package not listed may
// import any package below pkg.
func TestArrows_ImportsPointOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "whatchanged/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, imported := range p.Imports {
			if why := forbidden(p.ImportPath, imported); why != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, imported, why)
			}
		}
	}
}

func forbidden(from, to string) string {
	standard := !strings.Contains(strings.Split(to, "/")[0], ".") && !within(to, "whatchanged")
	switch {
	case from == "whatchanged/pkg/change" && !standard:
		return "change imports only the standard library"
	case from == "whatchanged/pkg/problem" && !standard && to != "whatchanged/pkg/change":
		return "problem imports only change"
	case within(from, "whatchanged/normalizers") && within(to, "whatchanged/pkg") && to != "whatchanged/pkg/change" && to != "whatchanged/pkg/glob":
		return "normalizers import only change and glob"
	case from == "whatchanged/pkg/glob" && !standard:
		return "glob imports only the standard library"
	case within(from, "whatchanged/pkg") && (within(to, "whatchanged/services") || within(to, "whatchanged/normalizers")):
		return "packages know neither services nor normalizers"
	case within(to, "whatchanged/services") && from != "whatchanged/services/whatchanged" && service(from) != service(to):
		return "services meet on the bus; only the program wires them"
	}
	return ""
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// service returns the service that a package belongs to.
func service(path string) string {
	parts := strings.Split(path, "/")
	if i := slices.Index(parts, "services"); i >= 0 && i+1 < len(parts) {
		return parts[i+1]
	}
	return ""
}
