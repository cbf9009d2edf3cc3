package chdb_test

import (
	"bufio"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"whatchanged/pkg/chdb"
	"whatchanged/pkg/chdb/chdbtest"
)

// child is this test binary run as one of children, behind a program or alone.
func child(t *testing.T, name, dir string, front ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(front, exe, dir)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	return cmd
}

func TestOpen_TellsWhoHoldsTheDirectory(t *testing.T) {
	engine := chdbtest.Engine(t)
	var dir string
	if err := chdbtest.Conn(t, "default").QueryRow(t.Context(), "SELECT path FROM system.disks").Scan(&dir); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Clean(dir)

	_, err := chdb.Open(chdb.Config{Path: dir}, slog.New(slog.DiscardHandler))
	if !errors.Is(err, chdb.ErrLocked) {
		t.Errorf("second Open: %v, want %v", err, chdb.ErrLocked)
	}
	out, err := child(t, "open", dir).CombinedOutput()
	if err == nil {
		t.Errorf("a second process opened %s", dir)
	}
	want := fmt.Sprintf("data directory %s is in use by another process (pid %d)", dir, os.Getpid())
	if !strings.HasPrefix(string(out), want) {
		t.Errorf("second process says %q, want %q", out, want)
	}
	if engine.Version() == "" {
		t.Error("the engine has no version")
	}
}

func TestOpen_AgainAfterClose(t *testing.T) {
	out, err := child(t, "open twice", filepath.Join(t.TempDir(), "data")).CombinedOutput()
	if err != nil || string(out) != "1 2 1 " {
		t.Errorf("child: %v, %q, want the counts 1 2 1", err, out)
	}
}

func TestOpen_PassesArgumentsToTheEngine(t *testing.T) {
	if out, err := child(t, "back up", t.TempDir()).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestClose_WaitsForShortQueriesAndCancelsLongOnes(t *testing.T) {
	for _, name := range []string{"close waits", "close cancels"} {
		if out, err := child(t, name, t.TempDir()).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestEngine_LosesNothingAcknowledgedWhenKilled(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		last := kill(t, dir, 30)
		if err := os.WriteFile(filepath.Join(dir, "acknowledged"), []byte(strconv.Itoa(last)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := child(t, "verify", dir).CombinedOutput(); err != nil {
			t.Fatalf("after the kill: %v\n%s", err, out)
		}
	}
}

// kill runs a writer, kills it some batches later, and returns the last one
// that it said was acknowledged. Batches are numbered over all runs.
func kill(t *testing.T, dir string, after int) (last int) {
	t.Helper()
	cmd := child(t, "write forever", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if n == after {
			_ = cmd.Process.Kill() // and read on: what it printed before it died is acknowledged too
		}
	}
	if err := cmd.Wait(); err == nil || last < after {
		t.Fatalf("the writer ended by itself after batch %d: %v", last, err)
	}
	return last
}

// verifyKept checks that every acknowledged batch is there, and no half batch.
func verifyKept(ctx context.Context, dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "acknowledged"))
	if err != nil {
		return err
	}
	last, err := strconv.Atoi(string(b))
	if err != nil {
		return err
	}
	e, conn, err := open(dir)
	if err != nil {
		return err
	}
	var whole, broken uint64
	if err := conn.QueryRow(ctx, `SELECT countIf(batch <= ? AND c = 100), countIf(c != 100)
		FROM (SELECT batch, count() AS c FROM kept GROUP BY batch)`, last).Scan(&whole, &broken); err != nil {
		return err
	}
	if whole != uint64(last+1) || broken != 0 {
		return fmt.Errorf("%d of %d acknowledged batches are there, %d broken", whole, last+1, broken)
	}
	return e.Close()
}

func TestEngine_HasTheDurabilitySettingsInForce(t *testing.T) {
	conn := chdbtest.Conn(t, chdbtest.Database(t))
	if err := conn.Exec(t.Context(), "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a"+durable); err != nil {
		t.Fatal(err)
	}
	var engine string
	if err := conn.QueryRow(t.Context(), "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 't'").Scan(&engine); err != nil {
		t.Fatal(err)
	}
	for _, want := range regexp.MustCompile(`\w+ = \d+`).FindAllString(durable, -1) {
		if !strings.Contains(engine, want) {
			t.Errorf("system.tables has no %q in %q", want, engine)
		}
		name, _, _ := strings.Cut(want, " ")
		var known uint64
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM system.merge_tree_settings WHERE name = ?", name).Scan(&known); err != nil || known != 1 {
			t.Errorf("system.merge_tree_settings has %d rows for %s, %v", known, name, err)
		}
	}
	var database string
	if err := conn.QueryRow(t.Context(), "SELECT engine FROM system.databases WHERE name = currentDatabase()").Scan(&database); err != nil || database != "Atomic" {
		t.Errorf("database engine is %q, %v, want Atomic", database, err)
	}
}

func TestEngine_SyncsEveryInsertToDisk(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("strace is missing: apt-get install strace")
		}
		t.Skip("strace is missing: apt-get install strace")
	}
	with, without := syncs(t, strace, "insert durably"), syncs(t, strace, "insert")
	t.Logf("%d batches: %d fsyncs with the settings, %d without", batches, with, without)
	// A part is several files and a directory.
	if with < without+2*batches {
		t.Errorf("%d inserts made %d fsyncs, and %d without the settings", batches, with, without)
	}
}

// syncs counts the fsyncs of a child. A new table's directories must be among
// them.
func syncs(t *testing.T, strace, name string) int {
	t.Helper()
	log, dir := filepath.Join(t.TempDir(), "strace"), filepath.Join(t.TempDir(), "data")
	out, err := child(t, name, dir, strace, "-f", "-qq", "-y", "-o", log, "-e", "trace=fsync,fdatasync").CombinedOutput()
	if err != nil {
		t.Fatalf("%s under strace: %v\n%s", name, err, out)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{dir, filepath.Join(dir, "store"), filepath.Join(dir, "metadata")} {
		if !strings.Contains(string(b), "<"+want+">") {
			t.Errorf("%s: no fsync of %s", name, want)
		}
	}
	return strings.Count(string(b), "sync(")
}

func TestEngine_LeavesSignalsToGo(t *testing.T) {
	conn := chdbtest.Conn(t, "default")
	ctx, cancel := context.WithCancel(t.Context())
	busy := make(chan error, 1)
	go func() { busy <- conn.Exec(ctx, "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)") }()
	defer func() {
		cancel()
		<-busy
	}()

	func() {
		defer func() {
			if recover() == nil {
				t.Error("a nil dereference did not panic")
			}
		}()
		var p *int
		*p = 1
	}()

	got := make(chan os.Signal, 100)
	signal.Notify(got, syscall.SIGTERM, syscall.SIGUSR1)
	defer signal.Stop(got)
	for _, want := range []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGTERM} {
		if err := syscall.Kill(os.Getpid(), want); err != nil {
			t.Fatal(err)
		}
		select {
		case s := <-got:
			if s != want {
				t.Errorf("got %v, want %v", s, want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%v did not arrive", want)
		}
	}

	// SIGPROF comes to the engine's threads too.
	profile, err := os.Create(filepath.Join(t.TempDir(), "cpu"))
	if err != nil {
		t.Fatal(err)
	}
	defer profile.Close()
	if err := pprof.StartCPUProfile(profile); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := conn.Exec(t.Context(), "SELECT count() FROM numbers(1000000)"); err != nil {
			t.Error(err)
		}
	}
	pprof.StopCPUProfile()

	// The engine asks every thread of the process, Go's too, for its stack.
	if err := conn.Exec(t.Context(), "SELECT thread_name, arrayMap(x -> demangle(addressToSymbol(x)), trace) FROM system.stack_trace FORMAT Null"); err != nil {
		t.Error(err)
	}
}

func TestFindLibrary_SaysWhatToDo(t *testing.T) {
	if _, err := chdb.FindLibrary("/no/such/libchdb.so"); !errors.Is(err, chdb.ErrNoLibrary) || !strings.Contains(err.Error(), "/no/such/libchdb.so") {
		t.Errorf("explicit path: %v", err)
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", "")
	t.Chdir(t.TempDir())
	if _, err := chdb.FindLibrary(""); err != nil && (!errors.Is(err, chdb.ErrNoLibrary) || !strings.Contains(err.Error(), "make lib")) {
		t.Errorf("nothing installed: %v", err)
	}
	dir := filepath.Join(os.Getenv("HOME"), ".cache", "whatchanged", "libchdb", chdb.LibraryVersion)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(dir, "libchdb.so")
	if err := os.WriteFile(want, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := chdb.FindLibrary(""); err != nil || got != want {
		t.Errorf("library in the cache: %q, %v, want %q", got, err, want)
	}
}

func TestLibraryVersion_IsTheOneThatIsInstalled(t *testing.T) {
	b, err := os.ReadFile("lib/package.json")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), `"`+chdb.LibraryVersion+`"`); n != 4 {
		t.Errorf("lib/package.json names version %s %d times, want 4", chdb.LibraryVersion, n)
	}
	lock, err := os.ReadFile("lib/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(lock), "://") {
		t.Error("the lock file names a registry")
	}
}

func TestBuild_WithoutTheEngineIsStaticAndSaysSo(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "nochdb.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "nochdb", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if runtime.GOOS == "linux" {
		file, err := elf.Open(binary)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 {
			t.Errorf("needs %v, %v", libraries, err)
		}
	}
	out, err := exec.CommandContext(t.Context(), binary, "-test.v", "-test.run", "TestWithoutEngine").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestWithoutEngine") {
		t.Errorf("%v\n%s", err, out)
	}
}
