package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// line stands between two processes and does to their connections what
// networks do to them.
type line struct {
	Addr string // where it listens, for good
	to   string

	mu    sync.Mutex
	ln    net.Listener // nil while it refuses
	mode  lineMode
	conns map[*lineConn]struct{}
	wg    sync.WaitGroup
}

type lineMode struct {
	deaf  bool          // what is sent goes nowhere, and nobody says so
	delay time.Duration // of each piece, each way
}

// lineConn is one connection and its other end.
type lineConn struct {
	line     *line
	from, to net.Conn // to is nil when it was deaf from its beginning
	deaf     atomic.Bool
}

// newLine carries connections to an address.
func newLine(to string) (*line, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	l := &line{Addr: addr, to: to, conns: map[*lineConn]struct{}{}}
	return l, l.Heal()
}

// Refuse resets all connections and takes no more.
func (l *line) Refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse()
}

func (l *line) refuse() {
	if l.ln != nil {
		_ = l.ln.Close() // nothing to do about it
		l.ln = nil
	}
	for c := range l.conns {
		c.reset()
	}
}

// Swallow lets all connections stay open and carry nothing, those that are open
// now for ever. New ones are taken, to no end.
func (l *line) Swallow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mode = lineMode{deaf: true}
	for c := range l.conns {
		c.deaf.Store(true)
	}
}

// Slow delays every piece of every connection, each way.
func (l *line) Slow(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mode = lineMode{delay: d}
}

// Heal makes new connections whole again.
func (l *line) Heal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mode = lineMode{}
	if l.ln != nil {
		return nil
	}
	ln, err := net.Listen("tcp", l.Addr)
	if err != nil {
		return fmt.Errorf("listen again: %w", err)
	}
	l.ln = ln
	l.wg.Go(func() { l.accept(ln) })
	return nil
}

// Close ends everything, and waits for it.
func (l *line) Close() {
	l.Refuse()
	l.wg.Wait()
}

func (l *line) accept(ln net.Listener) {
	for {
		from, err := ln.Accept()
		if err != nil {
			return // closed by refuse
		}
		l.wg.Go(func() { l.carry(from) })
	}
}

func (l *line) carry(from net.Conn) {
	c := &lineConn{line: l, from: from}
	l.mu.Lock()
	c.deaf.Store(l.mode.deaf)
	l.mu.Unlock()
	if !c.deaf.Load() {
		to, err := net.DialTimeout("tcp", l.to, 5*time.Second)
		if err != nil {
			c.reset()
			return
		}
		c.to = to
	}
	l.mu.Lock()
	if l.ln == nil { // it was refused meanwhile
		l.mu.Unlock()
		c.reset()
		return
	}
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { c.copy(c.to, c.from) })
	if c.to != nil {
		both.Go(func() { c.copy(c.from, c.to) })
	}
	both.Wait()
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// copy carries one way until either end is closed, and closes both.
func (c *lineConn) copy(to, from net.Conn) {
	defer c.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !c.deaf.Load() {
			c.line.mu.Lock()
			delay := c.line.mode.delay
			c.line.mu.Unlock()
			time.Sleep(delay)
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *lineConn) close() {
	_ = c.from.Close() // may be closed already
	if c.to != nil {
		_ = c.to.Close()
	}
}

// reset closes both ends with RST: what was on its way is lost.
func (c *lineConn) reset() {
	for _, conn := range []net.Conn{c.from, c.to} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // fails on one that is closed
		}
	}
	c.close()
}

// gate is an HTTP proxy in front of ClickHouse that can answer in its place, or
// keep its answer back.
type gate struct {
	Addr string

	server *http.Server
	proxy  *httputil.ReverseProxy
	now    atomic.Pointer[trouble]
	struck atomic.Int64
	done   chan struct{}
}

// trouble is what happens to statements.
type trouble struct {
	inserts bool // only to these
	// An exception in place of the answer.
	code int
	name string
	text string
	// Or the statement is run, and its answer is lost, or late.
	lose  bool
	delay time.Duration
}

// The exceptions that ClickHouse refuses work with that it could do later.
var (
	tooManyParts = trouble{inserts: true, code: 252, name: "TOO_MANY_PARTS",
		text: "Too many parts (3001 with average size of 1.00 KiB) in table 'whatchanged.changes'. Merges are processing significantly slower than inserts"}
	memoryLimit = trouble{code: 241, name: "MEMORY_LIMIT_EXCEEDED",
		text: "(total) memory limit exceeded: would use 14.00 GiB (attempt to allocate chunk of 4.00 MiB), maximum: 13.90 GiB"}
	timeoutExceeded = trouble{code: 159, name: "TIMEOUT_EXCEEDED", text: "Timeout exceeded: elapsed 20.1 seconds, maximum: 20"}
	readonly        = trouble{inserts: true, code: 242, name: "TABLE_IS_READ_ONLY", text: "Table is in readonly mode"}
	readonlyUser    = trouble{inserts: true, code: 164, name: "READONLY", text: "Cannot execute query in readonly mode"}
	lostReply       = trouble{inserts: true, lose: true}
	lateReply       = trouble{delay: 1500 * time.Millisecond}
)

func newGate(to string) (*gate, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	quiet := log.New(io.Discard, "", 0) // what it would say is what it is there for
	g := &gate{Addr: ln.Addr().String(), done: make(chan struct{})}
	g.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: to})
			r.Out.Host = r.In.Host
		},
		ErrorLog: quiet,
		// ClickHouse is away: so are we.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	g.server = &http.Server{Handler: g, ErrorLog: quiet, ReadHeaderTimeout: time.Minute}
	go func() { // ended by Close
		defer close(g.done)
		_ = g.server.Serve(ln) // http.ErrServerClosed
	}()
	return g, nil
}

// Trouble begins; nil ends it.
func (g *gate) Trouble(t *trouble) { g.now.Store(t) }

func (g *gate) Close() {
	_ = g.server.Close() // the listener may be closed already
	<-g.done
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := g.now.Load()
	insert := strings.HasPrefix(r.URL.Query().Get("query"), "INSERT")
	if t == nil || t.inserts && !insert {
		g.proxy.ServeHTTP(w, r)
		return
	}
	g.struck.Add(1)
	switch {
	case t.lose:
		g.proxy.ServeHTTP(&nowhere{header: http.Header{}}, r)
		panic(http.ErrAbortHandler)
	case t.code != 0:
		_, _ = io.Copy(io.Discard, r.Body) // as a server that reads the rows before it looks
		w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(t.code))
		w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "Code: %d. DB::Exception: %s. (%s) (version 26.7.2.1)\n", t.code, t.text, t.name)
	default:
		select {
		case <-time.After(t.delay):
		case <-r.Context().Done():
			return
		}
		g.proxy.ServeHTTP(w, r)
	}
}

// nowhere is where answers get lost.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nowhere) WriteHeader(int)             {}
