package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"whatchanged/pkg/client"
)

// bootstrapFile is written into the data directory by the first start.
const bootstrapFile = "bootstrap.json"

// bootstrap is what the first start makes, so that the user's commands work
// without being told anything.
type bootstrap struct {
	Org         string `json:"org"`
	APIKey      string `json:"api_key"`
	SourceToken string `json:"source_token"`
	WebhookURL  string `json:"webhook_url"`
}

// connection is where a user's command finds the API.
type connection struct {
	env               *Environment
	url, key, dataDir string
	json              bool
}

// connect adds the flags of a user's command to cmd.
func connect(cmd *cobra.Command, env *Environment) *connection {
	c := &connection{env: env}
	flags := cmd.PersistentFlags()
	flags.StringVar(&c.url, "url", "", "the server's address (or WHATCHANGED_URL)")
	flags.StringVar(&c.key, "key", "", "API key (better: WHATCHANGED_KEY, which no process list shows)")
	flags.StringVar(&c.dataDir, "data-dir", "data", "where a server on this machine keeps its data; its key is found there")
	flags.BoolVar(&c.json, "json", false, "print JSON, for programs")
	return c
}

// client returns the API client: from flags, else the environment, else what a
// server on this machine left in its data directory.
func (c *connection) client() (*client.Client, error) {
	base, key := c.url, c.key
	if base == "" {
		base = c.env.Getenv("WHATCHANGED_URL")
	}
	if key == "" {
		key = c.env.Getenv("WHATCHANGED_KEY")
	}
	if base == "" || key == "" {
		b, err := readBootstrap(c.dataDir)
		if err != nil {
			return nil, err
		}
		if key == "" {
			key = b.APIKey
		}
		if base == "" {
			u, err := url.Parse(b.WebhookURL)
			if err != nil {
				return nil, fmt.Errorf("read %s: its webhook_url cannot be read", filepath.Join(c.dataDir, bootstrapFile))
			}
			base = u.Scheme + "://" + u.Host
		}
	}
	return client.New(base, key, client.WithUserAgent("whatchanged-cli"))
}

func readBootstrap(dataDir string) (bootstrap, error) {
	path := filepath.Join(dataDir, bootstrapFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return bootstrap{}, fmt.Errorf("no server and key given, and no %s here: "+
			"set WHATCHANGED_URL and WHATCHANGED_KEY, or start a server with `whatchanged serve`, or say --data-dir", path)
	}
	if err != nil {
		return bootstrap{}, err
	}
	var b bootstrap
	if err := json.Unmarshal(text, &b); err != nil {
		return b, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

// printJSON writes v for programs.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table writes rows in aligned columns. What they hold comes from outside, so
// control characters are shown, never sent to the terminal.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, head ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	t.row(head...)
	return t
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = printable(cell)
	}
	fmt.Fprintln(t.w, strings.TrimRight(strings.Join(cells, "\t"), "\t "))
}

func (t *table) flush() error { return t.w.Flush() }

// printable shows control and format characters as their code, so that a
// payload cannot move the cursor, recolour the screen or reverse the text.
func printable(s string) string {
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func hidden(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }

// shorten cuts s to n characters for a column.
func shorten(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}

// parseWhen reads a moment as people write it: 2h, 3d (ago), a date, a date
// with time, or RFC 3339.
func parseWhen(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	text := s
	if days, ok := strings.CutSuffix(text, "d"); ok && !strings.ContainsAny(days, "hms") {
		text = days + "h"
		if d, err := time.ParseDuration(text); err == nil && d.Abs() <= math.MaxInt64/24 { // some 290 years
			return now.Add(-24 * d), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("%q is not a time: say 30m, 2h or 3d ago, 2026-03-30, or 2026-03-30T15:30:00Z", s)
}
