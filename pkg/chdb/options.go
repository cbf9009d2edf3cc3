package chdb

import (
	"net/http"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Options returns clickhouse-go options for the engine in this process.
// Nothing is compressed, since nothing travels, and inserts are answered when
// they are written. The client gets twice the engine's connections, so that
// one client's queue is the engine's and the others get their turn.
func Options(e *Engine, database string) *clickhouse.Options {
	n := 2 * len(e.pool.conns)
	return &clickhouse.Options{
		Protocol:      clickhouse.HTTP,
		Addr:          []string{"embedded:0"},
		Auth:          clickhouse.Auth{Database: database},
		TransportFunc: func(*http.Transport) (http.RoundTripper, error) { return e.Transport(), nil },
		Compression:   &clickhouse.Compression{Method: clickhouse.CompressionNone},
		Settings:      clickhouse.Settings{"async_insert": 0},
		MaxOpenConns:  n,
		MaxIdleConns:  n,
		// There is nothing to reconnect to; a client waits for a
		// connection of the engine as long as its context allows.
		ConnMaxLifetime: 24 * time.Hour,
		DialTimeout:     time.Minute,
	}
}
