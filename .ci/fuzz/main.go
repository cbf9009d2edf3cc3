// Fuzz gives every fuzz target of the repository its turn, one after the other.
//
//	go run ./.ci/fuzz -time 5m         as many as get a turn in that time
//	go run ./.ci/fuzz -list            the targets, in their order
//	go run ./.ci/fuzz -run Cursor      those whose name has this in it
//
// A turn that is too short finds nothing, so a short run does not cut the time
// into crumbs: it gives full turns to some of the targets and goes on there the
// next day. What a turn finds worth keeping stays in Go's cache, so the turns
// of a target add up. A long run gives all of them as much as there is.
//
// It fails when a target does. Its input is then below testdata/fuzz of the
// package: keep the file with the mend, and go test runs it from then on.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	shortest = 20 * time.Second // of a turn
	overhead = 4 * time.Second  // of a turn: linking, and running what is known already
	building = 10 * time.Minute // that a turn may take beyond its time: the first one builds for fuzzing
)

func main() {
	var o options
	flag.DurationVar(&o.time, "time", 5*time.Minute, "how long in all, building not counted")
	flag.StringVar(&o.only, "run", "", "only targets whose name matches this pattern")
	flag.IntVar(&o.counter, "counter", int(time.Now().Unix()/86400), "which run this is: each takes up where the one before stopped; the day unless said")
	flag.BoolVar(&o.list, "list", false, "print the targets and do nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

type options struct {
	time    time.Duration
	only    string
	counter int
	list    bool
}

func run(ctx context.Context, w io.Writer, o options) error {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	all, err := targets(".")
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(t target) bool { return !only.MatchString(t.String()) })
	if o.list {
		for _, t := range all {
			fmt.Fprintln(w, t)
		}
		return nil
	}
	todays, turn := turns(all, o.time, o.counter)
	fmt.Fprintf(w, "%d of %d targets, %s each\n", len(todays), len(all), turn.Round(time.Second))
	var failed []string
	begun := time.Now()
	for i, t := range todays {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(begun) > 2*o.time {
			fmt.Fprintf(w, "%d have no turn today: building took their time\n", len(todays)-i)
			break
		}
		how, err := t.fuzz(ctx, turn)
		fmt.Fprintf(w, "%-4s %s  %s\n", map[bool]string{true: "ok", false: "FAIL"}[err == nil], t, how)
		if err != nil {
			fmt.Fprintln(w, err)
			failed = append(failed, t.String())
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("these failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

// turns chooses who has a turn, and how long it is. Run after run, each target
// is chosen as often as any other.
func turns(all []target, total time.Duration, counter int) ([]target, time.Duration) {
	if len(all) == 0 {
		return nil, 0
	}
	n := min(max(int(total/(shortest+overhead)), 1), len(all))
	first := counter % len(all) * n % len(all)
	return slices.Concat(all, all)[first : first+n], max(total/time.Duration(n)-overhead, time.Second)
}

// target is a fuzz function.
type target struct{ dir, name string }

func (t target) String() string { return t.dir + " " + t.name }

// targets finds all of them, those of a package side by side: it is built once.
func targets(root string) (all []target, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") {
				all = append(all, target{"./" + filepath.ToSlash(filepath.Dir(path)), f.Name.Name})
			}
		}
		return nil
	})
	slices.SortFunc(all, func(a, b target) int { return strings.Compare(a.String(), b.String()) })
	return all, err
}

var (
	progress = regexp.MustCompile(`execs: (\d+) .*new interesting: (\d+)`)
	nothing  = regexp.MustCompile(`(?m)^--- FAIL: .*\n\s+context deadline exceeded\n`)
)

// fuzz runs the target for that long, and says how far it came.
func (t target) fuzz(ctx context.Context, long time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, long+building)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", t.dir, "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+long.String(), "-fuzzminimizetime=5s")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // its workers end with it
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begun := time.Now()
	err := cmd.Run()
	how := "did not begin"
	if all := progress.FindAllStringSubmatch(out.String(), -1); len(all) > 0 {
		last := all[len(all)-1]
		found, _ := strconv.Atoi(last[2]) // digits
		how = fmt.Sprintf("%s runs, %d new, %s", last[1], found, time.Since(begun).Round(time.Second))
	}
	var failed *exec.ExitError
	switch {
	case err == nil:
		return how, nil
	case errors.As(err, &failed) && nothing.Match(out.Bytes()) && !bytes.Contains(out.Bytes(), []byte("Failing input")):
		return how, nil // its time was over while a worker was busy: https://go.dev/issue/75804
	default:
		return how, fmt.Errorf("%w\n%s", err, out.String())
	}
}
