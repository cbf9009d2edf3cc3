package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// What a page of a configured origin may send, and see of an answer.
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
	corsExposed = "Content-Disposition, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, X-Whatchanged-Visible"
	corsMaxAge  = "600"
)

// checkOrigins reports what is not exactly an origin. There are no patterns:
// what a page may do with a key that its user gave it must be said of each.
func checkOrigins(origins []string) error {
	var errs []error
	for _, o := range origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || o != u.Scheme+"://"+u.Host || o != strings.ToLower(o) || strings.Contains(o, "*") {
			errs = append(errs, fmt.Errorf("cors_origins: %q: want https://host[:port], in lower case and without a path; there are no patterns", o))
		}
	}
	return errors.Join(errs...)
}

// shareWith lets pages of the configured origins call the API, and answers
// their preflight requests; it reports whether the request is answered. They
// call with a key: what a browser keeps of a session is for our own pages, so
// there is no Access-Control-Allow-Credentials.
func (a *API) shareWith(w http.ResponseWriter, r *http.Request) (answered bool) {
	if len(a.cfg.CORSOrigins) == 0 || !strings.HasPrefix(r.URL.Path, "/api/v1/") && r.URL.Path != "/openapi.json" {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !slices.Contains(a.cfg.CORSOrigins, origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		h.Set("Access-Control-Expose-Headers", corsExposed)
		return false
	}
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}
