// Package httpserver is net/http with the limits and timeouts that a server on
// the open internet needs: nobody holds a connection or a goroutine for longer
// than the work takes. It knows nothing of what is served.
package httpserver

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// Config has the server's address and limits.
type Config struct {
	// Listen is the host and port to listen on; port 0 picks a free one.
	Listen string
	// CertFile is a certificate (PEM, with its chain); it turns on TLS (1.2 or
	// later) and with it HTTP/2.
	CertFile string
	// KeyFile is the key of CertFile.
	KeyFile string
	// ReadHeaderTimeout is how long a request's headers may take.
	ReadHeaderTimeout time.Duration
	// ReadTimeout is how long a whole request may take to arrive.
	ReadTimeout time.Duration
	// WriteTimeout is how long answering may take, from the end of the headers.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds a request's line and headers, in bytes.
	MaxHeaderBytes int
	// MaxConnections bounds the open connections in total.
	MaxConnections int
	// MaxConnectionsPerAddress bounds the open connections of one address (an
	// IPv6 /64 counts as one). Raise it where a proxy stands in front.
	MaxConnectionsPerAddress int
	// MaxStreams bounds the requests at one time on an HTTP/2 connection.
	MaxStreams int
	// Grace is how long requests may go on once the server is told to stop.
	Grace time.Duration
}

// DefaultConfig returns limits that suit one machine without a proxy.
func DefaultConfig() Config {
	return Config{
		Listen:                   "127.0.0.1:8080",
		ReadHeaderTimeout:        5 * time.Second,
		ReadTimeout:              15 * time.Second,
		WriteTimeout:             20 * time.Second,
		IdleTimeout:              75 * time.Second,
		MaxHeaderBytes:           16 << 10,
		MaxConnections:           16_384,
		MaxConnectionsPerAddress: 2_048,
		MaxStreams:               100,
		Grace:                    5 * time.Second,
	}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		faults = append(faults, fmt.Errorf("listen: want host:port: %w", err))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		faults = append(faults, errors.New("cert_file and key_file: both or neither"))
	}
	for name, d := range map[string]time.Duration{
		"read_header_timeout": c.ReadHeaderTimeout, "read_timeout": c.ReadTimeout,
		"write_timeout": c.WriteTimeout, "idle_timeout": c.IdleTimeout, "grace": c.Grace,
	} {
		if d <= 0 {
			faults = append(faults, fmt.Errorf("%s: must be more than 0", name))
		}
	}
	if c.WriteTimeout <= c.ReadTimeout {
		faults = append(faults, errors.New("write_timeout: must be longer than read_timeout, or a slow request gets no answer"))
	}
	for name, n := range map[string]int{
		"max_header_bytes": c.MaxHeaderBytes, "max_connections": c.MaxConnections,
		"max_connections_per_address": c.MaxConnectionsPerAddress, "max_streams": c.MaxStreams,
	} {
		if n <= 0 {
			faults = append(faults, fmt.Errorf("%s: must be more than 0", name))
		}
	}
	return errors.Join(faults...)
}
