package receiver_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"whatchanged/services/receiver"
)

const good = `{"hello":"world"}`

// TestFraming_EveryOddRequestGetsOneAnswer sends bytes that no client library
// would, followed by a good request: where the connection stays open, it must
// be answered as if nothing had been, and where it does not, not at all.
func TestFraming_EveryOddRequestGetsOneAnswer(t *testing.T) {
	d := openDoor(t, func(s *settings) { s.receiver.MaxBody = 1 << 20; s.receiver.SourceBytes = 1 << 20 })
	path := receiver.Prefix + d.token
	post := func(headers, body string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n" + body
	}
	length := fmt.Sprintf("Content-Length: %d\r\n", len(good))
	const chunked = "Transfer-Encoding: chunked\r\n"
	chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(good), good)
	const (
		stays  = false
		closes = true
	)
	for _, c := range []struct {
		name    string
		request string
		status  int // of the only answer, or of the first of two
		closes  bool
	}{
		{"A1 get", "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n", 405, stays},
		{"A1 put", "PUT " + path + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 405, stays},
		{"A1 delete", "DELETE " + path + " HTTP/1.1\r\nHost: x\r\n\r\n", 405, stays},
		{"A1 trace", "TRACE " + path + " HTTP/1.1\r\nHost: x\r\n\r\n", 405, stays},
		{"A1 lower case", "post " + path + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 405, stays},
		{"A1 options", "OPTIONS " + path + " HTTP/1.1\r\nHost: x\r\n\r\n", 405, stays},
		{"A1 options star", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404, stays},
		{"A2 connect", "CONNECT host:443 HTTP/1.1\r\nHost: host:443\r\n\r\n", 404, stays},
		{"A3 http 0.9", "GET " + path + "\r\n\r\n", 400, closes},
		{"A3 garbage", "\x00\x01\x02\x03\r\n\r\n", 400, closes},
		{"A3 tls hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, closes},
		{"A4 http 9.9", "POST " + path + " HTTP/9.9\r\nHost: x\r\n\r\n", 505, closes},
		{"A5 http 1.0 without host", "POST " + path + " HTTP/1.0\r\n" + length + "\r\n" + good, 200, closes},
		{"A6 no host", "POST " + path + " HTTP/1.1\r\n" + length + "\r\n" + good, 400, closes},
		{"A6 two hosts", post("Host: y\r\n"+length, good), 400, closes},
		{"A6 bad host", "POST " + path + " HTTP/1.1\r\nHost: a b\r\n" + length + "\r\n" + good, 400, closes},
		{"A7 absolute form", "POST http://evil.example" + path + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 200, stays},
		{"A8 h2c upgrade", post("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"+length, good), 200, stays},
		{"A8 h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404, closes},
		{"A11 length and chunked", post(length+chunked, chunks), 200, closes},
		{"A11 chunked and length", post(chunked+"Content-Length: 0\r\n", chunks), 200, closes},
		{"A11 two lengths", post(length+"Content-Length: 1\r\n", good), 400, closes},
		{"A11 length twice the same", post(length+length, good), 200, stays},
		{"A11 length with a sign", post("Content-Length: +17\r\n", good), 400, closes},
		{"A11 negative length", post("Content-Length: -1\r\n", good), 400, closes},
		{"A12 chunked twice", post(chunked+chunked, chunks), 501, closes},
		{"A12 gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", chunks), 501, closes},
		{"A12 identity", post("Transfer-Encoding: identity\r\n"+length, good), 501, closes},
		{"A12 xchunked", post("Transfer-Encoding: xchunked\r\n", chunks), 501, closes},
		{"A14 bad chunk size", post(chunked, "zz\r\n"+good+"\r\n0\r\n\r\n"), 400, closes},
		{"A14 long chunk size", post(chunked, "00000000000000011\r\n"+good+"\r\n0\r\n\r\n"), 400, closes},
		{"A14 bare line feed after a chunk", post(chunked, fmt.Sprintf("%x\n%s\n0\n\n", len(good), good)), 400, closes},
		{"A15 chunk extension", post(chunked, fmt.Sprintf("%x;a=b\r\n%s\r\n0\r\n\r\n", len(good), good)), 200, closes},
		{"A15 long chunk extension", post(chunked, fmt.Sprintf("%x;a=%s\r\n%s\r\n0\r\n\r\n", len(good), strings.Repeat("b", 1<<20), good)), 400, closes},
		{"A16 trailers", post(chunked+"Trailer: X-T\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\nX-T: 1\r\n\r\n", len(good), good)), 200, closes},
		{"A16 trailer content-length", post(chunked+"Trailer: Content-Length\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\nContent-Length: 3\r\n\r\n", len(good), good)), 400, closes},
		{"A17 bare line feeds", strings.ReplaceAll("POST "+path+" HTTP/1.1\r\nHost: x\r\n"+length+"\r\n", "\r\n", "\n") + good, 200, stays},
		{"A18 bare carriage return", post("X-A: a\rb\r\n"+length, good), 400, closes},
		{"A18 nul", post("X-A: a\x00b\r\n"+length, good), 400, closes},
		{"A18 control byte", post("X-A: a\x01b\r\n"+length, good), 400, closes},
		{"A19 space in name", post("X A: b\r\n"+length, good), 400, closes},
		{"A19 empty name", post(": b\r\n"+length, good), 400, closes},
		{"A19 no colon", post("XA\r\n"+length, good), 400, closes},
		{"A20 continuation line", post("X-A: a\r\n b\r\n"+length, good), 200, stays},
		{"A21 not ascii", post("X-A: \xff\xfe\u00e9\r\n"+length, good), 200, stays},
		{"A23 path of 8 KB", "POST " + path + strings.Repeat("a", 8<<10) + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 414, closes},
		{"A23 escaped path", "POST " + receiver.Prefix + strings.Repeat("%41", 180) + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 414, closes},
		{"A24 path of 40 KB", "POST " + path + strings.Repeat("a", 40<<10) + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 431, closes},
		{"A24 headers of 40 KB", post("X-A: "+strings.Repeat("a", 40<<10)+"\r\n"+length, good), 431, closes},
		{"A25 bad escape", "POST " + receiver.Prefix + "%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, closes},
		{"A27 dots", "POST " + receiver.Prefix + "../" + d.token + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 404, stays},
		{"A27 dots before", "POST /api/../api/webhooks/incoming/changes/" + d.token + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 404, stays},
		{"A27 double slash", "POST " + receiver.Prefix + "/" + d.token + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 404, stays},
		{"A27 double slash before", "POST /" + path + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 404, stays},
		{"A27 trailing slash", "POST " + path + "/ HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 404, stays},
		{"A27 no token", "POST " + receiver.Prefix + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 404, stays},
		{"A27 escaped slash", "POST " + receiver.Prefix + "%2F" + d.token + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 404, stays},
		{"A27 escaped nul", "POST " + path + "%00 HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 404, stays},
		{"A28 token in query", "POST " + path + "?token=" + d.token + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 200, stays},
		{"A28 token in query only", "POST " + receiver.Prefix + "?token=" + d.token + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + good, 404, stays},
		{"A30 unknown expect", post("Expect: 200-ok\r\n"+length, good), 417, closes},
		{"A32 length over the limit", post("Content-Length: 1048577\r\n", ""), 413, closes},
		{"A32 over the limit, expect", post("Expect: 100-continue\r\nContent-Length: 1048577\r\n", ""), 413, closes},
		{"A32 huge length", post("Content-Length: 99999999999999999999\r\n", ""), 400, closes},
		{"A32 chunks over the limit", post(chunked, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 1<<20+1, strings.Repeat(" ", 1<<20+1))), 413, closes},
		{"expect", post("Expect: 100-continue\r\n"+length, good), 200, stays},
		{"chunked", post(chunked, chunks), 200, closes},
		{"good", post(length, good), 200, stays},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(d.stored())
			answers := d.raw(c.request+request(d.token, good, "Connection: close"), 3) // a third would be one too many
			want := 2
			if c.closes {
				want = 1
			}
			if len(answers) != want {
				t.Fatalf("%d answers, want %d: %v", len(answers), want, answers)
			}
			if answers[0].status != c.status {
				t.Errorf("answer %v, want %d", answers[0], c.status)
			}
			if !c.closes && answers[1].status != http.StatusOK {
				t.Errorf("the good request after it: %v", answers[1])
			}
			accepted := 0
			for _, a := range answers {
				if a.status == http.StatusOK {
					accepted++
				}
				if a.status >= 500 && a.status != 501 && a.status != 505 || a.status/100 == 3 {
					t.Errorf("answer %v", a)
				}
				if strings.Contains(a.body, d.token) || a.header.Get("Location") != "" {
					t.Errorf("answer %v %v", a, a.header)
				}
			}
			if a := answers[0]; a.status == http.StatusMethodNotAllowed && a.header.Get("Allow") != "POST" {
				t.Errorf("405 with Allow %q", a.header.Get("Allow"))
			}
			if got := len(d.stored()) - before; got != accepted {
				t.Errorf("%d deliveries stored, %d accepted", got, accepted)
			}
		})
	}
}

func TestFraming_AnswersPipelinedRequestsInOrder(t *testing.T) {
	d := openDoor(t)
	var sent strings.Builder
	var want []int
	for i := range 100 {
		switch i % 4 {
		case 0:
			sent.WriteString(request(d.token, good))
			want = append(want, 200)
		case 1:
			sent.WriteString(request("unknown-token-0123456789", good))
			want = append(want, 404)
		case 2:
			sent.WriteString(request(d.token, "{"))
			want = append(want, 400)
		case 3:
			fmt.Fprintf(&sent, "GET %s%s HTTP/1.1\r\nHost: x\r\n\r\n", receiver.Prefix, d.token)
			want = append(want, 405)
		}
	}
	var got []int
	for _, a := range d.raw(sent.String(), len(want)) {
		got = append(got, a.status)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("answers %v\nwant %v", got, want)
	}
}

// A34: a body that ends early is nobody's delivery.
func TestFraming_ABodyThatEndsEarlyIsNotStored(t *testing.T) {
	d := openDoor(t)
	for _, sent := range []string{
		"POST " + receiver.Prefix + d.token + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + good,
		"POST " + receiver.Prefix + d.token + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n" + good + "\r\n",
	} {
		conn := d.dial()
		if _, err := conn.Write([]byte(sent)); err != nil {
			t.Fatal(err)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answers := readAnswers(conn, 2)
		if len(answers) != 1 || answers[0].status != 400 || answers[0].reason() != "body_incomplete" || !answers[0].close {
			t.Errorf("answers %v", answers)
		}
	}
	if n := len(d.stored()); n != 0 {
		t.Errorf("%d deliveries stored", n)
	}
}

func TestFraming_ASlowBodyIs408(t *testing.T) {
	d := openDoor(t, func(s *settings) {
		s.server.ReadHeaderTimeout, s.server.ReadTimeout = 300*time.Millisecond, 300*time.Millisecond
	})
	answers := d.raw("POST "+receiver.Prefix+d.token+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", 2)
	if len(answers) != 1 || answers[0].status != 408 || !answers[0].close {
		t.Errorf("answers %v", answers)
	}
	// Slow headers are not worth an answer.
	if answers := d.raw("POST "+receiver.Prefix+d.token+" HTTP/1.1\r\nHost:", 2); len(answers) > 1 || len(answers) == 1 && answers[0].status != 408 {
		t.Errorf("slow headers: %v", answers)
	}
	if n := len(d.stored()); n != 0 {
		t.Errorf("%d deliveries stored", n)
	}
}

// A38: the write timeout closes.
func TestFraming_AClientThatNeverReadsIsLeft(t *testing.T) {
	d := openDoor(t, func(s *settings) {
		s.server.ReadTimeout, s.server.WriteTimeout, s.server.IdleTimeout = 200*time.Millisecond, 400*time.Millisecond, 200*time.Millisecond
		s.server.ReadHeaderTimeout = 200 * time.Millisecond
	})
	conn := d.dial()
	left := make(chan struct{})
	go func() {
		defer close(left)
		sent := []byte(strings.Repeat(request("unknown-token-0123456789", good), 1000))
		for { // more than the buffers on both sides hold
			if _, err := conn.Write(sent); err != nil {
				return
			}
		}
	}()
	eventually(t, "the connection is served", func() bool { return d.counted("whatchanged_receiver_refusals_total", "") > 0 })
	eventually(t, "the server has closed the connection", func() bool { return d.gauge("whatchanged_httpserver_connections") == 0 })
	conn.Close()
	<-left
}
