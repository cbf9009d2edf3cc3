package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// The formats of an export.
const (
	NDJSON = "ndjson" // a change on each line, as JSON
	CSV    = "csv"
)

// Export writes every change that matches to w, oldest first, as it comes. An
// error means that w did not get the whole. Limit, offset, cursor and sort of
// the filter have no meaning here.
func (c *Client) Export(ctx context.Context, f ChangeFilter, format string, w io.Writer) error {
	q := f.selectors()
	q.selection(f)
	q.text("format", format)
	r, err := c.request(ctx, call{method: http.MethodGet, path: "/api/v1/changes/export", query: url.Values(q)}, nil)
	if err != nil {
		return err
	}
	res, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		return problemOf(res, answer)
	}
	if _, err := io.Copy(w, res.Body); err != nil {
		return fmt.Errorf("the export broke off: %w", err)
	}
	return nil
}
