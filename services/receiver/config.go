package receiver

import (
	"errors"
	"fmt"

	"whatchanged/pkg/httpserver"
)

// Config has the limits of what the receiver takes.
type Config struct {
	// MaxBody is the largest body in bytes, also once decompressed. It must
	// fit into a record of the bus.
	MaxBody int
	// MaxKeptHeaders is how many bytes of headers are kept with a delivery.
	MaxKeptHeaders int
	// MaxMemory bounds the bytes of the bodies in memory of all requests at one time.
	MaxMemory int64
	// SourceRate is how many requests a second one source may send.
	SourceRate int
	// SourceBytes is how many bytes a second one source may send.
	SourceBytes int
	// FailureRate is how many requests a second with an unknown token or a
	// wrong signature one address may send before it is told to slow down.
	FailureRate int
	// TrustedProxies are the networks, as 10.0.0.0/8, of the proxies in front: what they say
	// in X-Forwarded-For or Forwarded about who called is believed. Nobody else's word is.
	TrustedProxies []string
}

// DefaultConfig returns limits that no honest sender meets.
func DefaultConfig() Config {
	return Config{
		MaxBody:        25 << 20,
		MaxKeptHeaders: 16 << 10,
		MaxMemory:      256 << 20,
		SourceRate:     50_000,
		SourceBytes:    512 << 20,
		FailureRate:    100,
	}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	positive := func(name string, n int64) {
		if n <= 0 {
			faults = append(faults, fmt.Errorf("%s: must be more than 0", name))
		}
	}
	positive("max_body", int64(c.MaxBody))
	positive("max_kept_headers", int64(c.MaxKeptHeaders))
	positive("max_memory", c.MaxMemory)
	positive("source_rate", int64(c.SourceRate))
	positive("source_bytes", int64(c.SourceBytes))
	positive("failure_rate", int64(c.FailureRate))
	if c.MaxMemory < int64(c.MaxBody) {
		faults = append(faults, errors.New("max_memory: must be at least max_body"))
	}
	if c.SourceBytes < c.MaxBody {
		faults = append(faults, errors.New("source_bytes: must be at least max_body"))
	}
	if _, err := httpserver.ParseNetworks(c.TrustedProxies); err != nil {
		faults = append(faults, fmt.Errorf("trusted_proxies: %w", err))
	}
	return errors.Join(faults...)
}
