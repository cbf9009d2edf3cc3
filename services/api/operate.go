package api

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

// registerOperation adds what operators and tools ask for, which needs no key,
// and freezes the OpenAPI document.
func (a *API) registerOperation() error {
	finish(a.huma.OpenAPI().Components.Schemas)
	document, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	if err != nil {
		return fmt.Errorf("write the OpenAPI document: %w", err)
	}
	document = append(document, '\n')
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		w.Write(document)
	})
	a.mux.HandleFunc("GET /healthz", a.Health.ServeLive)
	a.mux.HandleFunc("GET /readyz", a.Health.ServeReady)
	if a.Gatherer != nil {
		a.mux.Handle("GET /metrics", a.onlyOperators(promhttp.HandlerFor(a.Gatherer, promhttp.HandlerOpts{})))
	}
	return nil
}

// onlyOperators lets callers on this machine through, and keys with the scope
// admin of the org that runs the installation. A request that a proxy passed on comes from elsewhere.
func (a *API) onlyOperators(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fromHere(r) {
			p, err := a.enter(w, r)
			switch {
			case err != nil:
			case !p.Allows(auth.Admin):
				err = missingScope(auth.Admin)
			case p.Org != registry.DefaultOrg: // they name all orgs
				err = notForTenants()
			}
			if err != nil {
				problem.Write(w, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func fromHere(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && net.ParseIP(host).IsLoopback()
}
