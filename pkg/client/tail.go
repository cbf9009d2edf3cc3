package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"whatchanged/pkg/change"
)

// silence is how long a tail may say nothing, heartbeats included, before the
// connection is taken for dead.
const silence = time.Minute

// Tail yields changes as they are recorded, from now on, until ctx ends or the
// caller stops. A broken connection is made again; what was recorded in
// between is not shown, so a caller who must miss nothing lists it afterwards.
// A server that cannot be reached at first, or an error that retrying cannot
// cure, ends it. Limit, offset, cursor, sort and
// times of the filter have no meaning here.
func (c *Client) Tail(ctx context.Context, f ChangeFilter) iter.Seq2[change.Change, error] {
	return func(yield func(change.Change, error) bool) {
		wait := backoff.NewExponentialBackOff()
		reached := false
		connected := func() {
			reached = true
			wait.Reset()
		}
		for {
			stopped, err := c.tailOnce(ctx, f, connected, yield)
			var p *Problem
			switch {
			case stopped:
				return
			case ctx.Err() != nil:
				yield(change.Change{}, ctx.Err())
				return
			case !reached, errors.As(err, &p) && p.Status/100 == 4 && p.Status != http.StatusTooManyRequests:
				yield(change.Change{}, err)
				return
			}
			select {
			case <-time.After(wait.NextBackOff()):
			case <-ctx.Done():
			}
		}
	}
}

// tailOnce follows one connection. It reports whether the caller stopped.
func (c *Client) tailOnce(ctx context.Context, f ChangeFilter, connected func(), yield func(change.Change, error) bool) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := c.request(ctx, call{method: http.MethodGet, path: "/api/v1/changes/stream", query: url.Values(f.selectors())}, nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Accept", "text/event-stream")
	dead := time.AfterFunc(silence, cancel)
	defer dead.Stop()
	res, err := c.http.Do(r)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		if err != nil {
			return false, fmt.Errorf("read answer: %w", err)
		}
		return false, problemOf(res, answer)
	}
	connected()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 4<<20)
	var event string
	for lines.Scan() {
		dead.Reset(silence)
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			event = value
		case "data":
			if event != "change" {
				continue
			}
			var ch change.Change
			if err := json.Unmarshal([]byte(value), &ch); err != nil {
				return false, fmt.Errorf("read an event: %w", err)
			}
			if !yield(ch, nil) {
				return true, nil
			}
		}
	}
	return false, lines.Err()
}
