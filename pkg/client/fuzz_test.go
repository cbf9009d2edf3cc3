package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

// answering is a server whose every answer is this one. It tells when an answer
// was read.
type answering struct {
	status      int
	contentType string
	body        string
	read        func()
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"Content-Type": {a.contentType}, "Retry-After": {"1"}},
		Body: &answer{strings.NewReader(a.body), a.read}, Request: r,
	}, nil
}

type answer struct {
	io.Reader
	read func()
}

func (a *answer) Close() error {
	a.read()
	return nil
}

// FuzzAnswer: whatever a server, or a proxy in front of it, answers, the caller
// gets a change or an error, and a refusal keeps its status.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/json", `{"data":{"id":"chg_00000000000000000000000000"}}`)
	f.Add(404, "application/problem+json", `{"status":200,"reason":"not_found","detail":"no"}`)
	f.Add(502, "text/html", "<html>")
	f.Add(200, "text/event-stream", "event: change\ndata: {}\n\n")
	f.Fuzz(func(t *testing.T, status int, contentType, body string) {
		if status < 200 || status > 599 {
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		read := func() {}
		transport := answering{status, contentType, body, func() { read() }}
		c, err := client.New("http://127.0.0.1:1", "key", client.WithTries(1), client.WithHTTPClient(&http.Client{Transport: transport}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Change(ctx, change.ID{1})
		if p, ok := errors.AsType[*client.Problem](err); ok && p.Status != status {
			t.Errorf("%d is %v", status, p)
		}
		if err == nil && status/100 != 2 {
			t.Errorf("%d is no error", status)
		}
		read = cancel // or a tail begins again
		n := 0
		for _, err := range c.Tail(ctx, client.ChangeFilter{}) {
			if n++; err != nil || n == 3 {
				break
			}
			if status != http.StatusOK {
				t.Errorf("a change out of %d", status)
			}
		}
	})
}
