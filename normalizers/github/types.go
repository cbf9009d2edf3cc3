package github

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"whatchanged/pkg/change"
)

// common is the part that all events have, for those that go-github does not
// know or of which nothing else is read by its type.
type common struct {
	Repo         *github.Repository   `json:"repository"`
	Org          *github.Organization `json:"organization"`
	Sender       *github.User         `json:"sender"`
	Installation struct {
		ID *int64 `json:"id"`
	} `json:"installation"`
}

func (e *common) GetRepo() *github.Repository  { return e.Repo }
func (e *common) GetOrg() *github.Organization { return e.Org }
func (e *common) GetSender() *github.User      { return e.Sender }
func (e *common) GetInstallation() *github.Installation {
	return &github.Installation{ID: e.Installation.ID}
}

// decode decodes a payload into go-github's type for the event. A field that
// is not as go-github expects stays empty.
func decode(event string, body []byte) (any, error) {
	into, err := fill(event, body)
	if err == nil {
		return into, nil
	}
	// A field's own decoder refused, and decoding stopped there: those are the
	// times. Without the odd ones it goes through.
	var tree map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber() // whatever size they have
	if err := d.Decode(&tree); err != nil {
		return nil, fmt.Errorf("%w: %w", change.ErrMalformed, err)
	}
	dropOddTimes(tree)
	repaired, _ := json.Marshal(tree)
	into, _ = fill(event, repaired)
	return into, nil
}

// isObject reports whether JSON is an object.
func isObject(body []byte) bool {
	body = bytes.TrimLeft(body, " \t\r\n")
	return len(body) > 0 && body[0] == '{'
}

// fill decodes into a new event, and fails only when it had to stop.
func fill(event string, body []byte) (any, error) {
	var into any = new(common)
	if events[event].typed != nil {
		into = github.EventForType(event)
	}
	err := json.Unmarshal(body, into)
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		err = nil // the field was skipped, and the rest is there
	}
	return into, err
}

// dropOddTimes removes what go-github would take for a time and cannot read.
func dropOddTimes(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			dropOddTimes(item)
		}
	case map[string]any:
		for key, value := range v {
			if isTimeName(key) && !isTime(value) {
				delete(v, key)
				continue
			}
			dropOddTimes(value)
		}
	}
}

func isTimeName(key string) bool {
	return strings.HasSuffix(key, "_at") || strings.HasSuffix(key, "_on") || key == "timestamp" || key == "date" || key == "since"
}

func isTime(v any) bool {
	switch v := v.(type) {
	case string:
		_, err := time.Parse(time.RFC3339, v)
		return err == nil
	case json.Number:
		_, err := v.Int64()
		return err == nil
	}
	return v == nil
}
