package store

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/problem"
)

func TestQueryError_SaysWhatTheCallerCanDo(t *testing.T) {
	f := func(err error, kind problem.Kind, reason string) {
		t.Helper()
		p := problem.From(queryError(t.Context(), err))
		if p.Kind != kind || p.Reason != reason {
			t.Errorf("%v: kind %v, reason %s; want %v, %s", err, p.Kind, p.Reason, kind, reason)
		}
	}
	exception := func(code int32, message string) error { return &clickhouse.Exception{Code: code, Message: message} }
	f(exception(159, "Timeout exceeded"), problem.Busy, "query_timeout")
	f(exception(241, "Query memory limit exceeded: would use 2 GiB"), problem.Malformed, "query_too_large")
	f(exception(241, "(total) memory limit exceeded"), problem.Busy, "store_busy")
	f(exception(158, "Limit for rows to read exceeded"), problem.Malformed, "query_too_large")
	f(exception(62, "Syntax error: SELECT secret"), problem.Internal, "internal")
	f(io.ErrUnexpectedEOF, problem.Busy, "store_unavailable")

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := queryError(gone, context.Canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that has gone: %v", err)
	}
}

func TestRows_HaveOneColumnAField(t *testing.T) {
	f := func(names []string) {
		t.Helper()
		seen := map[string]bool{}
		for _, name := range names {
			if name == "" || seen[name] {
				t.Errorf("column %q is missing or twice in %v", name, names)
			}
			seen[name] = true
		}
	}
	f(columns[changeRow]())
	f(columns[deliveryRow]())
	f(columns[payloadRow]())
}
