// Package repairtest speaks as GitHub's API does about the deliveries of a
// hook, and really sends them when it is asked to.
package repairtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// GitHub is a server with one hook.
type GitHub struct {
	*httptest.Server
	Path    string // of the hook: /repos/acme/shop/hooks/7, /orgs/acme/hooks/7 or /app/hook
	Secret  string // that the hook signs with
	PerPage int    // at most

	// Check says whether a request may be answered; nil: all may.
	Check func(*http.Request) bool

	mu       sync.Mutex
	webhook  string
	attempts []Attempt // oldest first
	limit    int       // calls until the limit is reached; negative: none
	broken   int       // calls that are answered 502 from now on
	calls    []string
}

// Attempt is one time that a delivery was sent.
type Attempt struct {
	ID          int64     `json:"id"`
	GUID        string    `json:"guid"`
	DeliveredAt time.Time `json:"delivered_at"`
	Redelivery  bool      `json:"redelivery"`
	Duration    float64   `json:"duration"`
	Status      string    `json:"status"`
	StatusCode  int       `json:"status_code"`
	Event       string    `json:"event"`
	Action      *string   `json:"action"`

	Body string `json:"-"`
}

// New starts a server; the caller closes it.
func New(path, secret string) *GitHub {
	g := &GitHub{Path: path, Secret: secret, PerPage: 100, limit: -1}
	g.Server = httptest.NewServer(g)
	return g
}

// SendTo is where the hook sends to.
func (g *GitHub) SendTo(url string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.webhook = url
}

// Happen notes a delivery that was sent at a time, and arrived nowhere.
func (g *GitHub) Happen(guid, event, body string, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.attempts = append(g.attempts, Attempt{
		ID: int64(1000 + len(g.attempts)), GUID: guid, DeliveredAt: at.UTC().Truncate(time.Second), Status: "Bad Gateway", StatusCode: 502,
		Event: event, Body: body, Duration: 0.27,
	})
}

// Limit lets so many more calls through; then the limit is reached.
func (g *GitHub) Limit(calls int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = calls
}

// Break answers the next calls with 502.
func (g *GitHub) Break(calls int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.broken = calls
}

// Calls returns what was asked, as method and path.
func (g *GitHub) Calls() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.calls...)
}

// ServeHTTP answers as GitHub does.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, r.Method+" "+r.URL.Path)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	path, known := strings.CutPrefix(r.URL.Path, g.Path+"/deliveries")
	switch {
	case g.broken > 0:
		g.broken--
		say(w, http.StatusBadGateway, `{"message":"Server Error"}`)
	case g.Check != nil && !g.Check(r):
		say(w, http.StatusUnauthorized, `{"message":"Bad credentials","documentation_url":"https://docs.github.com/rest"}`)
	case g.limit == 0:
		w.Header().Set("X-RateLimit-Limit", "5000")
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
		say(w, http.StatusForbidden, `{"message":"API rate limit exceeded for user ID 1.","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"}`)
	case !known:
		say(w, http.StatusNotFound, `{"message":"Not Found"}`)
	case r.Method == http.MethodGet && path == "":
		g.limit--
		g.list(w, r)
	case r.Method == http.MethodPost && strings.HasSuffix(path, "/attempts"):
		g.limit--
		g.again(w, strings.Trim(strings.TrimSuffix(path, "/attempts"), "/"))
	default:
		say(w, http.StatusNotFound, `{"message":"Not Found"}`)
	}
}

func say(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	fmt.Fprintln(w, body)
}

// list answers a page, newest first; the cursor is the id of the last before it.
func (g *GitHub) list(w http.ResponseWriter, r *http.Request) {
	size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
	size = min(max(size, 1), g.PerPage)
	before, _ := strconv.ParseInt(strings.TrimPrefix(r.URL.Query().Get("cursor"), "v1_"), 10, 64)
	page := []Attempt{}
	more := false
	for _, a := range slices.Backward(g.attempts) {
		if before > 0 && a.ID >= before {
			continue
		}
		if more = len(page) == size; more {
			break
		}
		page = append(page, a)
	}
	if more {
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?per_page=%d&cursor=v1_%d>; rel="next"`, g.URL, r.URL.Path, size, page[size-1].ID))
	}
	_ = json.NewEncoder(w).Encode(page) // to a recorder or a client that has gone
}

// again sends a delivery again and notes what came of it.
func (g *GitHub) again(w http.ResponseWriter, id string) {
	for _, a := range g.attempts {
		if strconv.FormatInt(a.ID, 10) != id {
			continue
		}
		a.ID, a.DeliveredAt, a.Redelivery = int64(1000+len(g.attempts)), time.Now().UTC().Truncate(time.Second), true
		a.StatusCode, a.Status = g.send(a)
		g.attempts = append(g.attempts, a)
		say(w, http.StatusAccepted, `{}`)
		return
	}
	say(w, http.StatusNotFound, `{"message":"Not Found"}`)
}

func (g *GitHub) send(a Attempt) (int, string) {
	if g.webhook == "" {
		return 502, "Bad Gateway"
	}
	req, err := http.NewRequest(http.MethodPost, g.webhook, bytes.NewReader([]byte(a.Body)))
	if err != nil {
		return 0, err.Error()
	}
	mac := hmac.New(sha256.New, []byte(g.Secret))
	mac.Write([]byte(a.Body))
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {"GitHub-Hookshot/5f1e2d3"},
		"X-Github-Delivery": {a.GUID}, "X-Github-Event": {a.Event}, "X-Github-Hook-Id": {"7"},
		"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))},
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "failed to connect to host"
	}
	defer res.Body.Close()
	return res.StatusCode, http.StatusText(res.StatusCode)
}
