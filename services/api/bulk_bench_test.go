package api_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/normalizers/all"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/health"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/store/storetest"
	"whatchanged/services/api"
)

// BenchmarkBulk measures what the API does for a thousand changes in one
// request, all of it: reading, checking, normalizing and the commit.
func BenchmarkBulk(b *testing.B) {
	bodies := map[string]string{
		"changes": `{"summary": "Deploy v2.1.%d to production", "change_type": "deployment", "commit_sha": "abc1234def5678", "branch": "main",` +
			` "environment": "production", "risk_level": "medium", "changed_by": "jane.doe", "tags": ["billing", "release"]}`,
		"change-events": `{"title": "Deploy v2.4.%d to production", "type": "deployment", "environment": "production", "author": "deploy-bot",` +
			` "version": "v2.4.1", "commit_sha": "abc123def456", "tags": {"team": "platform", "service": "api-gateway"}}`,
		"events": `{"actor_id": "ci_github_actions", "actor_name": "GitHub Actions", "actor_type": "ci_system", "action": "deployment.started",` +
			` "resource": "service", "resource_id": "gateway-%d", "metadata": {"environment": "production", "git_branch": "main", "pr_number": 1847}}`,
	}
	for face, item := range bodies {
		items := make([]string, 1000)
		for i := range items {
			items[i] = fmt.Sprintf(item, i)
		}
		body := `{"data": [` + strings.Join(items, ",") + `]}`
		b.Run(face, func(b *testing.B) {
			handler := bench(b)
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/api/v1/"+face+"/bulk", strings.NewReader(body))
				r.Header.Set("Authorization", "Bearer "+adminKey)
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				if handler.ServeHTTP(w, r); w.Code != http.StatusCreated {
					b.Fatalf("%d %.300s", w.Code, w.Body)
				}
			}
			b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "changes/s")
		})
	}
}

// bench returns the API with its bus, registry and store, and no pipeline.
func bench(b *testing.B) http.Handler {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	deps := api.Deps{Bus: bustest.New(b), Store: storetest.New(b), Normalizers: all.Set(), Log: log, Health: health.New(log, prometheus.NewRegistry())}
	committer := deps.Bus.NewCommitter(change.Fresh)
	deps.Committer = committer
	var err error
	if deps.Registry, err = registry.Open(b.Context(), deps.Bus.KV(bus.BucketRegistry), log, prometheus.NewRegistry()); err != nil {
		b.Fatal(err)
	}
	if deps.Sealer, err = auth.OpenSealer(filepath.Join(b.TempDir(), "master.key"), "", false); err != nil {
		b.Fatal(err)
	}
	a, err := api.New(deps, api.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{committer.Run, deps.Registry.Run} {
		parts.Go(func() {
			if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				b.Errorf("a part of the system: %v", err)
			}
		})
	}
	b.Cleanup(func() {
		cancel()
		parts.Wait()
	})
	if _, err := deps.Registry.CreateOrg(b.Context(), registry.Org{ID: orgName, Name: orgName}); err != nil {
		b.Fatal(err)
	}
	if _, err := deps.Registry.ImportKey(b.Context(), registry.Key{Org: orgName, Name: "bench", Scopes: []string{auth.Admin}, Role: auth.SiteAdmin}, adminKey); err != nil {
		b.Fatal(err)
	}
	return a.Handler()
}
