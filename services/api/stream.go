package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/glob"
	"whatchanged/pkg/store"
)

// tailWrite is how long a reader may take nothing before its tail is cut.
const tailWrite = 10 * time.Second

type streamInput struct {
	OneService
	Filter
}

type streamOutput struct{ Body func(huma.Context) }

func (a *API) registerStream() {
	register(a, huma.Operation{
		OperationID: "stream-changes", Method: http.MethodGet, Path: "/api/v1/changes/stream", Tags: []string{"changes"},
		Summary: "Follow changes as they are recorded",
		Description: "Server-sent events: `event: change` with a change as `data`, from now on; a comment as heartbeat. " +
			"A reader that is too slow gets `event: dropped` and is cut off. A change may come twice, and what is recorded while nobody is connected does not come, whatever `Last-Event-ID` says: list it.",
		Responses: map[string]*huma.Response{"200": {
			Description: "Events", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}, auth.ChangesRead, a.stream)
}

// stream serves GET /api/v1/changes/stream.
func (a *API) stream(ctx context.Context, in *streamInput) (*streamOutput, error) {
	p, _ := auth.PrincipalFrom(ctx)
	filter, err := in.Filter.filter(p.Org, in.ServiceID)
	if err != nil {
		return nil, err
	}
	sub, err := a.hub.subscribe(p.Org, p.KeyID, filter)
	if err != nil {
		return nil, err
	}
	sub.caller = p
	return &streamOutput{Body: func(ctx huma.Context) {
		defer a.hub.leave(sub)
		r, w := humago.Unwrap(ctx)
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no") // nginx would hold events back
		if r.Method == http.MethodHead {
			return // net/http would throw away every event
		}
		if err := a.follow(ctx.Context(), w, sub); err != nil {
			a.log.Debug("live tail ended", "error", err)
		}
	}}, nil
}

// follow writes a tail's events until the reader leaves, is too slow, loses
// its right, or the server stops.
func (a *API) follow(ctx context.Context, w http.ResponseWriter, sub *subscription) error {
	control := http.NewResponseController(w)
	send := func(text string) error {
		if err := control.SetWriteDeadline(time.Now().Add(tailWrite)); err != nil {
			return fmt.Errorf("set write deadline: %w", err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
		return control.Flush()
	}
	if err := send("retry: 1000\n: connected\n\n"); err != nil {
		return err
	}
	heartbeat := time.NewTicker(a.cfg.Heartbeat)
	defer heartbeat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-a.hub.ended:
			return send(event("end", `{"reason":"server_stopping"}`))
		case <-sub.slow:
			return send(event("dropped", `{"reason":"too_slow"}`))
		case <-heartbeat.C:
			if !a.Registry.StillIn(sub.caller) {
				return send(event("end", `{"reason":"key_ended"}`))
			}
			err = send(": heartbeat\n\n")
		case c := <-sub.changes:
			var data []byte
			if data, err = json.Marshal(c); err == nil {
				err = send("id: " + c.ID.String() + "\n" + event("change", string(data)))
			}
		}
		if err != nil {
			return err
		}
	}
}

// event writes an event whose data is one line, as JSON is.
func event(name, data string) string { return "event: " + name + "\ndata: " + data + "\n\n" }

// matches reports whether a change is among those that the store would list
// for the filter.
func matches(f *store.ChangeFilter, c *change.Change) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return is(f.ServiceID, c.ServiceID) &&
		oneOf(f.Types, c.Type) &&
		is(f.Source, c.Source) &&
		is(f.Environment, c.Environment) &&
		is(f.Repository, c.Repository) &&
		oneOf(f.Risks, c.Risk) &&
		oneOf(f.Statuses, c.Status) &&
		(f.Action == "" || glob.Match(f.Action, cmp.Or(c.Action, c.Type.Action()))) &&
		is(f.ActorID, c.Actor.ID) &&
		(f.ResourceID == "" || f.ResourceID == c.Resource.ID || f.ResourceID == c.Resource.Name) &&
		is(f.SessionID, c.SessionID) &&
		is(f.CorrelationID, c.CorrelationID) &&
		is(f.ExternalID, c.ExternalID) &&
		is(f.Provider, c.Provenance.Provider) &&
		is(f.Account, c.Account) &&
		is(f.Region, c.Region) &&
		is(f.Branch, c.Branch) &&
		is(f.Version, c.Version) &&
		strings.HasPrefix(c.CommitSHA, f.CommitSHA) &&
		(f.Actor == "" || slices.Contains([]string{c.ChangedBy, c.Actor.Name, c.Actor.ID}, f.Actor)) &&
		(f.Tag == "" || slices.Contains(c.Tags, f.Tag)) &&
		(f.DeliveryID.IsZero() || f.DeliveryID == c.Provenance.DeliveryID) &&
		hasWords(c.Summary, f.Q)
}

func oneOf[T comparable](want []T, have T) bool { return len(want) == 0 || slices.Contains(want, have) }

// hasWords reports whether text has all the words, in any case and order. A
// word is what the store's text index takes for one: ASCII letters and digits,
// and all that is not ASCII.
func hasWords(text, words string) bool {
	split := func(s string) []string {
		return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
			return r < utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r)
		})
	}
	have := split(text)
	return !slices.ContainsFunc(split(words), func(word string) bool { return !slices.Contains(have, word) })
}
