package httpserver_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"whatchanged/pkg/httpserver"
)

// h2 is an HTTP/2 connection on which a test sends the frames it likes.
type h2 struct {
	t      *testing.T
	conn   *tls.Conn
	framer *http2.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
}

// server2 serves HTTP/2 and counts the requests that are in hand.
func server2(t *testing.T, inHand, most *atomic.Int64) string {
	t.Helper()
	cfg := httpserver.DefaultConfig()
	cfg.CertFile, cfg.KeyFile = certificate(t)
	addr, _ := serve(t, cfg, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := inHand.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer inHand.Add(-1)
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/large" {
			_, _ = w.Write(make([]byte, 1<<20))
			return
		}
		fmt.Fprint(w, "hello")
	}), quiet, nil)
	return addr
}

func dial2(t *testing.T, addr string, settings ...http2.Setting) *h2 {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c := &h2{t: t, conn: conn, framer: http2.NewFramer(conn, conn)}
	c.framer.AllowIllegalWrites = true
	c.enc = hpack.NewEncoder(&c.block)
	if err := c.framer.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return c
}

// headers encodes name-value pairs.
func (c *h2) headers(pairs ...string) []byte {
	c.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = c.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return bytes.Clone(c.block.Bytes())
}

func (c *h2) get(path string, more ...string) []byte {
	return c.headers(append([]string{":method", "GET", ":scheme", "https", ":authority", "x", ":path", path}, more...)...)
}

func (c *h2) request(stream uint32, block []byte, end bool) error {
	return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: true, EndStream: end})
}

// ending is how a connection or a stream came to its end.
type ending struct {
	goaway http2.ErrCode
	reset  http2.ErrCode
	status string
	closed bool
}

// anyStream stands for whichever is reset first.
const anyStream = 1<<32 - 1

// read reads frames until one ends the connection, or the stream when it is not 0.
func (c *h2) read(stream uint32) (e ending) {
	dec := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == ":status" {
			e.status = f.Value
		}
	})
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			e.closed = true
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.t.Error("the connection is still open")
			}
			return e
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			e.goaway = f.ErrCode
		case *http2.RSTStreamFrame:
			if f.StreamID == stream || stream == anyStream {
				e.reset = f.ErrCode
				return e
			}
		case *http2.HeadersFrame:
			_, _ = dec.Write(f.HeaderBlockFragment())
			if f.StreamID == stream && f.StreamEnded() {
				return e
			}
		case *http2.DataFrame:
			if f.StreamID == stream && f.StreamEnded() {
				return e
			}
		}
	}
}

// served fails the test unless another client is.
func served2(t *testing.T, addr string) {
	t.Helper()
	c := dial2(t, addr)
	if err := c.request(1, c.get("/"), true); err != nil {
		t.Fatal(err)
	}
	if got := c.read(1); got.status != "200" {
		t.Errorf("another client: %+v", got)
	}
}

// A39: what attacks HTTP/2 ends its own connection, in bounded memory and with
// few requests in hand, and others are served.
func TestHTTP2_AFloodEndsItsConnection(t *testing.T) {
	var inHand, most atomic.Int64
	addr := server2(t, &inHand, &most)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, attack := range map[string]func(c *h2) error{
		"rapid reset": func(c *h2) error {
			for i := range uint32(100_000) {
				if err := c.request(2*i+1, c.get("/slow"), true); err != nil {
					return err
				}
				if err := c.framer.WriteRSTStream(2*i+1, http2.ErrCodeCancel); err != nil {
					return err
				}
			}
			return c.conn.Close() // a server that keeps pace has no reason to end it: what counts is how many are in hand
		},
		"continuation": func(c *h2) error {
			err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.get("/"), EndStream: true})
			for i := 0; err == nil && i < 100_000; i++ {
				err = c.framer.WriteContinuation(1, false, c.headers(fmt.Sprintf("x-%d", i), strings.Repeat("a", 1000)))
			}
			return err
		},
		"empty continuation": func(c *h2) error {
			err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.get("/"), EndStream: true})
			for i := 0; err == nil && i < 1_000_000; i++ {
				err = c.framer.WriteContinuation(1, false, nil)
			}
			return errors.Join(err, c.conn.Close()) // a header block that never ends is left at the timeout
		},
		"ping": func(c *h2) (err error) {
			for i := 0; err == nil && i < 1_000_000; i++ { // and its answers are never read
				err = c.framer.WritePing(false, [8]byte{})
			}
			return err
		},
		"settings": func(c *h2) (err error) {
			for i := 0; err == nil && i < 1_000_000; i++ {
				err = c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535})
			}
			return errors.Join(err, c.conn.Close()) // each is answered before the next is read
		},
		"hpack bomb": func(c *h2) error {
			// One large field in the table, then named by a byte each, 16,000 times.
			block := c.get("/", "x-bomb", strings.Repeat("a", 3900))
			block = append(block, bytes.Repeat([]byte{0x80 | 62}, 16_000)...)
			if err := c.request(1, block, true); err != nil {
				return err
			}
			if got := c.read(1); got.status == "200" {
				return errors.New("was served")
			}
			return c.conn.Close()
		},
		"table size": func(c *h2) error {
			if err := c.request(1, append([]byte{0x3f, 0xff, 0xff, 0xff, 0xff, 0x0f}, c.get("/")...), true); err != nil {
				return err
			}
			return nil
		},
		"a priority of itself": func(c *h2) error {
			return errors.Join(c.framer.WritePriority(1, http2.PriorityParam{StreamDep: 1}), c.conn.Close()) // means nothing, and harms nobody
		},
		"priorities in a circle": func(c *h2) (err error) {
			for i := uint32(0); err == nil && i < 100_000; i++ {
				err = c.framer.WritePriority(2*i+1, http2.PriorityParam{StreamDep: 2*((i+1)%100_000) + 1})
			}
			return errors.Join(err, c.conn.Close())
		},
		"empty data": func(c *h2) error {
			if err := c.request(1, c.headers(":method", "POST", ":scheme", "https", ":authority", "x", ":path", "/"), false); err != nil {
				return err
			}
			for range 200_000 {
				if err := c.framer.WriteData(1, false, nil); err != nil {
					return err
				}
			}
			return c.conn.Close()
		},
		"window beyond its end": func(c *h2) error {
			return errors.Join(c.framer.WriteWindowUpdate(0, 1<<31-1), c.framer.WriteWindowUpdate(0, 1<<31-1))
		},
		"a frame over the limit": func(c *h2) error {
			return c.framer.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 1<<24-1))
		},
		"data without a stream": func(c *h2) error { return c.framer.WriteData(0, true, []byte("x")) },
		"a push":                func(c *h2) error { return c.framer.WriteRawFrame(http2.FramePushPromise, 4, 1, []byte{0, 0, 0, 2}) },
	} {
		t.Run(name, func(t *testing.T) {
			c := dial2(t, addr)
			_ = c.conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
			err := attack(c)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return // no more of it is read: the write timeout closes
			}
			if got := c.read(0); !got.closed {
				t.Errorf("%+v", got)
			}
			served2(t, addr)
		})
	}
	deadline := time.Now().Add(20 * time.Second)
	for inHand.Load() > 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if n := inHand.Load(); n != 0 || most.Load() > 150 {
		t.Errorf("%d requests are still in hand, and there were %d at one time", n, most.Load())
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 64<<20 {
		t.Errorf("%d bytes more are in use", grown)
	}
}

// A39: more streams than are allowed are refused; those within go on.
func TestHTTP2_CapsItsStreams(t *testing.T) {
	var inHand, most atomic.Int64
	addr := server2(t, &inHand, &most)
	c := dial2(t, addr)
	for i := range uint32(1000) {
		if err := c.request(2*i+1, c.get("/slow"), true); err != nil {
			break // the server has had enough
		}
	}
	got := c.read(anyStream)
	if got.reset != http2.ErrCodeRefusedStream && got.goaway == 0 || most.Load() > int64(httpserver.DefaultConfig().MaxStreams) {
		t.Errorf("%+v, and %d in hand", got, most.Load())
	}
	served2(t, addr)
}

// A38, A39: who gives no window for the answer is left at the write timeout.
func TestHTTP2_AClientThatNeverReadsIsLeft(t *testing.T) {
	cfg := httpserver.DefaultConfig()
	cfg.CertFile, cfg.KeyFile = certificate(t)
	cfg.ReadHeaderTimeout, cfg.ReadTimeout, cfg.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond, 400*time.Millisecond
	ended := make(chan error, 1)
	addr, _ := serve(t, cfg, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, 1<<20))
		ended <- err
	}), quiet, nil)
	c := dial2(t, addr, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	if err := c.request(1, c.get("/"), true); err != nil {
		t.Fatal(err)
	}
	if got := c.read(1); got.reset == 0 && !got.closed {
		t.Errorf("%+v", got)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("all was written")
		}
	case <-time.After(20 * time.Second):
		t.Error("the handler still waits")
	}
}

// A40: what a request of HTTP/2 may not have, it is not served with.
func TestHTTP2_OddHeaders(t *testing.T) {
	var inHand, most atomic.Int64
	addr := server2(t, &inHand, &most)
	for name, pairs := range map[string][]string{
		"two paths":             {":path", "/a", ":path", "/b"},
		"two methods":           {":path", "/", ":method", "POST"},
		"no path":               {},
		"an empty path":         {":path", ""},
		"a path without slash":  {":path", "x"},
		"an unknown pseudo":     {":path", "/", ":x", "y"},
		"a pseudo after others": {"a", "b", ":path", "/"},
		"line end in a value":   {":path", "/", "x-a", "b\r\nX-C: d"},
		"nul in a value":        {":path", "/", "x-a", "b\x00c"},
		"upper case":            {":path", "/", "X-Upper", "a"},
		"a space in a name":     {":path", "/", "x a", "b"},
		"connection":            {":path", "/", "connection", "close"},
		"transfer-encoding":     {":path", "/", "transfer-encoding", "chunked"},
		"upgrade":               {":path", "/", "upgrade", "h2c"},
		"te other than trailer": {":path", "/", "te", "gzip"},
		"line end in the path":  {":path", "/ HTTP/1.1\r\nX: y"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial2(t, addr)
			block := c.headers(append([]string{":method", "GET", ":scheme", "https", ":authority", "x"}, pairs...)...)
			if err := c.request(1, block, true); err != nil {
				t.Fatal(err)
			}
			got := c.read(1)
			if got.status != "400" && got.reset == 0 && got.goaway == 0 && !got.closed {
				t.Errorf("%+v", got)
			}
		})
	}
	t.Run("a body shorter than its length", func(t *testing.T) {
		c := dial2(t, addr)
		block := c.headers(":method", "POST", ":scheme", "https", ":authority", "x", ":path", "/", "content-length", "100")
		_ = c.request(1, block, false)
		_ = c.framer.WriteData(1, true, []byte("short"))
		if got := c.read(1); got.reset == 0 && got.goaway == 0 && got.status == "" {
			t.Errorf("%+v", got)
		}
	})
	served2(t, addr)
}

// A8: clear text speaks HTTP/1 only, whatever a client begins with.
func TestHTTP2_IsNotSpokenInClearText(t *testing.T) {
	addr, _ := serve(t, httpserver.DefaultConfig(), http.NotFoundHandler(), quiet, nil)
	conn := dial(t, addr)
	framer := http2.NewFramer(conn, conn)
	fmt.Fprint(conn, http2.ClientPreface)
	_ = framer.WriteSettings()
	all, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(all, []byte("HTTP/1.1 4")) {
		t.Errorf("answer %q", all)
	}
}
