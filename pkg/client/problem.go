package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Problem is the API's refusal of a request (RFC 9457).
type Problem struct {
	Status     int           `json:"status"`
	Title      string        `json:"title"`
	Detail     string        `json:"detail"`          // what is wrong and what to do about it
	Reason     string        `json:"reason"`          // one snake_case word, for programs
	Field      string        `json:"field,omitempty"` // of the request, when one is to blame
	RetryAfter time.Duration `json:"-"`
}

// Error says what the server said.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("the server answered %d %s", p.Status, http.StatusText(p.Status))
	}
	return fmt.Sprintf("%s (%d %s)", p.Detail, p.Status, p.Reason)
}

// problemOf reads a refusal; what is not in our form (a proxy's page) keeps
// its status alone.
func problemOf(res *http.Response, body []byte) *Problem {
	p := &Problem{}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") {
		if err := json.Unmarshal(body, p); err != nil {
			*p = Problem{}
		}
	}
	p.Status = res.StatusCode
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}
