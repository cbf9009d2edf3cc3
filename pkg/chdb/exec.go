package chdb

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unsafe"
)

const (
	// prefetch is how much of an answer is fetched before it begins: errors
	// until then have a status of their own, and an answer that is smaller
	// keeps no connection while its reader takes its time.
	prefetch = 1 << 20
	// appendSize is the size of the pieces an INSERT's data is handed over in.
	appendSize = 256 << 10
	// killPause is how long to wait before cancelling again: a statement
	// that has only just begun is not found the first time.
	killPause = 100 * time.Millisecond
)

// statement is a request on its connection: its output is read piece by piece.
type statement struct {
	engine *Engine
	conn   *conn
	end    func() // ends the watch over the context

	stream unsafe.Pointer // nil: the whole output is in rest
	head   head           // of the format, in every piece of a stream
	begun  bool           // the first piece is out
	rest   []byte
	stats  stats
	tables []string // temporary tables to drop
}

// start runs a request to where its output can be read. The statement must be
// finished, also after an error of next.
func (e *Engine) start(ctx context.Context, q *request) (*statement, error) {
	if q.insert != nil {
		// A client may be slow to send; small data is taken before a
		// connection is.
		var err error
		if q.data, err = readAhead(q.data); err != nil {
			return nil, err
		}
	}
	c, err := e.pool.get(ctx)
	if err != nil {
		return nil, err
	}
	s := &statement{engine: e, conn: c, end: func() {}}
	if err := s.run(ctx, q); err != nil {
		s.finish()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w (%w)", ctx.Err(), err)
		}
		return nil, err
	}
	return s, nil
}

// readAhead reads the first piece of data.
func readAhead(r io.Reader) (io.Reader, error) {
	piece, err := readUpTo(r, prefetch)
	if err != nil {
		return nil, err
	}
	if len(piece) < prefetch {
		return bytes.NewReader(piece), nil
	}
	return io.MultiReader(bytes.NewReader(piece), r), nil
}

func (s *statement) run(ctx context.Context, q *request) error {
	if err := s.conn.prepare(q.database, q.settings); err != nil {
		return err
	}
	s.end = s.engine.watch(ctx, s.conn)
	for _, t := range q.tables {
		if err := s.createTable(t); err != nil {
			return fmt.Errorf("external table %s: %w", t.name, err)
		}
	}
	if q.insert != nil {
		if q.readonly {
			return errReadonly
		}
		return s.insert(q)
	}
	kind := s.conn.classify(q.sql)
	switch {
	case kind.statements > 1:
		return newException(codeSyntaxError, "SYNTAX_ERROR", "Multi-statements are not allowed")
	case q.readonly && kind.kind != classReadOnly && kind.statements > 0: // with none the engine's parser refuses it
		return errReadonly
	case kind.kind == classControl:
		s.conn.unknown = true // SET and USE, which must not outlive the request
	}
	if canStream(q.sql) {
		opened, err := s.open(q)
		if opened || err != nil {
			return err
		}
	}
	var err error
	if s.rest, s.stats, err = s.conn.query(q.sql, q.format, q.params); err != nil {
		return err
	}
	if kind.kind == classReadOnly {
		return nil
	}
	if isDefinition(q.sql) {
		s.engine.yield() // the first table brings the threads that merge
		return s.engine.syncDirs()
	}
	if into, _, table := insertTarget(q.sql); into != nil { // INSERT ... SELECT
		return s.engine.inserted(q.database, table)
	}
	return nil
}

var errReadonly = newException(codeReadonly, "READONLY", "Cannot execute query in readonly mode: GET requests only read")

// open starts a streamed query. It says false when the engine cannot stream
// this one, or the format has a head or a foot and so cannot be cut in pieces.
func (s *statement) open(q *request) (bool, error) {
	f, ok := streamable[strings.ToLower(q.format)]
	if !ok {
		return false, nil
	}
	s.head = f
	c := s.conn
	stream := c.lib.streamQuery.call(c.raw(), q.sql, q.format, q.params)
	if stream == nil {
		return false, &Exception{Message: "the engine gave no result"}
	}
	if msg := c.lib.resultError(stream); msg != "" {
		c.lib.resultDestroy(stream)
		if strings.HasPrefix(msg, "Code: 36. DB::Exception: Streaming query is not supported") {
			return false, nil
		}
		return false, parseException(msg)
	}
	s.stream = stream
	return true, nil
}

// next returns the next piece of output, io.EOF after the last.
func (s *statement) next() ([]byte, error) {
	if s.stream == nil {
		if len(s.rest) == 0 {
			return nil, io.EOF
		}
		piece := s.rest
		s.rest = nil
		return piece, nil
	}
	piece, st, err := s.conn.take(s.conn.lib.streamFetch(s.conn.raw(), s.stream))
	if err != nil {
		return nil, err
	}
	s.stats.rowsRead += st.rowsRead
	if len(piece) == 0 {
		return nil, io.EOF
	}
	if s.begun {
		piece = s.head.cut(piece)
	}
	s.begun = true
	return piece, nil
}

// finish ends the statement, wherever it is, and gives the connection back.
func (s *statement) finish() {
	c := s.conn
	if s.stream != nil {
		c.lib.streamCancel(c.raw(), s.stream)
		c.lib.resultDestroy(s.stream)
		s.stream = nil
	}
	s.end()
	_ = c.clean() // what ended the statement may have ended its cleaning too
	for _, name := range s.tables {
		if _, _, err := c.query("DROP TEMPORARY TABLE IF EXISTS "+identifier(name), "Null", nil); err != nil {
			s.engine.log.Warn("temporary table stays", "error", err)
		}
	}
	s.engine.pool.put(c)
}

// insert streams a request's data into the engine.
func (s *statement) insert(q *request) error {
	var err error
	if s.stats, err = s.conn.insert(q.sql, q.insert.format, q.params, q.data); err != nil {
		return err
	}
	return s.engine.inserted(q.database, q.insert.table)
}

// createTable makes an external table: a temporary one, for this request.
func (s *statement) createTable(t table) error {
	name := identifier(t.name)
	if _, _, err := s.conn.query("CREATE TEMPORARY TABLE "+name+" ("+t.structure+") ENGINE = Memory", "Null", nil); err != nil {
		return err
	}
	s.tables = append(s.tables, t.name)
	_, err := s.conn.insert("INSERT INTO "+name, t.format, nil, bytes.NewReader(t.data))
	return err
}

// insert streams data into the engine. An error before the end of the data
// commits none of it that is not already written: the engine writes a block
// when it has a million rows or 256 MiB.
func (c *conn) insert(sql, format string, params []param, data io.Reader) (stats, error) {
	st, err := c.stream(sql, format, params, data)
	if err != nil {
		c.tidy()
	}
	return st, err
}

func (c *conn) stream(sql, format string, params []param, data io.Reader) (stats, error) {
	stream := c.lib.streamInsert.call(c.raw(), sql, format, params)
	if stream == nil {
		return stats{}, &Exception{Message: "the engine gave no result"}
	}
	defer c.lib.insertDestroy(stream)
	if msg := c.lib.insertError(stream); msg != "" {
		return stats{}, parseException(msg)
	}
	piece := make([]byte, appendSize)
	for {
		n, err := data.Read(piece)
		if n > 0 && c.lib.insertAppend(stream, unsafe.Pointer(unsafe.SliceData(piece)), uintptr(n)) != 0 {
			break // the reason comes from insertDone or insertError
		}
		if err == io.EOF { //nolint:errorlint // a wrapped EOF is a body cut short
			break
		}
		if err != nil {
			c.lib.insertCancel(stream)
			return stats{}, bodyError(err)
		}
	}
	if msg := c.lib.insertError(stream); msg != "" {
		return stats{}, parseException(msg)
	}
	_, st, err := c.take(c.lib.insertDone(stream))
	return st, err
}

// watch cancels what runs on a connection when the context ends. The returned
// function ends the watch and waits for it.
func (e *Engine) watch(ctx context.Context, c *conn) func() {
	done, left := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(left)
		for {
			e.control.kill(c)
			select {
			case <-done:
				return
			case <-time.After(killPause):
			}
		}
	})
	var once sync.Once
	return func() {
		once.Do(func() {
			close(done)
			if !stop() {
				<-left
			}
		})
	}
}
