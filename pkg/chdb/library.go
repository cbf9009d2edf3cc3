package chdb

import (
	"runtime"
	"unsafe"
)

// library holds libchdb's functions. Handles are C pointers, which the garbage
// collector does not follow; strings and arrays are passed as pointer and
// length and are only read during the call.
type library struct {
	setSignalHandlersEnabled func(enabled int32)
	connect                  func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeConn                func(conn unsafe.Pointer)

	query        queryFunc
	streamQuery  queryFunc
	streamFetch  func(conn, stream unsafe.Pointer) unsafe.Pointer
	streamCancel func(conn, stream unsafe.Pointer)

	streamInsert  queryFunc
	insertAppend  func(stream, data unsafe.Pointer, length uintptr) int32
	insertDone    func(stream unsafe.Pointer) unsafe.Pointer
	insertCancel  func(stream unsafe.Pointer)
	insertError   func(stream unsafe.Pointer) string
	insertDestroy func(stream unsafe.Pointer)

	classify func(conn, query unsafe.Pointer, queryLen uintptr, database unsafe.Pointer, databaseLen uintptr, analysis unsafe.Pointer) int32

	resultBuffer      func(result unsafe.Pointer) unsafe.Pointer
	resultLength      func(result unsafe.Pointer) uintptr
	resultError       func(result unsafe.Pointer) string
	resultRowsRead    func(result unsafe.Pointer) uint64
	resultRowsWritten func(result unsafe.Pointer) uint64
	resultDestroy     func(result unsafe.Pointer)
}

// queryFunc starts a statement: text and format as pointer and length, then
// four parallel arrays of parameters.
type queryFunc func(conn, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr,
	names, nameLens, values, valueLens unsafe.Pointer, count uintptr) unsafe.Pointer

// call runs one of the functions that start a statement and keeps what it
// points to reachable until it returns.
func (f queryFunc) call(conn unsafe.Pointer, sql, format string, params []param) unsafe.Pointer {
	q, qn := text(sql)
	o, on := text(format)
	if len(params) == 0 {
		return f(conn, q, qn, o, on, nil, nil, nil, nil, 0)
	}
	names, values := make([]unsafe.Pointer, len(params)), make([]unsafe.Pointer, len(params))
	nameLens, valueLens := make([]uintptr, len(params)), make([]uintptr, len(params))
	for i, p := range params {
		names[i], nameLens[i] = text(p.name)
		values[i], valueLens[i] = text(p.value)
	}
	r := f(conn, q, qn, o, on,
		unsafe.Pointer(unsafe.SliceData(names)), unsafe.Pointer(unsafe.SliceData(nameLens)),
		unsafe.Pointer(unsafe.SliceData(values)), unsafe.Pointer(unsafe.SliceData(valueLens)), uintptr(len(params)))
	runtime.KeepAlive(names)
	runtime.KeepAlive(values)
	runtime.KeepAlive(params)
	return r
}

// param is a query parameter, {name:Type} in the text. The value is text as in
// a TSV field, escaped by whoever made it.
type param struct{ name, value string }

// text is a string as the C functions take it: never nil, so that an empty
// string is a pointer to something.
func text(s string) (unsafe.Pointer, uintptr) {
	if s == "" {
		return unsafe.Pointer(unsafe.StringData("\x00")), 0
	}
	return unsafe.Pointer(unsafe.StringData(s)), uintptr(len(s))
}

// bytesOf copies n bytes out of the engine's memory.
func bytesOf(p unsafe.Pointer, n uintptr) []byte {
	if p == nil || n == 0 {
		return nil
	}
	return append([]byte(nil), unsafe.Slice((*byte)(p), n)...)
}
