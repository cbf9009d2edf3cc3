// Package problem is the product's vocabulary of errors: a kind that decides
// what happens next, a message for the person who made the call, and the one
// table from kinds to HTTP. What has no kind is internal, and its text never
// leaves the process.
package problem

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"whatchanged/pkg/change"
)

// Kind decides what the caller can do about an error.
type Kind int

// The kinds of errors. The zero kind is Internal: what we did not foresee.
const (
	Internal         Kind = iota
	Malformed             // never works: fix the request
	Unauthenticated       // who is calling?
	Forbidden             // known, but not allowed
	NotFound              //
	MethodNotAllowed      //
	Timeout               // the request came too slowly
	Conflict              // with what is stored
	TooLarge              //
	URITooLong            //
	Unsupported           // media type or encoding
	HeaderTooLarge        //
	RateLimited           // try again later: you sent too much
	Busy                  // try again later: our fault
)

var table = map[Kind]struct {
	status int
	title  string
}{
	Internal:         {http.StatusInternalServerError, "Internal error"},
	Malformed:        {http.StatusBadRequest, "Malformed request"},
	Unauthenticated:  {http.StatusUnauthorized, "Not authenticated"},
	Forbidden:        {http.StatusForbidden, "Not allowed"},
	NotFound:         {http.StatusNotFound, "Not found"},
	MethodNotAllowed: {http.StatusMethodNotAllowed, "Method not allowed"},
	Timeout:          {http.StatusRequestTimeout, "Request too slow"},
	Conflict:         {http.StatusConflict, "Conflict"},
	TooLarge:         {http.StatusRequestEntityTooLarge, "Too large"},
	URITooLong:       {http.StatusRequestURITooLong, "URI too long"},
	Unsupported:      {http.StatusUnsupportedMediaType, "Unsupported media type"},
	HeaderTooLarge:   {http.StatusRequestHeaderFieldsTooLarge, "Headers too large"},
	RateLimited:      {http.StatusTooManyRequests, "Too many requests"},
	Busy:             {http.StatusServiceUnavailable, "Busy"},
}

// Error is an error that may be shown to the caller.
type Error struct {
	Kind       Kind
	Reason     string        // one snake_case word for programs and metrics, such as "bad_signature"
	Message    string        // what is wrong and what to do about it
	Field      string        // of the request, when one is to blame
	RetryAfter time.Duration // for Busy and RateLimited; rounded up to seconds, and for Busy spread
	Err        error         // the cause, for our log only
}

// New returns an error with a kind, a reason and a message for the caller.
func New(kind Kind, reason, message string) *Error {
	return &Error{Kind: kind, Reason: reason, Message: message}
}

// Invalid reports that a field of the request is wrong.
func Invalid(field, message string) *Error {
	return &Error{Kind: Malformed, Reason: "invalid_" + field, Field: field, Message: message}
}

// BusyFor asks the caller to come back after d; cause stays in our log.
func BusyFor(d time.Duration, reason, message string, cause error) *Error {
	return &Error{Kind: Busy, Reason: reason, Message: message, RetryAfter: d, Err: cause}
}

// Error is for our log: it includes the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Status returns the HTTP status of the error's kind.
func (e *Error) Status() int { return table[e.Kind].status }

// Title returns what the kind is called.
func (e *Error) Title() string { return table[e.Kind].title }

// From returns the first Error in err's chain. Malformed input of any layer
// counts as one; all else becomes an internal error that says nothing.
func From(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, change.ErrMalformed):
		return &Error{Kind: Malformed, Reason: "malformed", Message: err.Error(), Err: err}
	default:
		return &Error{
			Kind: Internal, Reason: "internal", Err: err,
			Message: "something went wrong on our side; the server's log has the details",
		}
	}
}

// KindOf returns the kind of the first Error in err's chain.
func KindOf(err error) Kind { return From(err).Kind }

// body is the form of RFC 9457, with our reason and field beside it.
type body struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Reason string `json:"reason"`
	Field  string `json:"field,omitempty"`
}

// MarshalJSON writes the error as an application/problem+json document.
func (e *Error) MarshalJSON() ([]byte, error) {
	row := table[e.Kind]
	return json.Marshal(body{Title: row.title, Status: row.status, Detail: e.Message, Reason: e.Reason, Field: e.Field})
}

// Write answers a request with err as problem+json (RFC 9457).
func Write(w http.ResponseWriter, err error) {
	e := From(err)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	SetHeaders(h, e)
	w.WriteHeader(e.Status())
	out, _ := e.MarshalJSON() // a struct of strings and numbers
	w.Write(append(out, '\n'))
}

// Those who were refused together, by a fault of ours, shall not come back
// together. Who asks too much is told when exactly.
const (
	longestWait = 30 * time.Second
	spread      = 4 * time.Second
)

// SetHeaders adds the headers that a kind calls for. A challenge that is there
// already stays.
func SetHeaders(h http.Header, e *Error) {
	if e.Kind == Unauthenticated && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", `Bearer realm="whatchanged"`)
	}
	if e.Kind == Busy || e.Kind == RateLimited {
		wait := e.RetryAfter
		if e.Kind == Busy {
			wait = min(max(wait, time.Second), longestWait-spread) + rand.N(spread) //nolint:gosec // not to come all at once is no secret
		}
		seconds := max(1, int((wait+time.Second-1)/time.Second))
		h.Set("Retry-After", strconv.Itoa(seconds))
	}
}
