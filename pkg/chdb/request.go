package chdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	// maxStatement bounds the text of a statement; the data of an INSERT is
	// not part of it and has no bound here. The engine's own max_query_size
	// comes first unless the client raises it.
	maxStatement = 16 << 20
	// maxTables bounds the external tables of one request.
	maxTables = 64
)

// request is what an HTTP request asks for, in the engine's terms.
type request struct {
	sql      string
	params   []param
	settings map[string]string
	database string
	queryID  string

	insert *insert   // not nil: data follows
	data   io.Reader // the INSERT's data

	tables []table // external tables, in memory

	format      string // what the answer is written in
	revision    uint64 // of Native; 0: as the engine writes it
	compression string // LZ4 or ZSTD: the answer is in compressed blocks
	encoding    string // the answer's Content-Encoding
	wait        bool   // answer only when the query has ended
	readonly    bool
}

// table is an external table: it exists for one request.
type table struct {
	name, structure, format string
	data                    []byte
}

// notSettings are the URL parameters that are no settings. Users do not exist
// in this engine: who may call is decided in front of it.
var notSettings = map[string]bool{
	"query": true, "database": true, "default_format": true, "query_id": true, "quota_key": true,
	"user": true, "password": true, "role": true, "stacktrace": true, "buffer_size": true,
	"compress": true, "decompress": true, "wait_end_of_query": true, "client_protocol_version": true,
	"session_timeout": true, "session_check": true, "close_session": true, "readonly": true,
}

// parseRequest reads an HTTP request up to where an INSERT's data begins.
func parseRequest(r *http.Request) (*request, error) {
	query := r.URL.Query()
	q := &request{
		settings: map[string]string{},
		database: first(query.Get("database"), r.Header.Get("X-ClickHouse-Database")),
		queryID:  query.Get("query_id"),
		wait:     enabled(query.Get("wait_end_of_query")),
		readonly: r.Method == http.MethodGet || r.Method == http.MethodHead || enabled(query.Get("readonly")),
	}
	for name, values := range query {
		value := values[len(values)-1]
		switch {
		case strings.HasPrefix(name, "param_"):
			q.params = append(q.params, param{strings.TrimPrefix(name, "param_"), value})
		case name == "session_id" && value != "":
			return nil, newException(codeNotImplemented, "NOT_IMPLEMENTED", "Sessions do not exist in the embedded engine")
		case name == "allow_ddl":
			return nil, newException(codeNotImplemented, "NOT_IMPLEMENTED", "allow_ddl cannot be set: it could not be taken back")
		case notSettings[name] || name == "session_id" || isTableParam(name, query):
		default:
			if !isSettingName(name) {
				return nil, newException(115, "UNKNOWN_SETTING", fmt.Sprintf("Unknown setting %q", name))
			}
			q.settings[name] = value
		}
	}
	if q.queryID != "" {
		q.settings[logComment] = strings.TrimSpace(q.queryID + " " + q.settings[logComment])
	}
	if enabled(query.Get("compress")) {
		q.compression = strings.ToUpper(first(query.Get("network_compression_method"), "LZ4"))
	}
	if enabled(query.Get("enable_http_compression")) {
		q.encoding = acceptedEncoding(r.Header.Get("Accept-Encoding"))
	}
	if v := query.Get("client_protocol_version"); v != "" {
		revision, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return nil, newException(codeBadArguments, "BAD_ARGUMENTS", "client_protocol_version is not a number")
		}
		q.revision = revision
	}
	body, err := q.openBody(r, query)
	if err != nil {
		return nil, err
	}
	if err := q.readStatement(query.Get("query"), body); err != nil {
		return nil, err
	}
	if q.sql == "" {
		return nil, newException(codeSyntaxError, "SYNTAX_ERROR", "Syntax error: Empty query")
	}
	q.format = first(outputFormat(q.sql), query.Get("default_format"), r.Header.Get("X-ClickHouse-Format"), "TabSeparated")
	return q, nil
}

// openBody undoes the body's codings. The body of a multipart form holds the
// external tables and perhaps the query.
func (q *request) openBody(r *http.Request, query url.Values) (io.Reader, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	body, err := decodeContent(r.Body, r.Header.Get("Content-Encoding"))
	if err != nil {
		return nil, err
	}
	if kind, attrs, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "multipart/form-data" {
		return q.readForm(multipart.NewReader(body, attrs["boundary"]), query)
	}
	if enabled(query.Get("decompress")) {
		body = decompressBlocks(body)
	}
	return body, nil
}

// readForm takes external tables from a form, and the field `query` for a body.
func (q *request) readForm(form *multipart.Reader, query url.Values) (io.Reader, error) {
	var statement []byte
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return bytes.NewReader(statement), nil
		}
		if err != nil {
			return nil, newException(codeCannotParse, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", "Cannot read the form: "+err.Error())
		}
		data, err := readLimited(part, maxStatement)
		if err != nil {
			return nil, err
		}
		name := part.FormName()
		switch structure := query.Get(name + "_structure"); {
		case name == "query":
			statement = data
		case strings.HasPrefix(name, "param_"):
			q.params = append(q.params, param{strings.TrimPrefix(name, "param_"), string(data)})
		case structure != "" && len(q.tables) < maxTables:
			q.tables = append(q.tables, table{name, structure, first(query.Get(name+"_format"), "TabSeparated"), data})
		default:
			return nil, newException(codeBadArguments, "BAD_ARGUMENTS", fmt.Sprintf("Form field %q is neither the query nor a table with a %s_structure", name, name))
		}
	}
}

// readStatement finds the statement, which is in the URL, in the body or in
// both, and where the data of an INSERT begins.
func (q *request) readStatement(sql string, body io.Reader) error {
	if body == nil {
		body = strings.NewReader("")
	}
	if sql != "" {
		if ins := parseInsert(sql); ins != nil {
			q.insert, q.sql = ins, ins.head
			q.data = io.MultiReader(strings.NewReader(sql[ins.data:]), body)
			return nil
		}
		sql += "\n"
	}
	// An INSERT in the body is looked for in a first piece, so that its data
	// does not count as text of the statement.
	head, err := readUpTo(body, 64<<10)
	if err != nil {
		return err
	}
	if q.takeInsert(sql+string(head), body) {
		return nil
	}
	rest, err := readLimited(body, maxStatement-len(head))
	if err != nil {
		return err
	}
	text := sql + string(head) + string(rest)
	if !q.takeInsert(text, strings.NewReader("")) {
		q.sql = strings.TrimSpace(text)
	}
	return nil
}

// takeInsert takes the text as an INSERT with data, when it is one. Values
// with parameters in them are left to the engine, which finds the parameters.
func (q *request) takeInsert(text string, rest io.Reader) bool {
	ins := parseInsert(text)
	if ins == nil || ins.format == "Values" && len(q.params) > 0 {
		return false
	}
	q.insert, q.sql = ins, ins.head
	q.data = io.MultiReader(strings.NewReader(text[ins.data:]), rest)
	return true
}

// readUpTo reads n bytes or all there is.
func readUpTo(r io.Reader, n int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return nil, bodyError(err)
	}
	return b, nil
}

// readLimited reads everything, up to a limit.
func readLimited(r io.Reader, limit int) ([]byte, error) {
	b, err := readUpTo(r, limit+1)
	if err == nil && len(b) > limit {
		err = newException(codeQueryTooLarge, "QUERY_IS_TOO_LARGE", fmt.Sprintf("Query is longer than %d bytes", maxStatement))
	}
	return b, err
}

// bodyError makes what went wrong while reading a body an Exception.
func bodyError(err error) error {
	if _, ok := errors.AsType[*Exception](err); ok {
		return err
	}
	return newException(codeCannotParse, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", "Cannot read the request's body: "+err.Error())
}

// isTableParam says whether a URL parameter describes an external table.
func isTableParam(name string, query url.Values) bool {
	if strings.HasSuffix(name, "_structure") {
		return true
	}
	table, ok := strings.CutSuffix(name, "_format")
	return ok && query.Has(table+"_structure")
}

// isSettingName keeps anything but a name out of the SET statement.
func isSettingName(name string) bool {
	for i := range len(name) {
		if !isWordByte(name[i]) && name[i] != '.' || name[i] >= 0x80 {
			return false
		}
	}
	return name != ""
}

func enabled(v string) bool { return v != "" && v != "0" && !strings.EqualFold(v, "false") }

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
