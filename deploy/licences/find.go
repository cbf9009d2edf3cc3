package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// part is something that a release has in it and someone else wrote.
type part struct {
	Name, Version string
	Licences      []string // SPDX, sorted
	Files         []string // that grant them
	Note          string
}

// platforms are those we release for.
var platforms = []struct{ os, arch string }{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "arm64"}}

// program is the package that is released.
const program = "./services/whatchanged"

// find lists the parts of the program, by name.
func find() ([]part, error) {
	dirs := map[module]map[string]bool{} // the directories that are compiled, by module
	for _, p := range platforms {
		if err := compiled(p.os, p.arch, dirs); err != nil {
			return nil, err
		}
	}
	var parts []part
	var errs []error
	for m, used := range dirs {
		files, err := grants(m.Dir, used)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p, err := newPart(m.Path, m.Version, files)
		errs = append(errs, err)
		parts = append(parts, p)
	}
	goLicence, err := goItself()
	errs = append(errs, err)
	engine, err := engine()
	errs = append(errs, err)
	parts = append(parts, goLicence, engine)
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.Name, b.Name) })
	return parts, errors.Join(errs...)
}

// module is what `go list` says of one.
type module struct{ Path, Version, Dir string }

// compiled adds the directories of all packages that are compiled into the
// program on a platform.
func compiled(goos, goarch string, into map[module]map[string]bool) error {
	list := exec.Command("go", "list", "-deps", "-json=Dir,Module", program)
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("list what is linked on %s/%s: %w", goos, goarch, err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir    string
			Module *struct {
				module
				Main    bool
				Replace *module
			}
		}
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read what go list says: %w", err)
		case p.Module == nil || p.Module.Main:
			continue
		}
		m := p.Module.module
		if p.Module.Replace != nil {
			m = *p.Module.Replace
		}
		if into[m] == nil {
			into[m] = map[string]bool{}
		}
		into[m][p.Dir] = true
	}
}

// licenceFile matches the files that a licence asks to be passed on.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)([-.](md|txt|golang|[a-z0-9-]+))?$`)

// grants returns the licence files of a module that hold for the directories
// that are used: those in them and above them, up to the module's own.
func grants(root string, used map[string]bool) ([]string, error) {
	files := map[string]bool{}
	for dir := range used {
		for {
			entries, err := os.ReadDir(dir)
			if err != nil {
				return nil, fmt.Errorf("look for licences: %w", err)
			}
			for _, e := range entries {
				if !e.IsDir() && licenceFile.MatchString(e.Name()) && filepath.Ext(e.Name()) != ".go" {
					files[filepath.Join(dir, e.Name())] = true
				}
			}
			if dir == root || len(dir) <= len(root) {
				break
			}
			dir = filepath.Dir(dir)
		}
	}
	return slices.Sorted(maps.Keys(files)), nil
}

func newPart(name, version string, files []string) (part, error) {
	p := part{Name: name, Version: version, Files: files}
	found := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return p, fmt.Errorf("read a licence of %s: %w", name, err)
		}
		if strings.HasPrefix(strings.ToLower(filepath.Base(file)), "notice") {
			continue // goes with the program, and grants nothing
		}
		ids := classify(string(text))
		if len(ids) == 0 {
			return p, fmt.Errorf("%s: no known licence in %s: read it, and teach classify", name, filepath.Base(file))
		}
		for _, id := range ids {
			found[id] = true
		}
	}
	p.Licences = slices.Sorted(maps.Keys(found))
	if len(p.Licences) == 0 {
		return p, fmt.Errorf("%s grants no licence", name)
	}
	for _, id := range p.Licences {
		if !slices.Contains(passedOn, id) {
			return p, fmt.Errorf("%s is under %s, which is not one of those that may be passed on: %s", name, id, strings.Join(passedOn, ", "))
		}
	}
	return p, nil
}

// goItself is the standard library and the runtime, which are in every program.
func goItself() (part, error) {
	out, err := exec.Command("go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return part{}, fmt.Errorf("find Go's own licence: %w", err)
	}
	env := strings.Fields(string(out))
	if len(env) != 2 {
		return part{}, fmt.Errorf("find Go's own licence: go env says %q", out)
	}
	p, err := newPart("Go's standard library", "", []string{filepath.Join(env[0], "LICENSE")})
	p.Note = "of the toolchain that builds the release"
	return p, err
}

// engine is libchdb, which the image whatchanged:embedded has beside the
// program. Its package names its licence and has no file of it.
func engine() (part, error) {
	const lock, name = "pkg/chdb/lib/package-lock.json", "@chdb/lib-linux-x64-gnu"
	text, err := os.ReadFile(filepath.FromSlash(lock))
	if err != nil {
		return part{}, fmt.Errorf("find the engine's licence: %w", err)
	}
	var locked struct {
		Packages map[string]struct{ Version, License string }
	}
	if err := json.Unmarshal(text, &locked); err != nil {
		return part{}, fmt.Errorf("find the engine's licence: read %s: %w", lock, err)
	}
	p := locked.Packages["node_modules/"+name]
	if !slices.Contains(passedOn, p.License) {
		return part{}, fmt.Errorf("%s is under %q", name, p.License)
	}
	return part{
		Name: "libchdb (" + name + ")", Version: p.Version, Licences: []string{p.License},
		Note: "beside the program, in `whatchanged:embedded` only; ClickHouse's own third parties are listed in its `system.licenses`",
	}, nil
}
