package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"whatchanged/pkg/backup"
	"whatchanged/pkg/problem"
)

// controlFile is the socket by which commands on this machine have the process
// do what only it can that has the data directory open. Who may open the socket
// owns the directory: there is no other key.
const controlFile = "control.sock"

// controlAddress is the socket's path in a form that fits into an address,
// however deep the directory is. release ends its validity.
func controlAddress(dataDir string) (path string, release func() error, err error) {
	path = filepath.Join(dataDir, controlFile)
	const most = 100 // of 108, and 104 elsewhere
	if len(path) <= most || runtime.GOOS != "linux" {
		return path, func() error { return nil }, nil
	}
	dir, err := os.Open(dataDir)
	if err != nil {
		return "", nil, err
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), controlFile), dir.Close, nil
}

// addControl starts answering on the socket. Some file systems have no sockets:
// then there is none, and whatever else is served is served all the same.
func (s *server) addControl(ctx context.Context) error {
	path, release, err := controlAddress(s.cfg.DataDir)
	if err != nil {
		return fmt.Errorf("open the control socket: %w", err)
	}
	err = os.Remove(path) // of a process that was killed: the data directory is ours
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("open the control socket: %w", err), release())
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		s.log.Warn("no backup can be made while this process runs: the data directory takes no socket; "+
			"put it on a local file system, or stop the server for a backup", "part", "control", "error", err)
		return release()
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("open the control socket: %w", err), listener.Close(), release())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /backups", s.makeBackup())
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: grace}
	s.parts.Start("control", func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { srv.Close() })
		defer stop()
		err := srv.Serve(listener)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		return errors.Join(err, release())
	})
	return nil
}

// makeBackup answers once the backup is made; one is made at a time.
func (s *server) makeBackup() http.HandlerFunc {
	var one sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		var asked backupRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&asked); err != nil {
			problem.Write(w, problem.New(problem.Malformed, "bad_json", "the request cannot be read"))
			return
		}
		if !one.TryLock() {
			problem.Write(w, problem.New(problem.Conflict, "backup_running", "a backup is being made: wait for it"))
			return
		}
		defer one.Unlock()
		cfg := s.cfg.Backup
		if asked.To != "" {
			cfg.To = asked.To
		}
		backups, err := backup.New(backup.Deps{
			Config: cfg, Store: s.store, Bus: s.bus, KeyMark: s.sealer.Mark(), Audit: s.audit, Log: s.log.With("part", "backup"), Now: time.Now,
		})
		var made backup.Made
		if err == nil {
			made, err = backups.Create(r.Context(), asked.Name)
		}
		if err != nil {
			// Whoever may ask owns the installation: the reason is for them.
			s.log.Error("no backup was made", "part", "backup", "error", err)
			answerJSON(w, http.StatusInternalServerError, map[string]string{"error": err.Error()})
			return
		}
		answerJSON(w, http.StatusOK, made)
	}
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever asked may be gone
}

// backupRequest is what is asked of a running process.
type backupRequest struct {
	Name string `json:"name"`
	To   string `json:"to,omitempty"`
}

// errNotRunning says that no process has the data directory open.
var errNotRunning = errors.New("no server runs on this data directory")

// askForBackup has the process that owns a data directory make a backup.
func askForBackup(ctx context.Context, dataDir string, asked backupRequest) (made backup.Made, err error) {
	path, release, err := controlAddress(dataDir)
	if errors.Is(err, os.ErrNotExist) {
		return made, errNotRunning
	}
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, release()) }()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
	body, err := json.Marshal(asked)
	if err != nil {
		return made, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control/backups", bytes.NewReader(body))
	if err != nil {
		return made, err
	}
	res, err := client.Do(req)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return made, errNotRunning
	}
	if err != nil {
		return made, fmt.Errorf("ask the server for a backup: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return made, fmt.Errorf("ask the server for a backup: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		var refused struct{ Error, Detail string }
		_ = json.Unmarshal(text, &refused) // else the status says enough
		return made, fmt.Errorf("the server made no backup (%s): %s%s", res.Status, refused.Error, refused.Detail)
	}
	if err := json.Unmarshal(text, &made); err != nil {
		return made, fmt.Errorf("read the server's answer: %w", err)
	}
	return made, nil
}
