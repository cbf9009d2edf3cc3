//go:build (linux || darwin) && !nochdb

package chdb

import (
	"fmt"
	"sync"

	"github.com/ebitengine/purego"
)

// embedded says whether this binary can load the engine.
const embedded = true

// loaded is the library of this process: it cannot be unloaded, and loading it
// a second time from another path would give two engines sharing signals,
// allocator and data directory. This is a property of the process, so it is
// the package's only state.
var loaded struct {
	sync.Mutex
	path string
	lib  *library
}

// load loads the library, or returns the one that is loaded.
func load(path string) (*library, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.lib != nil {
		if loaded.path != path {
			return nil, fmt.Errorf("load %s: this process has already loaded %s", path, loaded.path)
		}
		return loaded.lib, nil
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	lib := &library{}
	for _, f := range []struct {
		fn   any
		name string
	}{
		{&lib.setSignalHandlersEnabled, "chdb_set_signal_handlers_enabled"},
		{&lib.connect, "chdb_connect"},
		{&lib.closeConn, "chdb_close_conn"},
		{&lib.query, "chdb_query_with_params_n"},
		{&lib.streamQuery, "chdb_stream_query_with_params_n"},
		{&lib.streamFetch, "chdb_stream_fetch_result"},
		{&lib.streamCancel, "chdb_stream_cancel_query"},
		{&lib.streamInsert, "chdb_stream_insert_with_params_n"},
		{&lib.insertAppend, "chdb_stream_append"},
		{&lib.insertDone, "chdb_stream_done"},
		{&lib.insertCancel, "chdb_stream_cancel_insert"},
		{&lib.insertError, "chdb_stream_insert_error"},
		{&lib.insertDestroy, "chdb_destroy_insert_stream"},
		{&lib.classify, "chdb_classify_query_n"},
		{&lib.resultBuffer, "chdb_result_buffer"},
		{&lib.resultLength, "chdb_result_length"},
		{&lib.resultError, "chdb_result_error"},
		{&lib.resultRowsRead, "chdb_result_rows_read"},
		{&lib.resultRowsWritten, "chdb_result_rows_written"},
		{&lib.resultDestroy, "chdb_destroy_query_result"},
	} {
		symbol, err := purego.Dlsym(handle, f.name)
		if err != nil {
			return nil, fmt.Errorf("load %s: %w (is it of the pinned version?)", path, err)
		}
		purego.RegisterFunc(f.fn, symbol)
	}
	loaded.path, loaded.lib = path, lib
	return lib, nil
}
