package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const stopGrace = 20 * time.Second

// child is a process of this program's own executable. It is stopped by its
// own process id, and never left behind.
type child struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser // closing it tells our own helpers to end
	tail  *tail          // of what it printed
	done  chan struct{}  // closed when it has ended
	err   error          // of its end, once done is closed
}

// startChild starts this executable with args; env is added to ours. Its
// output goes to out, or is kept with its errors when out is nil.
func startChild(args []string, out *os.File, env ...string) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	c := &child{name: args[0], tail: &tail{max: 8 << 10}, done: make(chan struct{})}
	c.cmd = exec.Command(exe, args...) //nolint:gosec // itself
	c.cmd.Env = append(ownEnvironment(os.Environ()), env...)
	c.cmd.Stdout, c.cmd.Stderr = c.tail, c.tail
	if out != nil {
		c.cmd.Stdout = out
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	go func() { // ends with the process, which stop ends
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// ownEnvironment leaves out what configures an installation: the server under
// test must never reach somebody's real bus or database.
func ownEnvironment(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		return strings.HasPrefix(pair, "WHATCHANGED_") && !strings.HasPrefix(pair, "WHATCHANGED_LIBCHDB=")
	})
}

// program is the name that the kernel knows the child's threads by.
func (c *child) program() string { return filepath.Base(c.cmd.Path) }

func (c *child) pid() int { return c.cmd.Process.Pid }

// failure says how the child ended, with the end of what it printed.
func (c *child) failure() error {
	err := c.err
	if err == nil {
		err = errors.New("too early")
	}
	return fmt.Errorf("%s ended: %w\n%s", c.name, err, c.tail)
}

// stop ends the child: politely, and if that takes too long, by force.
func (c *child) stop() error {
	c.stdin.Close()
	select {
	case <-c.done:
	default:
		if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop %s: %w", c.name, err)
		}
	}
	select {
	case <-c.done:
		return nil
	case <-time.After(stopGrace):
		c.cmd.Process.Kill() // an error means that it has just ended
		<-c.done
		return fmt.Errorf("%s did not stop within %v and was killed\n%s", c.name, stopGrace, c.tail)
	}
}

// message is a line of a helper's output.
type message[T any] struct {
	Address  string `json:"address,omitempty"`  // where it listens
	Accepted *int64 `json:"accepted,omitempty"` // progress
	Result   *T     `json:"result,omitempty"`   // the last line
}

// helper is a running hidden subcommand: its job went in as one line of JSON,
// messages come back as lines.
type helper[Result any] struct {
	*child
	out   *os.File
	lines *bufio.Reader
}

func startHelper[Job, Result any](name string, job Job) (*helper[Result], error) {
	r, w, err := os.Pipe() // not StdoutPipe, which Wait closes under its reader
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer w.Close() // the child has its own
	c, err := startChild([]string{name}, w)
	if err != nil {
		r.Close()
		return nil, err
	}
	h := &helper[Result]{child: c, out: r, lines: bufio.NewReader(r)}
	if err := json.NewEncoder(c.stdin).Encode(job); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: send job: %w", name, err), h.stop())
	}
	return h, nil
}

func (h *helper[Result]) next() (message[Result], error) {
	var m message[Result]
	line, err := h.lines.ReadBytes('\n')
	if err != nil {
		<-h.done // its output has ended, so it has
		return m, h.failure()
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return m, fmt.Errorf("%s: %w", h.name, err)
	}
	return m, nil
}

func (h *helper[Result]) stop() error {
	defer h.out.Close()
	return h.child.stop()
}

// runHelper runs a hidden subcommand to its result. progress may be nil.
func runHelper[Job, Result any](ctx context.Context, name string, job Job, progress func(int64)) (_ Result, err error) {
	var none Result
	h, err := startHelper[Job, Result](name, job)
	if err != nil {
		return none, err
	}
	stopped := make(chan struct{})
	wake := context.AfterFunc(ctx, func() {
		defer close(stopped)
		h.child.stop() // its result would come too late to matter
	})
	defer func() {
		if !wake() {
			<-stopped
		}
		err = errors.Join(err, h.stop())
	}()
	for {
		m, err := h.next()
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		if err != nil {
			return none, err
		}
		if m.Result != nil {
			return *m.Result, nil
		}
		if m.Accepted != nil && progress != nil {
			progress(*m.Accepted)
		}
	}
}

// serveHelper is the other side of runHelper. It ends early when its standard
// input closes, so that it never outlives the one who asked.
func serveHelper[Job, Result any](ctx context.Context, in io.Reader, out io.Writer, do func(context.Context, Job, func(message[Result])) (Result, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := bufio.NewReader(in)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	var job Job
	if err := json.Unmarshal(line, &job); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	go func() { // ends with the process: reading standard input cannot be called off
		io.Copy(io.Discard, r)
		cancel()
	}()
	enc := json.NewEncoder(out)
	result, err := do(ctx, job, func(m message[Result]) {
		enc.Encode(m) // who no longer reads has closed standard input too
	})
	if err != nil {
		return err
	}
	return enc.Encode(message[Result]{Result: &result})
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	max int
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.max; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(bytes.TrimSpace(t.buf)), "?")
}
