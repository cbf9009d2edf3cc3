package registry

import (
	"sync"
	"testing"
)

// Services that run apart are started together, with the same values.
func TestBootstrap_IsDoneByOneOfMany(t *testing.T) {
	kv, _ := startBucket(t)
	cfg := BootstrapConfig{APIKey: "fixed-key-0123456789", Token: "fixed_token_0123456789"}
	var all []*Registry
	for range 4 {
		all = append(all, open(t, kv))
	}
	results := make([]Bootstrap, len(all))
	errs := make([]error, len(all))
	var together sync.WaitGroup
	for i, r := range all {
		together.Go(func() { results[i], errs[i] = r.Bootstrap(t.Context(), cfg) })
	}
	together.Wait()
	first := 0
	for i, r := range all {
		if errs[i] != nil {
			t.Errorf("number %d: %v", i, errs[i])
		}
		if results[i].Org != "" {
			first++
		}
		if _, err := r.KeyByToken("fixed-key-0123456789"); err != nil {
			t.Errorf("number %d goes on without the key: %v", i, err)
		}
	}
	if first != 1 {
		t.Errorf("%d did it", first)
	}
}
