package fetcher_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"whatchanged/pkg/s3test"
)

const (
	region = "eu-central-1"
	bucket = "acme-trail"

	rootID, rootSecret     = "reader", "reader-secret"
	strangerID, strangerIs = "stranger", "stranger-secret"
)

// s3Server is a versitygw in a process of its own, which serves a directory as S3
// does: real signatures, real answers.
type s3Server struct {
	t       *testing.T
	program string
	addr    string
	dir     string
	cmd     *exec.Cmd
}

func startS3(t *testing.T) *s3Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	s := &s3Server{t: t, program: gateway(t), addr: l.Addr().String(), dir: t.TempDir()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"data", "meta", "iam"} {
		if err := os.Mkdir(filepath.Join(s.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	t.Cleanup(s.stop)
	if err := s.client().MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{Region: region}); err != nil {
		t.Fatalf("make a bucket: %v", err)
	}
	return s
}

func (s *s3Server) url() string { return "http://" + s.addr }

// start starts the server, again with what it had.
func (s *s3Server) start() {
	s.t.Helper()
	cmd := exec.Command(s.program, "--access", rootID, "--secret", rootSecret, "--region", region, "--port", s.addr,
		"--iam-dir", filepath.Join(s.dir, "iam"), "--quiet",
		"posix", "--sidecar", filepath.Join(s.dir, "meta"), filepath.Join(s.dir, "data"))
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start versitygw: %v", err)
	}
	s.cmd = cmd
	deadline := time.Now().Add(patience)
	for {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			s.stop()
			s.t.Fatalf("versitygw does not listen: %v\n%s", err, log.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *s3Server) stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill() // it may be gone already
		_ = s.cmd.Wait()         // "signal: killed"
		s.cmd = nil
	}
}

// addStranger makes an account that may read nothing.
func (s *s3Server) addStranger() {
	s.t.Helper()
	out, err := exec.Command(s.program, "admin", "--access", rootID, "--secret", rootSecret, "--region", region, "--endpoint-url", s.url(),
		"create-user", "--access", strangerID, "--secret", strangerIs, "--role", "user").CombinedOutput()
	if err != nil {
		s.t.Fatalf("make an account: %v\n%s", err, out)
	}
}

func (s *s3Server) client() *minio.Client {
	s.t.Helper()
	c, err := minio.New(s.addr, &minio.Options{Creds: credentials.NewStaticV4(rootID, rootSecret, ""), Region: region})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *s3Server) put(key string, content []byte) {
	s.t.Helper()
	_, err := s.client().PutObject(s.t.Context(), bucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	if err != nil {
		s.t.Fatalf("put %s: %v", key, err)
	}
}

// gateway is versitygw's path. It is pinned in a module of its own, so that the
// product does not depend on it.
func gateway(t *testing.T) string {
	t.Helper()
	path, err := s3test.Program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
