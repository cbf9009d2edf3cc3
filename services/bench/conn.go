package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// wire is one keep-alive connection that speaks just the HTTP/1.1 a load
// generator needs: it sends bytes made elsewhere and reads answers that name
// their length. net/http's client would cost more than the server under test.
type wire struct {
	addr     string
	deadline time.Time // for everything on the connection
	conn     net.Conn
	in       []byte
}

const maxAnswer = 1 << 20

var (
	errAnswer  = errors.New("answer is not HTTP/1.1 with a length, nor in chunks")
	headEnd    = []byte("\r\n\r\n")
	lengthName = []byte("content-length:")
	closeLine  = []byte("connection: close")
)

func newWire(addr string, deadline time.Time) *wire {
	return &wire{addr: addr, deadline: deadline, in: make([]byte, 8<<10)}
}

func (w *wire) close() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

// roundTrip sends one request and returns the status and body of the answer,
// valid until the next call. After an error the connection is opened anew.
func (w *wire) roundTrip(ctx context.Context, request []byte) (int, []byte, error) {
	if w.conn == nil {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", w.addr)
		if err != nil {
			return 0, nil, err
		}
		if err := conn.SetDeadline(w.deadline); err != nil {
			conn.Close()
			return 0, nil, err
		}
		w.conn = conn
	}
	if _, err := w.conn.Write(request); err != nil {
		w.close()
		return 0, nil, err
	}
	status, body, keep, err := w.read()
	if err != nil || !keep {
		w.close()
	}
	return status, body, err
}

// read reads one answer. keep is false when the server closes after it.
func (w *wire) read() (status int, body []byte, keep bool, err error) {
	n, head, length := 0, -1, 0
	for head < 0 || n < head+length {
		if n == len(w.in) {
			if n >= maxAnswer {
				return 0, nil, false, fmt.Errorf("answer over %d bytes", maxAnswer)
			}
			w.in = append(w.in, make([]byte, n)...)
		}
		got, err := w.conn.Read(w.in[n:])
		n += got
		if err != nil {
			return 0, nil, false, err
		}
		if head < 0 {
			if end := bytes.Index(w.in[:n], headEnd); end >= 0 {
				head = end + len(headEnd)
				status, length, keep, err = parseHead(w.in[:end+2])
				if errors.Is(err, errAnswer) && isChunked(w.in[:end+2]) {
					return w.readChunked(w.in[:n])
				}
				if err != nil {
					return 0, nil, false, err
				}
			}
		}
	}
	return status, w.in[head : head+length], keep, nil
}

// readChunked reads an answer in chunks, as large ones come, of which the
// beginning is there. It costs more, and a large answer costs the server more still.
func (w *wire) readChunked(begun []byte) (status int, body []byte, keep bool, err error) {
	res, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(begun), w.conn)), nil)
	if err != nil {
		return 0, nil, false, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("answer over %d bytes", maxAnswer)
	}
	return res.StatusCode, body, !res.Close, err
}

func isChunked(head []byte) bool {
	return bytes.Contains(bytes.ToLower(head), []byte("transfer-encoding: chunked"))
}

// parseHead reads the status line and the two headers that matter.
func parseHead(head []byte) (status, length int, keep bool, err error) {
	const statusEnd = len("HTTP/1.1 200")
	if len(head) < statusEnd || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return 0, 0, false, errAnswer
	}
	if status, err = strconv.Atoi(string(head[statusEnd-3 : statusEnd])); err != nil {
		return 0, 0, false, errAnswer
	}
	length, keep = -1, true
	for line := range bytes.Lines(head[statusEnd:]) {
		switch {
		case hasFoldPrefix(line, lengthName):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(lengthName):]))); err != nil || length < 0 || length > maxAnswer {
				return 0, 0, false, errAnswer
			}
		case hasFoldPrefix(line, closeLine):
			keep = false
		}
	}
	if length < 0 {
		return 0, 0, false, errAnswer
	}
	return status, length, keep, nil
}

func hasFoldPrefix(b, prefix []byte) bool {
	return len(b) >= len(prefix) && bytes.EqualFold(b[:len(prefix)], prefix)
}
