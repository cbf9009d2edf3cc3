package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// edge is the real program seen from outside: its socket, and what it writes.
type edge struct {
	t    *testing.T
	addr string
	dir  string // its data
	key  string // of the admin
	hook string // path of the first source's webhook
	pid  int
	stop func() // and wait until it has ended
	log  func() string
}

// startEdge starts the program on a fresh data directory, with settings from
// the environment as NAME=value, and ends it with the test.
func startEdge(t *testing.T, settings ...string) *edge {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{t: t, addr: l.Addr().String(), dir: filepath.Join(t.TempDir(), "data")}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	e.log = func() string {
		text, err := os.ReadFile(log.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	cmd := exec.Command(binary, "serve", "--listen", e.addr, "--data-dir", e.dir)
	cmd.Stderr = log // what it prints on the first start is for its owner
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "PATH"} {
		cmd.Env = append(cmd.Env, name+"="+os.Getenv(name))
	}
	cmd.Env = append(cmd.Env, settings...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e.pid = cmd.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	e.stop = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			ended <- err
			if err != nil {
				t.Errorf("the server ended: %v\n%s", err, e.log())
			}
		case <-time.After(patience):
			cmd.Process.Kill()
			ended <- <-ended
			t.Errorf("the server did not end within %s\n%s", patience, e.log())
		}
	}
	t.Cleanup(func() {
		e.stop()
		log.Close()
	})
	until(t, "the server to be ready", func() error {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the server ended: %v\n%s", err, e.log())
		default:
		}
		return get("http://" + e.addr + "/readyz")
	})
	var boot struct {
		APIKey     string `json:"api_key"`
		WebhookURL string `json:"webhook_url"`
	}
	text, err := os.ReadFile(filepath.Join(e.dir, "bootstrap.json"))
	if err == nil {
		err = json.Unmarshal(text, &boot)
	}
	if err != nil {
		t.Fatal(err)
	}
	e.key, e.hook = boot.APIKey, strings.TrimPrefix(boot.WebhookURL, "http://"+e.addr)
	return e
}

// said is one answer.
type said struct {
	status int
	header http.Header
	body   string
	close  bool
}

func (s said) String() string { return fmt.Sprintf("%d %q", s.status, s.body) }

func (e *edge) dial() net.Conn { return e.dialFrom("127.0.0.1") }

// dialFrom connects from an address of this machine.
func (e *edge) dialFrom(address string) net.Conn {
	e.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := d.DialContext(e.t.Context(), "tcp", e.addr)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// raw sends bytes on a connection of their own, and returns every final answer
// until the server closes it, at most so many.
func (e *edge) raw(sent string, most int) []said {
	e.t.Helper()
	conn := e.dial()
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, sent) }() // the server may close before it has all
	return answers(conn, most)
}

func answers(conn net.Conn, most int) []said {
	var all []said
	r := bufio.NewReader(conn)
	for len(all) < most {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return all
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		all = append(all, said{resp.StatusCode, resp.Header, string(body), resp.Close})
		if err != nil || resp.Close {
			return all
		}
	}
	return all
}

// call sends a well-formed request, with the admin's key unless headers say
// otherwise, as "Name: value".
func (e *edge) call(method, path, body string, headers ...string) said {
	e.t.Helper()
	all := e.raw(head(method, path, fmt.Sprintf("Content-Length: %d\r\n", len(body)), e.withKey(headers)...)+body, 1)
	if len(all) != 1 {
		e.t.Fatalf("%s %s: %d answers", method, path, len(all))
	}
	return all[0]
}

func (e *edge) withKey(headers []string) []string {
	if slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Authorization:") }) {
		return headers
	}
	return append([]string{"Authorization: Bearer " + e.key}, headers...)
}

// head returns the bytes of a request before its body. framing is lines, each
// with its end.
func head(method, path, framing string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: x\r\n%s", method, path, framing)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	return b.String() + "\r\n"
}

// series returns the names and labels of the product's metrics, and their values.
func (e *edge) series() map[string]string {
	e.t.Helper()
	got := e.call("GET", "/metrics", "")
	if got.status != http.StatusOK {
		e.t.Fatalf("metrics: %v", got)
	}
	all := map[string]string{}
	for line := range strings.Lines(got.body) {
		if at := strings.LastIndexByte(line, ' '); strings.HasPrefix(line, "whatchanged_") && at > 0 {
			all[line[:at]] = strings.TrimSpace(line[at:])
		}
	}
	return all
}

// outer returns the names and labels of those metrics that requests move.
func (e *edge) outer() (all []string) {
	for name := range e.series() {
		for _, part := range []string{"httpserver", "receiver", "api"} {
			if strings.HasPrefix(name, "whatchanged_"+part+"_") {
				all = append(all, name)
			}
		}
	}
	slices.Sort(all)
	return all
}

// unharmed fails the test if anything panicked or was answered as a fault of ours.
func (e *edge) unharmed() {
	e.t.Helper()
	for name, value := range e.series() {
		if strings.Contains(name, "panics_total") && value != "0" {
			e.t.Errorf("%s %s", name, value)
		}
		if strings.HasPrefix(name, "whatchanged_httpserver_requests_total") && strings.Contains(name, `code="500"`) {
			e.t.Errorf("%s %s", name, value)
		}
	}
	if log := e.log(); strings.Contains(log, "panic") || strings.Contains(log, "goroutine ") {
		e.t.Errorf("log:\n%s", log)
	}
}

// internals are what no answer may show: places in our code, our files, SQL.
var internals = regexp.MustCompile(`(?i)\.go:\d|goroutine|/go/pkg|runtime error|clickhouse|SELECT .* FROM|DB::Exception|jetstream|nats:`)

// proper fails the test if an answer is none that a stranger may get.
func (e *edge) proper(a said) {
	e.t.Helper()
	switch {
	case a.status/100 == 3 || a.header.Get("Location") != "":
		e.t.Errorf("a redirect: %v %v", a, a.header)
	case a.status >= 500 && a.status != 501 && a.status != 503 && a.status != 505:
		e.t.Errorf("a fault of ours: %v", a)
	case a.status == 503 || a.status == 429:
		if a.header.Get("Retry-After") == "" {
			e.t.Errorf("without Retry-After: %v", a)
		}
	}
	if a.status >= 400 && (internals.MatchString(a.body) || strings.Contains(a.body, e.dir)) {
		e.t.Errorf("tells of our inside: %v", a)
	}
	token := e.hook[strings.LastIndexByte(e.hook, '/')+1:]
	if strings.Contains(a.body, token) || strings.Contains(a.body, e.key) {
		e.t.Errorf("repeats a secret: %v", a)
	}
}

// door is a route of the program with a request that it takes.
type door struct {
	name, path string
	status     int // of the request when it is good
	body       string
	headers    []string
}

func (e *edge) doors() []door {
	return []door{
		{"webhook", e.hook, 200, `{"hello":"world"}`, nil},
		{"incidents", strings.Replace(e.hook, "/changes/", "/incidents/", 1), 200, `{"hello":"world"}`, nil},
		{"api", "/api/v1/changes", 201, `{"summary":"hello"}`, []string{"Authorization: Bearer " + e.key, "Content-Type: application/json"}},
	}
}

// TestEdge_OddFramingOnEveryRoute sends bytes that no client library would to
// the real listener, each followed by a good request. Where the connection
// stays open, that one must be answered as if nothing had been before it;
// where it does not, not at all: nothing of a body is ever a request.
// C34: and no refusal tells of our inside.
func TestEdge_OddFramingOnEveryRoute(t *testing.T) {
	e := startEdge(t, "WHATCHANGED_RECEIVER_MAX_BODY=1048576", "WHATCHANGED_API_KEY_RATE=0", "WHATCHANGED_LOG_LEVEL=debug")
	const (
		stays  = false
		closes = true
		good   = 0 // the status of a good request
	)
	for _, d := range e.doors() {
		post := func(framing, body string) string { return head("POST", d.path, framing, d.headers...) + body }
		length := fmt.Sprintf("Content-Length: %d\r\n", len(d.body))
		const chunked = "Transfer-Encoding: chunked\r\n"
		chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(d.body), d.body)
		line := func(text string) string {
			return strings.Replace(post(length, d.body), "POST "+d.path+" HTTP/1.1", text, 1)
		}
		smuggled := "POST " + d.path + " HTTP/1.1\r\nHost: smuggled\r\n" + length + "\r\n" + d.body
		for _, c := range []struct {
			name, request string
			status        int // of the only answer, or of the first of two
			closes        bool
		}{
			{"A1 trace", head("TRACE", d.path, "", d.headers...), 405, stays},
			{"A1 delete", head("DELETE", d.path, "", d.headers...), 405, stays},
			{"A1 lower case", line("post " + d.path + " HTTP/1.1"), 405, stays},
			{"A1 options", head("OPTIONS", d.path, "", d.headers...), 405, stays},
			{"A1 an invented method", head("BREW", d.path, "", d.headers...), 405, stays},
			{"A2 connect", "CONNECT host:443 HTTP/1.1\r\nHost: host:443\r\n\r\n", 404, stays},
			{"A2 connect with a path", head("CONNECT", d.path, "", d.headers...), 405, stays},
			{"A3 http 0.9", "POST " + d.path + "\r\n\r\n", 400, closes},
			{"A3 garbage", "\x00\x01\x02\x03\r\n\r\n", 400, closes},
			{"A3 tls hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, closes},
			{"A4 http 9.9", line("POST " + d.path + " HTTP/9.9"), 505, closes},
			{"A5 http 1.0 without host", strings.Replace(line("POST "+d.path+" HTTP/1.0"), "Host: x\r\n", "", 1), good, closes},
			{"A6 no host", strings.Replace(post(length, d.body), "Host: x\r\n", "", 1), 400, closes},
			{"A6 two hosts", post("Host: y\r\n"+length, d.body), 400, closes},
			{"A6 bad host", strings.Replace(post(length, d.body), "Host: x", "Host: a b", 1), 400, closes},
			{"A7 absolute form", line("POST http://evil.example" + d.path + " HTTP/1.1"), good, stays},
			{"A8 h2c upgrade", post("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"+length, d.body), good, stays},
			{"A8 h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404, closes},
			{"A11 length and chunks", post(length+chunked, chunks), good, closes},
			{"A11 chunks and length", post(chunked+"Content-Length: 4\r\n", chunks), good, closes},
			{"A11 a request behind the chunks", post(chunked+fmt.Sprintf("Content-Length: %d\r\n", len(chunks)+len(smuggled)), chunks+smuggled), good, closes},
			{"A11 a request in the body", post(fmt.Sprintf("Content-Length: %d\r\n", len(smuggled)), smuggled), 400, stays},
			{"A11 two lengths", post(length+"Content-Length: 1\r\n", d.body), 400, closes},
			{"A11 a list of lengths", post(fmt.Sprintf("Content-Length: %d, %d\r\n", len(d.body), 1), d.body), 400, closes},
			{"A11 length with a sign", post("Content-Length: +17\r\n", d.body), 400, closes},
			{"A11 negative length", post("Content-Length: -1\r\n", d.body), 400, closes},
			{"A11 space before the colon", post("Content-Length : 1\r\n"+length, d.body), 400, closes},
			{"A11 chunked behind a tab", post("Transfer-Encoding:\tchunked\r\n", chunks), good, closes},
			{"A12 chunked twice", post("Transfer-Encoding: chunked, chunked\r\n", chunks), 501, closes},
			{"A12 two lines of chunked", post(chunked+chunked, chunks), 501, closes},
			{"A12 gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", chunks), 501, closes},
			{"A12 identity", post("Transfer-Encoding: identity\r\n"+length, d.body), 501, closes},
			{"A12 xchunked", post("Transfer-Encoding: xchunked\r\n", chunks), 501, closes},
			{"A12 chunked in http 1.0", strings.Replace(post(chunked, chunks), "HTTP/1.1", "HTTP/1.0", 1), 400, closes},
			{"A14 bad chunk size", post(chunked, "zz\r\n"+d.body+"\r\n0\r\n\r\n"), 400, closes},
			{"A14 signed chunk size", post(chunked, "-1\r\n"+d.body+"\r\n0\r\n\r\n"), 400, closes},
			{"A14 long chunk size", post(chunked, "00000000000000011\r\n"+d.body+"\r\n0\r\n\r\n"), 400, closes},
			{"A14 bare line feed after a chunk", post(chunked, fmt.Sprintf("%x\n%s\n0\n\n", len(d.body), d.body)), 400, closes},
			{"A15 chunk extension", post(chunked, fmt.Sprintf("%x;a=b\r\n%s\r\n0\r\n\r\n", len(d.body), d.body)), good, closes},
			{"A15 long chunk extension", post(chunked, fmt.Sprintf("%x;a=%s\r\n%s\r\n0\r\n\r\n", len(d.body), strings.Repeat("b", 1<<20), d.body)), 400, closes},
			{"A15 many chunks of a byte with extensions", post(chunked, strings.Repeat("1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n \r\n", 20_000)+"0\r\n\r\n"), 400, closes},
			{"A16 trailers", post(chunked+"Trailer: X-T\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\nX-T: 1\r\n\r\n", len(d.body), d.body)), good, closes},
			{"A16 trailer with a key", post(chunked+"Trailer: Authorization\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\nAuthorization: x\r\n\r\n", len(d.body), d.body)), good, closes},
			{"A16 trailer content-length", post(chunked+"Trailer: Content-Length\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\nContent-Length: 3\r\n\r\n", len(d.body), d.body)), 400, closes},
			{"A17 bare line feeds", strings.ReplaceAll(post(length, ""), "\r\n", "\n") + d.body, good, stays},
			{"A18 bare carriage return", post("X-A: a\rb\r\n"+length, d.body), 400, closes},
			{"A18 nul", post("X-A: a\x00b\r\n"+length, d.body), 400, closes},
			{"A18 control byte", post("X-A: a\x01b\r\n"+length, d.body), 400, closes},
			{"A19 space in name", post("X A: b\r\n"+length, d.body), 400, closes},
			{"A19 empty name", post(": b\r\n"+length, d.body), 400, closes},
			{"A19 no colon", post("XA\r\n"+length, d.body), 400, closes},
			{"A20 continuation line", post("X-A: a\r\n b\r\n"+length, d.body), good, stays},
			{"A21 not ascii", post("X-A: \xff\xfe\u00e9\r\n"+length, d.body), good, stays},
			{"A23 path of 8 KB", line("POST " + d.path + strings.Repeat("a", 8<<10) + " HTTP/1.1"), 414, closes},
			{"A23 escaped path", line("POST " + d.path + strings.Repeat("%41", 180) + " HTTP/1.1"), 414, closes},
			{"A24 path of 40 KB", line("POST " + d.path + strings.Repeat("a", 40<<10) + " HTTP/1.1"), 431, closes},
			{"A24 headers of 40 KB", post("X-A: "+strings.Repeat("a", 40<<10)+"\r\n"+length, d.body), 431, closes},
			{"A24 5,000 headers", post(strings.Repeat("X-A: a\r\n", 5000)+length, d.body), 431, closes},
			{"A25 bad escape", line("POST " + d.path + "%zz HTTP/1.1"), 400, closes},
			{"A27 dots", line("POST " + d.path + "/../x HTTP/1.1"), 404, stays},
			{"A27 dots before", line("POST /api/.." + d.path + " HTTP/1.1"), 404, stays},
			{"A27 escaped dots", line("POST /api/%2e%2e" + d.path + " HTTP/1.1"), 404, stays},
			{"A27 double slash", line("POST /" + d.path + " HTTP/1.1"), 404, stays},
			{"A27 double slash inside", line("POST " + strings.Replace(d.path, "/api/", "/api//", 1) + " HTTP/1.1"), 404, stays},
			{"A27 trailing slash", line("POST " + d.path + "/ HTTP/1.1"), 404, stays},
			{"A27 escaped slash", line("POST " + d.path + "%2F HTTP/1.1"), 404, stays},
			{"A27 escaped nul", line("POST " + d.path + "%00 HTTP/1.1"), 404, stays},
			{"A27 escaped line end", line("POST " + d.path + "%0d%0aX:1 HTTP/1.1"), 404, stays},
			{"A27 backslashes", line(`POST ` + d.path + `\..\ HTTP/1.1`), 404, stays},
			{"A30 unknown expect", post("Expect: 200-ok\r\n"+length, d.body), 417, closes},
			{"A32 length over the limit", post("Content-Length: 1048577\r\n", ""), 413, closes},
			{"A32 over the limit, expect", post("Expect: 100-continue\r\nContent-Length: 1048577\r\n", ""), 413, closes},
			{"A32 huge length", post("Content-Length: 99999999999999999999\r\n", ""), 400, closes},
			{"A32 chunks over the limit", post(chunked, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 1<<20+1, strings.Repeat(" ", 1<<20+1))), 413, closes},
		} {
			t.Run(d.name+" "+c.name, func(t *testing.T) {
				status := c.status
				if status == good {
					status = d.status
				}
				last := append([]string{"Connection: close"}, d.headers...)
				got := e.raw(c.request+head("POST", d.path, length, last...)+d.body, 3) // a third would be one too many
				want := 2
				if c.closes {
					want = 1
				}
				if len(got) != want || got[0].status != status {
					t.Fatalf("answers %v, want %d, the first %d", got, want, status)
				}
				if !c.closes && got[1].status != d.status {
					t.Errorf("the good request after it: %v", got[1])
				}
				for _, a := range got {
					e.proper(a)
				}
				if a := got[0]; a.status == http.StatusMethodNotAllowed && !strings.Contains(a.header.Get("Allow"), "POST") {
					t.Errorf("405 with Allow %q", a.header.Get("Allow"))
				}
			})
		}
		t.Run(d.name+" A31 many at once, good and bad", func(t *testing.T) {
			var sent strings.Builder
			var want, got []int
			for i := range 100 {
				switch i % 4 {
				case 0, 2:
					sent.WriteString(post(length, d.body))
					want = append(want, d.status)
				case 1:
					sent.WriteString(post("Content-Length: 1\r\n", "{"))
					want = append(want, 400)
				case 3:
					sent.WriteString(head("DELETE", d.path, "", d.headers...))
					want = append(want, 405)
				}
			}
			sent.WriteString(post("Bad\r\n"+length, d.body) + post(length, d.body))
			want = append(want, 400)
			for _, a := range e.raw(sent.String(), len(want)+1) {
				got = append(got, a.status)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
		})
		t.Run(d.name+" A34 a body that ends early", func(t *testing.T) {
			for _, sent := range []string{post("Content-Length: 1000\r\n", d.body), post(chunked, "3e8\r\n"+d.body)} {
				conn := e.dial()
				_, _ = io.WriteString(conn, sent)
				_ = conn.(*net.TCPConn).CloseWrite()
				got := answers(conn, 2)
				if len(got) != 1 || got[0].status != 400 || !got[0].close {
					t.Errorf("answers %v", got)
				}
				conn = e.dial()
				_, _ = io.WriteString(conn, sent)
				_ = conn.(*net.TCPConn).SetLinger(0) // a reset
				conn.Close()
			}
		})
	}
	e.unharmed()
}

// A35, A36: who is slow holds nothing for longer than the limits, on any route.
func TestEdge_WhoIsSlowIsLeft(t *testing.T) {
	e := startEdge(t, "WHATCHANGED_HTTP_READ_HEADER_TIMEOUT=500ms", "WHATCHANGED_HTTP_READ_TIMEOUT=1s",
		"WHATCHANGED_API_BODY_TIMEOUT=1s", "WHATCHANGED_HTTP_IDLE_TIMEOUT=500ms")
	trickle := func(sent string) []said {
		conn := e.dial()
		done := make(chan struct{})
		defer func() { conn.Close(); <-done }()
		go func() {
			defer close(done)
			for i := range len(sent) {
				if _, err := io.WriteString(conn, sent[i:i+1]); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond) // the pace is what is tried
			}
		}()
		return answers(conn, 2)
	}
	for _, d := range e.doors() {
		headers := head("POST", d.path, "Content-Length: 1000\r\n", d.headers...)
		conn := e.dial()
		_, _ = io.WriteString(conn, headers+"{")
		if got := answers(conn, 2); len(got) != 1 || got[0].status != 408 || !got[0].close {
			t.Errorf("%s: A36 slow body: %v", d.name, got)
		}
		if got := trickle(headers); len(got) > 1 || len(got) == 1 && got[0].status/100 != 4 {
			t.Errorf("%s: A35 slow headers: %v", d.name, got)
		}
	}
	if got := answers(e.dial(), 1); len(got) != 0 {
		t.Errorf("a connection without a request: %v", got)
	}
	e.unharmed()
}

// A live tail would hold up a stop for as long as requests may take.
func TestEdge_LiveTailsAreToldOfAStop(t *testing.T) {
	t.Parallel()
	e := startEdge(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+e.addr+"/api/v1/changes/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e.key)
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%+v %v", res, err)
	}
	defer res.Body.Close()
	e.stop()
	if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), "event: end\ndata: {\"reason\":\"server_stopping\"}") {
		t.Errorf("the tail ends with %v after %q", err, text)
	}
}

// A37: one address can have so many connections and no more, and others are
// served all the while.
func TestEdge_AFloodOfConnectionsHarmsNobodyElse(t *testing.T) {
	const most = 20
	e := startEdge(t, fmt.Sprintf("WHATCHANGED_HTTP_MAX_CONNECTIONS_PER_ADDRESS=%d", most))
	for i := range 5 * most {
		conn := e.dialFrom("127.0.0.2")
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "POST "+e.hook+" HTTP/1.1\r\nHo") // and no more of it
		}
	}
	conn := e.dialFrom("127.0.0.2")
	_, _ = io.WriteString(conn, head("GET", "/healthz", ""))
	if got := answers(conn, 1); len(got) != 0 {
		t.Errorf("one more of the same address: %v", got)
	}
	for range 10 {
		conn := e.dialFrom("127.0.0.3")
		_, _ = io.WriteString(conn, head("POST", e.hook, "Content-Length: 2\r\n")+"{}")
		if got := answers(conn, 1); len(got) != 1 || got[0].status != 200 {
			t.Errorf("another address: %v", got)
		}
	}
	if n := e.series()[`whatchanged_httpserver_refused_connections_total{limit="address"}`]; n == "" || n == "0" {
		t.Errorf("%q refusals are counted", n)
	}
}

// C32, C33: what a stranger makes up is in no label of a metric, and however
// much of it comes, the log stays short.
func TestEdge_StrangersFillNeitherMetricsNorLog(t *testing.T) {
	e := startEdge(t, "WHATCHANGED_RECEIVER_FAILURE_RATE=1", "WHATCHANGED_API_FAILURE_RATE=1", "WHATCHANGED_API_KEY_RATE=0")
	attack := func(word string) {
		var sent strings.Builder
		for i := range 200 {
			own := fmt.Sprintf("%s%d", word, i)
			for _, request := range []string{
				head("POST", "/api/webhooks/incoming/changes/"+own+"0123456789abcdef", "Content-Length: 2\r\n", "X-"+own+": "+own) + "{}",
				head("POST", e.hook+"?"+own, "Content-Length: 1\r\n", "Content-Type: "+own, "Content-Encoding: "+own) + "{",
				head(strings.ToUpper(own), "/api/v1/changes", ""),
				head("GET", "/api/v1/"+own+"?"+own+"="+own, "", "Authorization: Bearer "+own),
				head("GET", "/api/v1/changes?"+own+"="+own, "", "Authorization: Bearer "+e.key, "Origin: https://"+own+".example"),
				head("GET", "/api/v1/changes/"+own, "", "Authorization: Bearer "+e.key),
			} {
				sent.WriteString(request)
			}
		}
		for _, a := range e.raw(sent.String(), 1200) {
			e.proper(a)
		}
	}
	e.series() // which is a request too
	attack("first")
	before, lines := e.outer(), strings.Count(e.log(), "\n")
	attack("second")
	if diff := cmp.Diff(before, e.outer()); diff != "" {
		t.Errorf("C32: the second attack made series (-before +after):\n%s", diff)
	}
	if more := strings.Count(e.log(), "\n") - lines; more > 20 {
		t.Errorf("C33: 1,200 bad requests made %d lines of log:\n%s", more, e.log())
	}
	if text := strings.Join(before, "\n") + e.log(); strings.Contains(text, "first1") || strings.Contains(text, "second1") {
		t.Error("what a stranger made up is in the metrics or the log")
	}
	e.unharmed()
}

// until tries until f succeeds, and fails with its last error.
func (e *edge) until(what string, f func() error) {
	e.t.Helper()
	until(e.t, what, f)
}

// find returns where in a directory's files any of the words is, by file.
func find(dir string, words map[string]string) (found []string, read int, err error) {
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil // merged away meanwhile
		}
		read += len(text)
		for what, word := range words {
			if bytes.Contains(text, []byte(word)) {
				found = append(found, what+" in "+strings.TrimPrefix(path, dir))
			}
		}
		return err
	})
	return found, read, err
}
