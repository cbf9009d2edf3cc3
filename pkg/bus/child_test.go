package bus_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

const (
	childEnv = "WHATCHANGED_BUS_TEST_CHILD"
	dirEnv   = "WHATCHANGED_BUS_TEST_DIR"
)

// children are what this test program can be started as.
var children = map[string]func() int{
	"commit for ever": childCommits(0, 8),
	"commit 50":       childCommits(50, 1),
	"full disk":       childFullDisk,
}

// child returns the command that starts this program as one of children.
func child(t *testing.T, name, dir string, wrap ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrap, self)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"="+name, dirEnv+"="+dir)
	cmd.Stderr = t.Output()
	return cmd
}

func childBus() (*bus.Bus, error) {
	cfg := bus.DefaultConfig()
	cfg.Dir, cfg.Name, cfg.MaxBytes, cfg.DiskReserve = os.Getenv(dirEnv), "child", 1<<30, 1
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return bus.Connect(context.Background(), cfg, log, prometheus.NewRegistry())
}

// childCommits commits n deliveries (0: until killed) and prints the id of each
// after it was acknowledged.
func childCommits(n, workers int) func() int {
	return func() int {
		b, err := childBus()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		c := b.NewCommitter(change.Fresh)
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		fmt.Println("ready")
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := 0; n == 0 || i < n; i++ {
					d := delivery(w*1_000_000+i, strings.Repeat("x", 200))
					if _, err := c.Commit(ctx, d); err == nil {
						fmt.Println(d.ID)
					}
				}
			})
		}
		wg.Wait()
		stop()
		if err := <-done; err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if err := b.Close(); err != nil {
			return 1
		}
		return 0
	}
}

func TestCommitter_KeepsWhatItAcknowledgedWhenKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "down", "bus")
	var acked []string
	for _, after := range []int{1, 200, 700} {
		cmd := child(t, "commit for ever", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); {
			if !strings.HasPrefix(lines.Text(), "dlv_") {
				continue
			}
			acked = append(acked, lines.Text())
			if n++; n == after {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // "signal: killed"
	}
	cfg := bustest.Config(t)
	cfg.Dir, cfg.Name = dir, "child"
	b := bustest.Connect(t, cfg)
	stored := map[string]int{}
	for _, id := range ids(frames(t, b)) {
		stored[id.String()]++
	}
	for _, id := range acked {
		if stored[id] != 1 {
			t.Fatalf("%s was acknowledged and is stored %d times", id, stored[id])
		}
	}
	if err := b.NewAuditor().Audit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if dead := deadLetters(t, b); len(dead) > 0 {
		t.Fatalf("chains are broken: %+v", dead)
	}
	t.Logf("%d acknowledged, %d stored", len(acked), len(stored))
}

func TestCommitter_FsyncsBeforeEachAcknowledgement(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("strace is missing: apt-get install strace")
		}
		t.Skip("strace is missing: apt-get install strace")
	}
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := child(t, "commit 50", t.TempDir(), "strace", "-f", "-y", "-qq", "-o", trace,
		"-e", "trace=write,pwrite64,fsync,fdatasync,openat", "-s", "64")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("strace: %v", err)
	}
	if n := strings.Count(string(out), "dlv_"); n != 50 {
		t.Fatalf("%d acknowledged, want 50", n)
	}
	log, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	// In order: a sync of the stream's file before each answer is printed.
	sync := regexp.MustCompile(`(fsync|fdatasync)\(\d+<[^>]*/streams/DELIVERIES/msgs/`)
	osync := regexp.MustCompile(`openat\(.*/streams/DELIVERIES/msgs/.*O_SYNC`)
	written := regexp.MustCompile(`p?write(64)?\(\d+<[^>]*/streams/DELIVERIES/msgs/`)
	answer := regexp.MustCompile(`write\(1<.*"dlv_`)
	syncs, answers, opened := 0, 0, false
	for line := range strings.Lines(string(log)) {
		opened = opened || osync.MatchString(line)
		switch {
		case sync.MatchString(line), opened && written.MatchString(line):
			syncs++
		case answer.MatchString(line):
			if answers++; syncs < answers {
				t.Fatalf("%d answers after %d syncs", answers, syncs)
			}
		}
	}
	if answers != 50 {
		t.Fatalf("%d answers in the trace, want 50", answers)
	}
	t.Logf("%d syncs for %d frames, opened with O_SYNC: %v", syncs, answers, opened)
}

// childFullDisk lets writes fail as on a full disk (a limit on the size of
// files), and then gives the space back.
func childFullDisk() int {
	signal.Ignore(syscall.SIGXFSZ)
	fail := func(format string, args ...any) int {
		fmt.Printf("failed: "+format+"\n", args...)
		return 1
	}
	b, err := childBus()
	if err != nil {
		return fail("connect: %v", err)
	}
	c := b.NewCommitter(change.Fresh)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var acked []string
	try := func(n int) error {
		d := delivery(n, strings.Repeat("x", 100)+strconv.Itoa(n))
		_, err := c.Commit(ctx, d)
		if err == nil {
			acked = append(acked, d.ID.String())
		}
		return err
	}
	for n := range 10 {
		if err := try(n); err != nil {
			return fail("before: %v", err)
		}
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return fail("getrlimit: %v", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 512, Max: limit.Max}); err != nil {
		return fail("setrlimit: %v", err)
	}
	start := time.Now()
	if err := try(10); err == nil {
		return fail("acknowledged on a full disk")
	}
	if waited := time.Since(start); waited > 10*time.Second {
		return fail("answered only after %s", waited)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return fail("setrlimit: %v", err)
	}
	for deadline := time.Now().Add(60 * time.Second); try(11) != nil; {
		if time.Now().After(deadline) {
			return fail("not accepting 60 s after there was space again: %v", b.Healthy())
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := try(12); err != nil {
		return fail("after: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		return fail("committer: %v", err)
	}
	if err := b.Close(); err != nil {
		return fail("close: %v", err)
	}
	for _, id := range acked {
		fmt.Println(id)
	}
	return 0
}

// What it says tells a person what to do, and is there at once: while a disk is
// full the watch tries again and again.
func TestConnect_SaysWhyTheServerCannotStart(t *testing.T) {
	cfg := bustest.Config(t)
	cfg.URL, cfg.Dir = "", t.TempDir()
	if err := os.WriteFile(filepath.Join(cfg.Dir, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := bus.Connect(t.Context(), cfg, bustest.Log(t), prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "storage directory") {
		t.Errorf("error %v, want the server's own reason", err)
	}
}

func TestBus_RecoversFromAFullDisk(t *testing.T) {
	dir := t.TempDir()
	out, err := child(t, "full disk", dir).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cfg := bustest.Config(t)
	cfg.Dir, cfg.Name = dir, "child"
	b := bustest.Connect(t, cfg)
	stored := map[string]bool{}
	for _, id := range ids(frames(t, b)) {
		stored[id.String()] = true
	}
	acked := strings.Fields(string(out))
	for _, id := range acked {
		if !stored[id] {
			t.Errorf("%s was acknowledged and is gone", id)
		}
	}
	if len(acked) < 12 {
		t.Errorf("%d acknowledged, want 12 or more", len(acked))
	}
	if err := b.NewAuditor().Audit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if dead := deadLetters(t, b); len(dead) > 0 {
		t.Errorf("chains are broken: %+v", dead)
	}
}

func deadLetters(t testing.TB, b *bus.Bus) []bus.DeadLetter {
	t.Helper()
	page, err := b.DeadLetters(t.Context(), bus.DeadQuery{Org: bus.AllOrgs, Limit: 100})
	if err != nil {
		t.Fatalf("list dead letters: %v", err)
	}
	return page.Letters
}
