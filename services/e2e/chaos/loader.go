package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// loader is the load generator's process.
type loader struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	done    chan struct{}
	err     error
	journal string
}

// startLoad starts the generator with the round's load.
func startLoad(r *Round) (*loader, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(r.Dir, "load.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	l := &loader{cmd: exec.Command(exe, "load"), done: make(chan struct{}), journal: r.Load.Journal}
	l.cmd.Stdout, l.cmd.Stderr = log, log
	if l.stdin, err = l.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := l.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the load generator: %w", err)
	}
	go func() { // ends with the process, which stop or kill end
		l.err = l.cmd.Wait()
		close(l.done)
	}()
	if err := json.NewEncoder(l.stdin).Encode(r.Load); err != nil {
		l.kill()
		return nil, fmt.Errorf("start the load generator: %w", err)
	}
	return l, nil
}

// stop lets the generator wait for its last answers and end.
func (l *loader) stop() error {
	l.stdin.Close()
	select {
	case <-l.done:
		return l.err
	case <-time.After(2 * answerLimit):
		l.kill()
		return errors.New("it did not end")
	}
}

func (l *loader) kill() {
	_ = l.cmd.Process.Kill() // an error means that it has ended
	<-l.done
}

// awaitMore waits until more requests were acknowledged than there are now.
func (l *loader) awaitMore(ctx context.Context, count int) error {
	from, err := os.Stat(l.journal)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		f, err := os.Open(l.journal)
		if err != nil {
			return err
		}
		_, err = f.Seek(from.Size(), io.SeekStart)
		text, readErr := io.ReadAll(f)
		f.Close()
		if err := errors.Join(err, readErr); err != nil {
			return err
		}
		if strings.Count(string(text), `"e":"ok"`) >= count {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("not %d requests were acknowledged within a minute of the last start", count)
}
