package chdb

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"
)

// conn is one connection to the engine. It runs one statement at a time and
// keeps settings and the current database from one statement to the next, so
// it remembers what it has and changes what differs.
type conn struct {
	lib    *library
	handle unsafe.Pointer // chdb_connection *, nil when closed
	number int

	database string
	settings map[string]string // set by us, beyond what Open gave it
	base     []string          // names of settings that differ from the engine's defaults at the start
	unknown  bool              // a statement may have changed settings or database
	leftover bool              // a failed statement may have left something

	comment atomic.Pointer[string] // the log_comment of what runs: how it is found and cancelled, since query_id cannot be set
}

// openConn opens a connection.
func openConn(lib *library, args []string, number int) (*conn, error) {
	argv := make([]unsafe.Pointer, len(args))
	for i, a := range args {
		argv[i], _ = text(a + "\x00")
	}
	handle := lib.connect(int32(len(args)), unsafe.Pointer(unsafe.SliceData(argv)))
	if handle == nil || *(*unsafe.Pointer)(handle) == nil {
		return nil, errors.New("the engine refused to start: the data directory may be of a newer version, damaged or not writable (its log is on standard error)")
	}
	c := &conn{lib: lib, handle: handle, number: number, database: "default", settings: map[string]string{}}
	changed, err := c.text("SELECT name FROM system.settings WHERE changed")
	if err != nil {
		c.close()
		return nil, fmt.Errorf("read settings of a connection: %w", err)
	}
	c.base = strings.Fields(changed)
	return c, nil
}

func (c *conn) close() {
	if c.handle != nil {
		c.lib.closeConn(c.handle)
		c.handle = nil
	}
}

// raw is the chdb_connection that C functions take.
func (c *conn) raw() unsafe.Pointer { return *(*unsafe.Pointer)(c.handle) }

// stats is what the engine tells about a finished statement.
type stats struct {
	rowsRead, rowsWritten uint64
}

// query runs a statement and returns its whole output.
func (c *conn) query(sql, format string, params []param) ([]byte, stats, error) {
	out, st, err := c.run(sql, format, params)
	if err != nil {
		c.tidy()
	}
	return out, st, err
}

// tidy cleans the connection after a statement that failed.
func (c *conn) tidy() {
	c.leftover = true
	_ = c.clean() // else tried again before the next statement
}

// run runs a statement. All statements of a connection have the same query_id,
// and the engine still lists some, such as BACKUP, for a moment after they have
// answered: one that is refused for that was not begun, and is run again.
func (c *conn) run(sql, format string, params []param) (out []byte, st stats, err error) {
	for range sameIDTries {
		out, st, err = c.take(c.lib.query.call(c.raw(), sql, format, params))
		if e := (*Exception)(nil); !errors.As(err, &e) || e.Code != codeSameQueryID {
			break
		}
		time.Sleep(sameIDPause)
	}
	return out, st, err
}

const (
	sameIDTries = 500
	sameIDPause = 10 * time.Millisecond
)

// clean takes what a failed statement left out of the engine: output, which
// would come with the next answer, somebody else's; and a cancelled INSERT
// itself, which the engine lists as running, its table held, until the
// connection's next statement (a DROP TABLE ... SYNC would wait for it).
func (c *conn) clean() error {
	if !c.leftover {
		return nil
	}
	var err error
	// Whoever cancels the statement that failed may hit this one too.
	for range 3 {
		if _, _, err = c.run("SELECT 1", "Null", nil); err == nil {
			c.leftover = false
			return nil
		}
	}
	return fmt.Errorf("clean a connection: %w", err)
}

// text runs a statement of ours and returns its output less the line's end.
func (c *conn) text(sql string) (string, error) {
	out, _, err := c.query(sql, "TSVRaw", nil)
	return strings.TrimSuffix(string(out), "\n"), err
}

// take copies a result out of the engine and frees it.
func (c *conn) take(r unsafe.Pointer) ([]byte, stats, error) {
	if r == nil {
		return nil, stats{}, &Exception{Message: "the engine gave no result"}
	}
	defer c.lib.resultDestroy(r)
	if msg := c.lib.resultError(r); msg != "" {
		return nil, stats{}, parseException(msg)
	}
	return bytesOf(c.lib.resultBuffer(r), c.lib.resultLength(r)),
		stats{rowsRead: c.lib.resultRowsRead(r), rowsWritten: c.lib.resultRowsWritten(r)}, nil
}

const logComment = "log_comment"

// prepare gives the connection the settings and the database of a request.
func (c *conn) prepare(database string, settings map[string]string) error {
	if err := c.clean(); err != nil {
		return err
	}
	if c.unknown {
		if err := c.reset(); err != nil {
			return err
		}
	}
	want := maps.Clone(settings)
	if want == nil {
		want = map[string]string{}
	}
	comment := "whatchanged/" + strconv.Itoa(c.number)
	if own := settings[logComment]; own != "" {
		comment += " " + own
	}
	want[logComment] = comment
	c.comment.Store(&comment)

	var sets []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if have, ok := c.settings[name]; !ok || have != want[name] {
			sets = append(sets, name+" = "+quote(want[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.settings)) {
		if _, ok := want[name]; !ok {
			sets = append(sets, name+" = DEFAULT")
		}
	}
	if len(sets) > 0 {
		c.unknown = true // until all are in force: the engine may stop half way
		if _, _, err := c.query("SET "+strings.Join(sets, ", "), "Null", nil); err != nil {
			return err
		}
		c.unknown = false
		c.settings = want
	}
	if database == "" {
		database = "default"
	}
	if database != c.database {
		if _, _, err := c.query("USE "+identifier(database), "Null", nil); err != nil {
			return err
		}
		c.database = database
	}
	return nil
}

// reset takes back whatever statements changed on this connection.
func (c *conn) reset() error {
	changed, err := c.text("SELECT name FROM system.settings WHERE changed")
	if err != nil {
		return fmt.Errorf("reset a connection: %w", err)
	}
	var sets []string
	for name := range strings.FieldsSeq(changed) {
		if !slices.Contains(c.base, name) {
			sets = append(sets, name+" = DEFAULT")
		}
	}
	if len(sets) > 0 {
		if _, _, err := c.query("SET "+strings.Join(sets, ", "), "Null", nil); err != nil {
			return fmt.Errorf("reset a connection: %w", err)
		}
	}
	if _, _, err := c.query("USE default", "Null", nil); err != nil {
		return fmt.Errorf("reset a connection: %w", err)
	}
	c.settings, c.database, c.unknown = map[string]string{}, "default", false
	return nil
}

// class is what the engine's parser says about a statement.
type class struct {
	kind       uint32
	statements uint32
}

const (
	classReadOnly = 0
	classControl  = 3
	classUnknown  = 4
)

func (c *conn) classify(sql string) class {
	var analysis struct{ size, statements, flags, kind uint32 }
	analysis.size = uint32(unsafe.Sizeof(analysis))
	p, n := text(sql)
	if c.lib.classify(c.raw(), p, n, nil, 0, unsafe.Pointer(&analysis)) != 0 {
		return class{kind: classUnknown}
	}
	return class{kind: analysis.kind, statements: analysis.statements}
}
