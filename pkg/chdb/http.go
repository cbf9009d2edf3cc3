package chdb

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// Transport returns the engine as the other end of an HTTP client's requests,
// whatever host they name. It is meant for clickhouse-go's TransportFunc; see
// Options.
func (e *Engine) Transport() http.RoundTripper { return transport{e} }

// Handler returns the engine behind ClickHouse's HTTP interface: queries at /,
// and /ping. It has no authentication: who reaches it may read and change
// everything, and read files. Web pages of other origins are kept out.
func (e *Engine) Handler() http.Handler {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "Ok.\n") }
	mux.HandleFunc("GET /ping", ok)
	mux.HandleFunc("GET /replicas_status", ok)
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodPost:
			e.handle(w, r)
		default:
			w.Header().Set("Allow", "GET, HEAD, POST")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		}
	})
	return http.NewCrossOriginProtection().Handler(mux)
}

func (e *Engine) handle(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost && !r.URL.Query().Has("query") {
		_, _ = io.WriteString(w, "Ok.\n")
		return
	}
	a := e.serve(r)
	defer a.body.Close()
	maps.Copy(w.Header(), a.header)
	if a.length >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(a.length, 10))
	}
	w.WriteHeader(a.status)
	if _, err := io.Copy(w, a.body); err != nil && r.Context().Err() == nil {
		e.log.Debug("answer cut short", "error", err)
		panic(http.ErrAbortHandler) // the client must not take it for the whole
	}
}

// transport is the engine as a RoundTripper.
type transport struct{ engine *Engine }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	a := t.engine.serve(r)
	if r.Body != nil {
		_ = r.Body.Close()
	}
	if err := r.Context().Err(); err != nil {
		_ = a.body.Close()
		return nil, err
	}
	return &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: a.body, ContentLength: a.length, Request: r,
	}, nil
}

// answer is what a request gets.
type answer struct {
	status int
	header http.Header
	length int64 // -1: not known yet
	body   io.ReadCloser
}

// serve runs a request. The answer's body holds the rest of the query when it
// is large, and must be closed.
func (e *Engine) serve(r *http.Request) answer {
	header := http.Header{}
	header.Set("X-Clickhouse-Server-Display-Name", "whatchanged")
	q, err := parseRequest(r)
	if err != nil {
		return refuse(header, err)
	}
	if q.queryID == "" {
		q.queryID = uuid.NewString()
	}
	header.Set("X-Clickhouse-Query-Id", q.queryID)
	enc, err := newEncoder(q)
	if err != nil {
		return refuse(header, err)
	}
	s, err := e.start(r.Context(), q)
	if err != nil {
		return refuse(header, err)
	}
	b := &body{statement: s, encoder: enc, tag: strings.ToLower(rand.Text()[:16])}
	if err := b.fetch(q.wait); err != nil {
		_ = b.Close()
		return refuse(header, err)
	}
	header.Set("X-Clickhouse-Format", q.format)
	header.Set("Content-Type", contentType(q.format))
	header.Set("X-Clickhouse-Exception-Tag", b.tag)
	if q.encoding != "" {
		header.Set("Content-Encoding", q.encoding)
	}
	length := int64(-1)
	if b.ended {
		summary, _ := json.Marshal(map[string]string{
			"read_rows": strconv.FormatUint(s.stats.rowsRead, 10), "written_rows": strconv.FormatUint(s.stats.rowsWritten, 10)})
		header.Set("X-Clickhouse-Summary", string(summary))
		length = int64(enc.out.Len())
	} else {
		b.abandon(r.Context())
	}
	return answer{status: http.StatusOK, header: header, length: length, body: b}
}

// refuse is the answer to a request that failed before its output began.
func refuse(header http.Header, err error) answer {
	e := asException(err)
	header.Set("X-Clickhouse-Exception-Code", strconv.Itoa(e.Code))
	header.Set("Content-Type", "text/plain; charset=UTF-8")
	text := e.Message + "\n"
	return answer{status: e.status(), header: header, length: int64(len(text)), body: io.NopCloser(strings.NewReader(text))}
}

// asException makes any error one of the engine's form.
func asException(err error) *Exception {
	var e *Exception
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return newException(codeQueryCancelled, "QUERY_WAS_CANCELLED", "The client gave up: "+err.Error())
	case errors.Is(err, ErrClosed):
		return newException(codeUnavailable, "ABORTED", "The embedded engine is closed")
	default:
		return newException(1002, "UNKNOWN_EXCEPTION", err.Error())
	}
}

// body is an answer's body. It fetches from the engine as it is read.
type body struct {
	encoder *encoder
	tag     string
	stop    func() bool // ends the watch of abandon

	mu        sync.Mutex
	statement *statement // nil once finished
	ended     bool       // all output is in the encoder, or there will be no more
	cut       error      // why it is not the whole
}

// fetch takes output into the buffer: all of it, or until there is enough.
func (b *body) fetch(all bool) error {
	for !b.ended && (all || b.encoder.out.Len() < prefetch) {
		piece, err := b.statement.next()
		if errors.Is(err, io.EOF) {
			return b.finish()
		}
		if err == nil {
			err = b.encoder.write(piece)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finish ends the output and gives the connection back.
func (b *body) finish() error {
	b.ended = true
	if b.statement != nil {
		b.statement.finish()
		b.statement = nil
	}
	if err := b.encoder.coding.Close(); err != nil {
		return fmt.Errorf("end the answer: %w", err)
	}
	return nil
}

// Read implements io.Reader. An error of the engine stands in the text, in
// the frame that clients of ClickHouse look for: the status is long sent.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.encoder.out.Len() == 0 {
		if b.ended {
			return 0, cmp.Or(b.cut, io.EOF)
		}
		piece, err := b.statement.next()
		if err == nil {
			err = b.encoder.write(piece)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			text := asException(err).Message + "\n"
			err = b.encoder.writeRaw(fmt.Appendf(nil, "\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n", b.tag, text, len(text), b.tag))
			if err != nil {
				return 0, fmt.Errorf("write the engine's error: %w", err)
			}
			err = io.EOF
		}
		if err != nil {
			if err := b.finish(); err != nil {
				return 0, err
			}
		}
	}
	return b.encoder.out.Read(p)
}

// abandon gives the connection back when the request's context ends, for
// readers that forget to close.
func (b *body) abandon(ctx context.Context) {
	b.stop = context.AfterFunc(ctx, func() { b.release(ctx.Err()) })
}

// release gives the connection back. A reader that comes later learns why there
// is no more.
func (b *body) release(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.statement != nil {
		b.statement.finish()
		b.statement = nil
		b.ended, b.cut = true, why
	}
}

// Close implements io.Closer: what has not been read is not fetched.
func (b *body) Close() error {
	if b.stop != nil {
		b.stop()
	}
	b.release(http.ErrBodyReadAfterClose)
	return nil
}
