package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

const key = "wc_live_0123456789abcdef"

// serve answers the n-th request with the n-th handler, and with the last one
// from then on. It returns a client for it and what was asked.
func serve(t *testing.T, handlers ...http.HandlerFunc) (*client.Client, func() []*http.Request) {
	t.Helper()
	var mu sync.Mutex
	var asked []*http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := handlers[min(len(asked), len(handlers)-1)]
		asked = append(asked, r.Clone(context.WithoutCancel(r.Context())))
		mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	c, err := client.New(srv.URL+"/", key)
	if err != nil {
		t.Fatal(err)
	}
	return c, func() []*http.Request {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(asked)
	}
}

func say(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestClient_RetriesWhatIsSafe(t *testing.T) {
	list := func(c *client.Client) error { _, err := c.Changes(t.Context(), client.ChangeFilter{}); return err }
	log := func(c *client.Client) error {
		_, err := c.LogChange(t.Context(), client.NewChange{Summary: "x"}, client.WriteOptions{})
		return err
	}
	create := func(c *client.Client) error { _, err := c.CreateKey(t.Context(), client.NewKey{}); return err }
	remove := func(c *client.Client) error { return c.DeleteKey(t.Context(), "key_1") }

	fine := say(http.StatusOK, "{}")
	busy := say(http.StatusServiceUnavailable, "{}")
	f := func(name string, call func(*client.Client) error, trouble http.HandlerFunc, tries int, works bool) {
		t.Helper()
		c, asked := serve(t, trouble, fine)
		err := call(c)
		if got := len(asked()); got != tries || (err == nil) != works {
			t.Errorf("%s: %d tries, want %d; error %v", name, got, tries, err)
		}
	}
	f("list, busy", list, busy, 2, true)
	f("list, connection lost", list, hangUp, 2, true)
	f("list, over the rate", list, say(http.StatusTooManyRequests, "{}"), 2, true)
	f("list, refused", list, say(http.StatusBadRequest, "{}"), 1, false)
	f("list, broken", list, say(http.StatusInternalServerError, "{}"), 1, false)
	f("log, busy", log, busy, 2, true)
	f("log, connection lost", log, hangUp, 2, true)
	f("delete, connection lost", remove, hangUp, 2, true)
	// These would make a second one.
	f("create, busy", create, busy, 1, false)
	f("create, connection lost", create, hangUp, 1, false)
	f("create, over the rate", create, say(http.StatusTooManyRequests, "{}"), 2, true)
}

func TestClient_EveryTryHasTheSameIdempotencyKey(t *testing.T) {
	c, asked := serve(t, hangUp, say(http.StatusCreated, "{}"))
	if _, err := c.LogChange(t.Context(), client.NewChange{Summary: "x"}, client.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.LogChange(t.Context(), client.NewChange{Summary: "x"}, client.WriteOptions{IdempotencyKey: "mine"}); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, r := range asked() {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
	}
	if len(keys) != 3 || keys[0] == "" || keys[0] != keys[1] || keys[2] != "mine" {
		t.Errorf("keys %q", keys)
	}
}

func TestClient_ProblemSaysWhatTheServerSaid(t *testing.T) {
	c, _ := serve(t, say(http.StatusBadRequest,
		`{"title":"Malformed request","status":400,"detail":"limit: expected number <= 100","reason":"invalid_limit","field":"limit"}`,
		"Content-Type", "application/problem+json"))
	_, err := c.Changes(t.Context(), client.ChangeFilter{Limit: 1000})
	want := &client.Problem{Status: 400, Title: "Malformed request", Detail: "limit: expected number <= 100", Reason: "invalid_limit", Field: "limit"}
	var got *client.Problem
	if !errors.As(err, &got) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A proxy in between answers in its own way; its page is not shown.
func TestClient_AnswersOfOthersKeepTheirStatus(t *testing.T) {
	f := func(h http.HandlerFunc, want string) {
		t.Helper()
		c, _ := serve(t, h)
		if _, err := c.Services(t.Context()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "html") {
			t.Errorf("%v; want %q", err, want)
		}
	}
	f(say(http.StatusBadGateway, "<html>"), "502 Bad Gateway")
	f(say(http.StatusOK, "<html>"), "does not answer as this API does")
}

func TestClient_TellsWhenToComeBack(t *testing.T) {
	c, _ := serve(t, say(http.StatusConflict, "{}", "Retry-After", "7"))
	var p *client.Problem
	if _, err := c.Services(t.Context()); !errors.As(err, &p) || p.RetryAfter != 7*time.Second {
		t.Errorf("%v", err)
	}
}

func TestClient_SendsWhatIsAsked(t *testing.T) {
	c, asked := serve(t, say(http.StatusOK, "{}"))
	start := time.Date(2026, 3, 30, 15, 30, 0, 0, time.FixedZone("", 7200))
	filter := client.ChangeFilter{ServiceID: "svc_a", Type: "code", Query: "a b", Start: start, Limit: 5, Cursor: "c"}
	if _, err := c.Changes(t.Context(), filter); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Service(t.Context(), "../keys?x"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.LogChange(t.Context(), client.NewChange{Summary: "x"}, client.WriteOptions{Wait: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range asked() {
		got = append(got, r.Method+" "+r.RequestURI)
		if r.Header.Get("Authorization") != "Bearer "+key {
			t.Errorf("Authorization %q", r.Header.Get("Authorization"))
		}
	}
	want := []string{
		"GET /api/v1/changes?change_type=code&cursor=c&limit=5&q=a+b&service_id=svc_a&start_date=2026-03-30T13%3A30%3A00Z",
		"GET /api/v1/services/..%2Fkeys%3Fx",
		"POST /api/v1/changes?wait=2s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestClient_NeverShowsItsKey(t *testing.T) {
	c, _ := serve(t, hangUp)
	_, err := c.CreateKey(t.Context(), client.NewKey{})
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%v %+v %#v", c, c, c), err.Error()} {
		if strings.Contains(text, key) {
			t.Errorf("shows the key: %s", text)
		}
	}
}

func TestNew_RefusesWhatIsNoServer(t *testing.T) {
	for _, u := range []string{"", "localhost:8080", "ftp://host", "http://", "http://a b"} {
		if _, err := client.New(u, key); err == nil {
			t.Errorf("New(%q) works", u)
		}
	}
	if _, err := client.New("http://host", "a\r\nb"); err == nil {
		t.Error("a key with a line break works")
	}
}

func TestText_IsReadFromANumberToo(t *testing.T) {
	f := func(in string, want client.Text, ok bool) {
		t.Helper()
		var got client.Text
		if err := got.UnmarshalJSON([]byte(in)); got != want || (err == nil) != ok {
			t.Errorf("%s: %q %v", in, got, err)
		}
	}
	f(`"12"`, "12", true)
	f(`12`, "12", true)
	f(`null`, "", true)
	f(`{}`, "", false)
}

func event(id change.ID, summary string) string {
	return "event: change\ndata: {\"id\":\"" + id.String() + "\",\"summary\":\"" + summary + "\"}\n\n"
}

func TestTail_ComesBackAndEndsWhereRetryingCannotHelp(t *testing.T) {
	id := change.NewID(time.Now(), "a", "b", "c")
	c, asked := serve(t,
		say(http.StatusOK, "retry: 1000\n: connected\n\n"+event(id, "one")+": heartbeat\n\n"+event(id, "two")),
		hangUp,
		say(http.StatusServiceUnavailable, "{}"),
		say(http.StatusOK, event(id, "three")+"event: dropped\ndata: {}\n\n"),
		say(http.StatusUnauthorized, "{}"))
	var got []string
	var last error
	for ch, err := range c.Tail(t.Context(), client.ChangeFilter{Source: "x", Limit: 3, Start: time.Now()}) {
		if last = err; err == nil {
			got = append(got, ch.Summary)
		}
	}
	if diff := cmp.Diff([]string{"one", "two", "three"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var p *client.Problem
	if !errors.As(last, &p) || p.Status != http.StatusUnauthorized {
		t.Errorf("ended with %v", last)
	}
	if uri := asked()[0].RequestURI; uri != "/api/v1/changes/stream?source=x" {
		t.Errorf("asked %s: paging and times mean nothing to a tail", uri)
	}
}

func TestTail_SaysThatTheServerCannotBeReached(t *testing.T) {
	c, asked := serve(t, hangUp)
	var got []error
	for _, err := range c.Tail(t.Context(), client.ChangeFilter{}) {
		got = append(got, err)
	}
	if len(got) != 1 || got[0] == nil || len(asked()) != 1 {
		t.Errorf("%d connections, %v", len(asked()), got)
	}
}

func TestTail_StopsWhenTheCallerDoes(t *testing.T) {
	id := change.NewID(time.Now(), "a", "b", "c")
	c, asked := serve(t, say(http.StatusOK, event(id, "one")+event(id, "two")))
	for range c.Tail(t.Context(), client.ChangeFilter{}) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range c.Tail(ctx, client.ChangeFilter{}) {
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if n := len(asked()); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}
