package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"whatchanged/pkg/auth"
)

const (
	startLimit = 60 * time.Second
	stopLimit  = 10 * time.Second // from SIGTERM to the end, as is promised
)

// Target is the product: one process, `serve`, unless Parts says otherwise. All
// its methods wait. It is not for concurrent use, but for Running and Pid.
type Target struct {
	Binary string
	Env    []string // beside what a first start needs; may be set in Prepare
	Wrap   []string // a command in front, such as strace; may be set in Prepare
	Args   []string // after serve's own; may be set in Prepare

	// Parts are the processes in the order they start; empty: serve alone.
	Parts []*Part

	URL    string // fixed for the whole round: the load goes on through restarts
	APIKey string
	Token  string // of the source that the first start makes

	armed   bool   // the next start has a failpoint that kills
	dir     string // of its log
	dataDir string
	starts  int
}

// Part is one process of the product.
type Part struct {
	Name string
	Args []string // of the binary
	Env  []string // beside the target's
	// Ready returns nil once the part does its work; nil: at once.
	Ready func(ctx context.Context) error

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of its end, once done is closed
}

// newTarget makes a target with an address that nobody listens on.
func newTarget(binary, dir, dataDir string) (*Target, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return &Target{
		Binary: binary, URL: "http://" + address, APIKey: auth.NewToken("wc_live_"), Token: auth.NewToken("wct_"),
		dir: dir, dataDir: dataDir,
	}, nil
}

// freeAddress finds a port below those that the kernel gives to connections:
// the target leaves it and comes back to it, and nobody may take it meanwhile.
func freeAddress() (string, error) {
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 15000+time.Now().UnixNano()/1000%15000)
		ln, err := net.Listen("tcp", address)
		if err == nil {
			return address, ln.Close()
		}
	}
	return "", errors.New("no free port found")
}

const pointsVariable = "WHATCHANGED_FAILPOINTS="

// Arm sets the failpoints of the next start, as pkg/failpoint reads them; empty
// removes them.
func (t *Target) Arm(spec string) {
	t.Env = slices.DeleteFunc(t.Env, func(pair string) bool { return strings.HasPrefix(pair, pointsVariable) })
	if t.armed = spec != ""; t.armed {
		t.Env = append(t.Env, pointsVariable+spec)
	}
}

// Start starts what is not running and waits until it is ready.
func (t *Target) Start(ctx context.Context) error {
	if len(t.Parts) == 0 {
		args := []string{"serve", "--listen", strings.TrimPrefix(t.URL, "http://"), "--data-dir", t.dataDir}
		t.Parts = []*Part{{Name: "serve", Args: append(args, t.Args...), Ready: t.Ready}}
	}
	for _, p := range t.Parts {
		if p.Running() {
			continue
		}
		if err := t.StartPart(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// StartPart starts one part and waits until it is ready. A part that ends
// before is an error.
func (t *Target) StartPart(ctx context.Context, p *Part) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := t.Launch(p); err != nil {
		return err
	}
	if p.Ready == nil {
		return nil
	}
	for {
		err := p.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return &endedError{part: p.Name, err: p.err, tail: t.Tail(p)}
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready within %s: %w\n%s", p.Name, startLimit, err, t.Tail(p))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// endedError says that a part ended though nobody told it to.
type endedError struct {
	part, tail string
	err        error
}

func (e *endedError) Error() string { return fmt.Sprintf("%s ended: %v\n%s", e.part, e.err, e.tail) }
func (e *endedError) Unwrap() error { return e.err }

// Launch starts one part and does not wait.
func (t *Target) Launch(p *Part) error {
	t.starts++
	log, err := os.OpenFile(t.logPath(p), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", p.Name, err)
	}
	defer log.Close() // the process has its own
	fmt.Fprintf(log, "--- start %d\n", t.starts)
	words := slices.Concat(t.Wrap, []string{t.Binary}, p.Args)
	p.cmd = exec.Command(words[0], words[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a wrapper's child is reached with it
	p.cmd.Env = slices.Concat(ownEnvironment(os.Environ()), []string{
		"WHATCHANGED_BOOTSTRAP_API_KEY=" + t.APIKey, "WHATCHANGED_BOOTSTRAP_TOKEN=" + t.Token,
		"WHATCHANGED_API_KEY_RATE=0", "WHATCHANGED_LOG_LEVEL=info",
	}, t.Env, p.Env)
	done := make(chan struct{})
	p.done = done
	if err := p.cmd.Start(); err != nil {
		close(done)
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	go func() { // ends with the process, which Kill and Stop end
		p.err = p.cmd.Wait()
		close(done)
	}()
	return nil
}

// ownEnvironment leaves out what configures an installation: the target must
// never reach somebody's real bus or database.
func ownEnvironment(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		return strings.HasPrefix(pair, "WHATCHANGED_") && !strings.HasPrefix(pair, "WHATCHANGED_LIBCHDB=")
	})
}

// Ready returns nil when the target says that it can do all of its work.
func (t *Target) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz says %s", resp.Status)
	}
	return nil
}

// Running reports whether all parts run.
func (t *Target) Running() bool {
	return len(t.Parts) > 0 && !slices.ContainsFunc(t.Parts, func(p *Part) bool { return !p.Running() })
}

// Running reports whether the part has been started and has not ended.
func (p *Part) Running() bool {
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Done is closed when the part has ended; nil before its first start.
func (p *Part) Done() <-chan struct{} { return p.done }

// Signal sends a signal to each part that runs.
func (t *Target) Signal(sig syscall.Signal) {
	for _, p := range t.Parts {
		p.Signal(sig)
	}
}

// Signal sends a signal to the part, and to what wraps it, if it runs.
func (p *Part) Signal(sig syscall.Signal) {
	if p.Running() {
		_ = syscall.Kill(-p.cmd.Process.Pid, sig) // gone meanwhile: as well
	}
}

// Kill ends all parts at once, as a crash would, and waits until they are gone.
func (t *Target) Kill() {
	t.Signal(syscall.SIGKILL)
	for _, p := range t.Parts {
		p.reap()
	}
}

// Kill ends this part as a crash would.
func (p *Part) Kill() {
	p.Signal(syscall.SIGKILL)
	p.reap()
}

func (p *Part) reap() {
	if p.done != nil {
		<-p.done
	}
}

// Stop asks the parts to end, the last one first, each within ten seconds and
// with exit code 0.
func (t *Target) Stop(ctx context.Context) error {
	for _, p := range slices.Backward(t.Parts) {
		if err := t.StopPart(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// StopPart is Stop for one part.
func (t *Target) StopPart(ctx context.Context, p *Part) error {
	if !p.Running() {
		return nil
	}
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		p.Signal(syscall.SIGQUIT) // its goroutines tell why
		_ = pause(ctx, time.Second)
		p.Kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM\n%s", p.Name, stopLimit, t.Tail(p))
	case <-ctx.Done():
		p.Kill()
		return ctx.Err()
	}
	if p.err != nil {
		return fmt.Errorf("%s ended with %w after SIGTERM\n%s", p.Name, p.err, t.Tail(p))
	}
	return nil
}

// Pid returns the process of the first part, 0 when it does not run. With Wrap
// it is the wrapper's.
func (t *Target) Pid() int {
	if len(t.Parts) == 0 || !t.Parts[0].Running() {
		return 0
	}
	return t.Parts[0].cmd.Process.Pid
}

func (t *Target) logPath(p *Part) string { return filepath.Join(t.dir, p.Name+".log") }

// Tail returns the end of what a part has printed.
func (t *Target) Tail(p *Part) string {
	const most = 4 << 10
	b, err := os.ReadFile(t.logPath(p))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}

// processorTime returns what a process has used so far, in all of its threads.
func processorTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // behind the name, which may have spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("read the processor time of %d: %q", pid, text)
	}
	const tick = 10 * time.Millisecond // the same on every Linux that Go runs on
	var sum time.Duration
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, fmt.Errorf("read the processor time of %d: %w", pid, err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}
