// Package registrytest starts a real registry for tests.
package registrytest

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/registry"
)

// New opens the registry in kv, runs it until the test ends and fills it with
// what a first start makes.
func New(tb testing.TB, kv jetstream.KeyValue) (*registry.Registry, registry.Bootstrap) {
	tb.Helper()
	r, err := registry.Open(tb.Context(), kv, bustest.Log(tb), prometheus.NewRegistry())
	if err != nil {
		tb.Fatalf("open the registry: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("run the registry: %v", err)
		}
	})
	b, err := r.Bootstrap(tb.Context(), registry.BootstrapConfig{})
	if err != nil {
		tb.Fatalf("bootstrap the registry: %v", err)
	}
	return r, b
}
