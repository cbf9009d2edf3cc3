package api

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// exportWrite is how long a reader may take nothing before its export is cut.
const exportWrite = 30 * time.Second

type exportInput struct {
	OneService
	Filter
	Range
	Selection
	AsOf   timeParam `query:"as_of" doc:"Only what was recorded by then"`
	Format string    `query:"format" doc:"ndjson: a change on each line, as JSON; csv: a table" enum:"ndjson,csv" default:"ndjson"`
}

type exportOutput struct{ Body func(huma.Context) }

func (a *API) registerExport() {
	register(a, huma.Operation{
		OperationID: "export-changes", Method: http.MethodGet, Path: "/api/v1/changes/export", Tags: []string{"changes"},
		Summary: "Export changes",
		Description: "Every change that matches, oldest first, as a file of any size. It is sent while it is read: when something " +
			"breaks half way, the connection is cut, and the client sees that the answer is incomplete. With `Accept-Encoding: gzip` it is compressed. " +
			"In CSV, tags are separated by semicolons, and a cell that a spreadsheet would take for a formula begins with an apostrophe.",
		Responses: map[string]*huma.Response{"200": {
			Description: "The changes", Content: map[string]*huma.MediaType{
				formats["ndjson"].mediaType: {Schema: &huma.Schema{Type: huma.TypeString}},
				formats["csv"].mediaType:    {Schema: &huma.Schema{Type: huma.TypeString}},
			},
		}},
	}, auth.ChangesRead, a.exportChanges)
}

// exportChanges serves GET /api/v1/changes/export.
func (a *API) exportChanges(ctx context.Context, in *exportInput) (*exportOutput, error) {
	if err := in.Range.check(); err != nil {
		return nil, err
	}
	if err := in.Selection.check(); err != nil {
		return nil, err
	}
	p, _ := auth.PrincipalFrom(ctx)
	filter, err := in.Filter.filter(p.Org, in.ServiceID)
	if err != nil {
		return nil, err
	}
	filter.Start, filter.End, filter.AsOf = in.Start.Time, in.End.Time, in.AsOf.Time
	leave, err := a.exports.enter(p.KeyID)
	if err != nil {
		return nil, err
	}
	return &exportOutput{Body: func(ctx huma.Context) {
		defer leave()
		r, w := humago.Unwrap(ctx)
		a.export(w, r, in, func(row func(change.Change) error) error {
			return a.Store.Export(r.Context(), filter, row)
		})
	}}, nil
}

// export answers with the changes that rows calls its function with. An error
// before the first is told; after it, the connection breaks: that is the only
// way to say that what was sent is not the whole.
func (a *API) export(w http.ResponseWriter, r *http.Request, in *exportInput, rows func(func(change.Change) error) error) {
	out := &exportWriter{answer: w, request: r, form: formats[in.Format], selection: in.Selection}
	if r.Method == http.MethodHead { // net/http would throw the rows away
		out.begin()
		return
	}
	err := rows(out.write)
	if err == nil {
		err = out.end()
	}
	switch {
	case err == nil:
	case !out.begun:
		problem.Write(w, a.told(r.Context(), "export-changes", err))
	default:
		a.log.Warn("export broken off", "error", err, "reader_left", r.Context().Err() != nil)
		panic(http.ErrAbortHandler)
	}
}

// exportWriter writes an export's answer.
type exportWriter struct {
	answer    http.ResponseWriter
	request   *http.Request
	form      exportFormat
	selection Selection

	begun bool
	put   func(change.Change) error
	close []func() error // from the outermost writer to the innermost
}

// begin writes the headers.
func (e *exportWriter) begin() {
	e.begun = true
	h := e.answer.Header()
	h.Set("Content-Type", e.form.mediaType)
	h.Set("Content-Disposition", `attachment; filename="changes.`+e.form.extension+`"`)
	h.Set("Vary", "Accept-Encoding")
	var w io.Writer = patient{e.answer, http.NewResponseController(e.answer)}
	if acceptsGzip(e.request.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		zip, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is one there is
		w, e.close = zip, []func() error{zip.Close}
	}
	buffer := bufio.NewWriterSize(w, exportPiece)
	put, flush := e.form.writer(buffer, e.selection)
	e.put, e.close = put, append([]func() error{flush, buffer.Flush}, e.close...)
}

func (e *exportWriter) write(c change.Change) error {
	if !e.begun {
		e.begin()
	}
	return e.put(c)
}

func (e *exportWriter) end() error {
	if !e.begun {
		e.begin()
	}
	for _, close := range e.close {
		if err := close(); err != nil {
			return fmt.Errorf("end the export: %w", err)
		}
	}
	return nil
}

// patient gives every write its own time: the whole may take long.
type patient struct {
	w       io.Writer
	control *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(exportWrite)); err != nil {
		return 0, fmt.Errorf("set write deadline: %w", err)
	}
	return p.w.Write(b)
}

// acceptsGzip reads an Accept-Encoding header.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(strings.ToLower(header), ",") {
		name, parameter, _ := strings.Cut(part, ";")
		if name = strings.TrimSpace(name); name != "gzip" && name != "*" {
			continue
		}
		weight := strings.ReplaceAll(parameter, " ", "")
		return strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" || weight == ""
	}
	return false
}

// exportFormat is a form that an export may have. writer returns what writes a
// change, and what writes the rest at the end.
type exportFormat struct {
	mediaType, extension string
	writer               func(io.Writer, Selection) (put func(change.Change) error, flush func() error)
}

var formats = map[string]exportFormat{
	"ndjson": {"application/x-ndjson", "ndjson", ndjsonWriter},
	"csv":    {"text/csv; charset=utf-8", "csv", csvWriter},
}

// exportPiece is how much is gathered before it is written.
const exportPiece = 32 << 10

func ndjsonWriter(w io.Writer, s Selection) (func(change.Change) error, func() error) {
	put := func(c change.Change) error {
		line, err := json.Marshal(s.of(c))
		if err != nil {
			return fmt.Errorf("write change %s: %w", c.ID, err)
		}
		_, err = w.Write(append(line, '\n'))
		return err
	}
	return put, func() error { return nil }
}

// column is a column of the table: a field, or a part of one.
type column struct {
	name, field string
	text        func(*change.Change) string
}

var columns = []column{
	{"id", "id", func(c *change.Change) string { return c.ID.String() }},
	{"occurred_at", "occurred_at", func(c *change.Change) string { return c.OccurredAt.String() }},
	{"created_at", "created_at", func(c *change.Change) string { return c.CreatedAt.String() }},
	{"change_type", "change_type", func(c *change.Change) string { return string(c.Type) }},
	{"action", "action", func(c *change.Change) string { return c.Action }},
	{"status", "status", func(c *change.Change) string { return string(c.Status) }},
	{"summary", "summary", func(c *change.Change) string { return c.Summary }},
	{"description", "description", func(c *change.Change) string { return c.Description }},
	{"service_id", "service_id", func(c *change.Change) string { return c.ServiceID }},
	{"service_name", "service_name", func(c *change.Change) string { return c.ServiceName }},
	{"source", "source", func(c *change.Change) string { return c.Source }},
	{"environment", "environment", func(c *change.Change) string { return c.Environment }},
	{"risk_level", "risk_level", func(c *change.Change) string { return string(c.Risk) }},
	{"risk_hints", "risk_hints", func(c *change.Change) string { return strings.Join(c.RiskHints, ";") }},
	{"changed_by", "changed_by", func(c *change.Change) string { return c.ChangedBy }},
	{"actor_id", "actor", func(c *change.Change) string { return c.Actor.ID }},
	{"actor_name", "actor", func(c *change.Change) string { return c.Actor.Name }},
	{"actor_type", "actor", func(c *change.Change) string { return c.Actor.Type }},
	{"resource_type", "resource", func(c *change.Change) string { return c.Resource.Type }},
	{"resource_id", "resource", func(c *change.Change) string { return c.Resource.ID }},
	{"resource_name", "resource", func(c *change.Change) string { return c.Resource.Name }},
	{"resource_url", "resource", func(c *change.Change) string { return c.Resource.URL }},
	{"repository", "repository", func(c *change.Change) string { return c.Repository }},
	{"commit_sha", "commit_sha", func(c *change.Change) string { return c.CommitSHA }},
	{"commit_message", "commit_message", func(c *change.Change) string { return c.CommitMessage }},
	{"branch", "branch", func(c *change.Change) string { return c.Branch }},
	{"version", "version", func(c *change.Change) string { return c.Version }},
	{"pr_number", "pr_number", func(c *change.Change) string { return c.PRNumber }},
	{"pr_url", "pr_url", func(c *change.Change) string { return c.PRURL }},
	{"pipeline_url", "pipeline_url", func(c *change.Change) string { return c.PipelineURL }},
	{"account", "account", func(c *change.Change) string { return c.Account }},
	{"region", "region", func(c *change.Change) string { return c.Region }},
	{"external_id", "external_id", func(c *change.Change) string { return c.ExternalID }},
	{"correlation_id", "correlation_id", func(c *change.Change) string { return c.CorrelationID }},
	{"session_id", "session_id", func(c *change.Change) string { return c.SessionID }},
	{"tags", "tags", func(c *change.Change) string { return strings.Join(c.Tags, ";") }},
	{"metadata", "metadata", func(c *change.Change) string { return string(c.Metadata) }},
	{"source_id", "provenance", func(c *change.Change) string { return c.Provenance.SourceID }},
	{"delivery_id", "provenance", func(c *change.Change) string { return c.Provenance.DeliveryID.String() }},
	{"provider", "provenance", func(c *change.Change) string { return c.Provenance.Provider }},
}

func csvWriter(w io.Writer, s Selection) (func(change.Change) error, func() error) {
	shown := columns
	if len(s.Fields) > 0 {
		shown = slices.DeleteFunc(slices.Clone(columns), func(c column) bool { return !slices.Contains(s.Fields, c.field) })
	}
	table := csv.NewWriter(w)
	cells := make([]string, len(shown))
	for i, c := range shown {
		cells[i] = c.name
	}
	_ = table.Write(cells) // its error stays, and comes with the next write or the flush
	put := func(c change.Change) error {
		for i := range shown {
			cells[i] = harmless(shown[i].text(&c))
		}
		return table.Write(cells)
	}
	return put, func() error {
		table.Flush()
		return table.Error()
	}
}

// harmless keeps a spreadsheet from taking what somebody else wrote for a
// formula, which may send the table's other cells away.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

// slots counts what runs, in all and for each key.
type slots struct {
	most, mostOfKey int

	mu    sync.Mutex
	all   int
	byKey map[string]int
}

func newSlots(most, mostOfKey int) *slots {
	return &slots{most: most, mostOfKey: mostOfKey, byKey: map[string]int{}}
}

// enter takes a slot, until leave is called.
func (s *slots) enter(keyID string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey[keyID] >= s.mostOfKey {
		e := problem.New(problem.RateLimited, "too_many_exports", "this key has as many exports running as it may; wait for one to end")
		e.RetryAfter = 10 * time.Second
		return nil, e
	}
	if s.all >= s.most {
		return nil, problem.BusyFor(10*time.Second, "too_many_exports", "the server has as many exports running as it may; try later", nil)
	}
	s.all++
	s.byKey[keyID]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.byKey[keyID]--; s.byKey[keyID] == 0 {
			delete(s.byKey, keyID)
		}
	}, nil
}
