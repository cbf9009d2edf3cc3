package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"whatchanged/pkg/client"
	"whatchanged/services/api"
)

// TestFuzz_NothingThatIsSentIsOurFault reads the OpenAPI document and sends
// every operation what it does not ask for: nothing is answered 500 or breaks
// the connection, and every refusal is problem+json that says what is wrong. A
// new operation is tried without a line here.
func TestFuzz_NothingThatIsSentIsOurFault(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *api.Deps, cfg *api.Config) { cfg.KeyRate, cfg.FailureRate = 0, 0 })
	f := &fuzzer{document: s.call("GET", "/openapi.json", "").json(t), ids: s.things()}
	requests := f.requests()
	if len(requests) < 500 {
		t.Fatalf("only %d requests: the document is not read as it should be", len(requests))
	}
	todo := make(chan fuzzRequest)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for r := range todo {
				if err := s.try(t.Context(), r); err != nil {
					t.Errorf("%s: %v", r, err)
				}
			}
		})
	}
	for _, r := range requests {
		todo <- r
	}
	close(todo)
	wg.Wait()
	t.Logf("%d requests", len(requests))
}

// things makes one of each thing that a path may name, and returns their ids by
// the path that lists them.
func (s *system) things() map[string]string {
	s.t.Helper()
	service, err := s.admin.CreateService(s.t.Context(), client.NewService{ID: "svc_fuzz", Name: "fuzz"})
	if err != nil {
		s.t.Fatal(err)
	}
	source, err := s.admin.CreateSource(s.t.Context(), client.NewSource{Name: "fuzz"})
	if err != nil {
		s.t.Fatal(err)
	}
	logged := s.log(s.admin, client.NewChange{Summary: "fuzz", ServiceID: service.ID})
	return map[string]string{
		"/api/v1/services":   service.ID,
		"/api/v1/sources":    source.ID,
		"/api/v1/changes":    logged.ID.String(),
		"/api/v1/deliveries": logged.Provenance.DeliveryID.String(),
	}
}

// fuzzRequest is a request that something is wrong with.
type fuzzRequest struct {
	method, path, query string
	header              map[string]string
	body                []byte
	parameter           string // the one query parameter there is; "" for none or several
}

func (r fuzzRequest) String() string {
	return fmt.Sprintf("%s %.200s?%.200s %v %.200q", r.method, r.path, r.query, r.header, r.body)
}

// try sends a request, and returns what is wrong with the answer.
func (s *system) try(ctx context.Context, f fuzzRequest) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, f.method, s.URL+f.path+"?"+f.query, bytes.NewReader(f.body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	if f.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range f.header {
		r.Header.Set(name, value)
	}
	res, err := s.Client().Do(r)
	if err != nil {
		return err // a panic closes the connection
	}
	defer res.Body.Close()
	if res.StatusCode < 400 {
		if res.Header.Get("Content-Type") != "application/json" {
			return nil // a stream, perhaps without end
		}
		var v any
		if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
			return fmt.Errorf("%d, and not JSON: %w", res.StatusCode, err)
		}
		return nil
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	return checkRefusal(f, res, text)
}

// checkRefusal says what a refusal does not say.
func checkRefusal(f fuzzRequest, res *http.Response, text []byte) error {
	var p struct {
		Title, Detail, Reason, Field string
		Status                       int
	}
	if err := json.Unmarshal(text, &p); err != nil || res.Header.Get("Content-Type") != "application/problem+json" {
		return fmt.Errorf("%d is not problem+json: %v %s", res.StatusCode, res.Header, text)
	}
	aboutField := strings.HasPrefix(p.Reason, "invalid_") || strings.HasPrefix(p.Reason, "unknown_")
	switch {
	case res.StatusCode >= 500:
		return fmt.Errorf("answered %d %s", res.StatusCode, text)
	case p.Status != res.StatusCode || p.Title == "" || p.Detail == "" || p.Reason == "":
		return fmt.Errorf("says too little: %s", text)
	case len(text) > 8<<10:
		return fmt.Errorf("says too much: %d bytes", len(text))
	case aboutField && p.Field == "":
		return fmt.Errorf("names no field: %s", text)
	case res.StatusCode == http.StatusBadRequest && f.parameter != "" && p.Field != f.parameter && f.parameter != "start_date": // it may be the end that is wrong then
		return fmt.Errorf("does not name the parameter %s: %s", f.parameter, text)
	}
	return nil
}

// fuzzer makes requests out of the document.
type fuzzer struct {
	document map[string]any
	ids      map[string]string
	random   *rand.Rand
}

// requests lists what is sent, operation by operation.
func (f *fuzzer) requests() []fuzzRequest {
	var out []fuzzRequest
	paths := object(f.document["paths"])
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		operations := object(paths[path])
		for _, method := range slices.Sorted(maps.Keys(operations)) {
			op := object(operations[method])
			method := strings.ToUpper(method)
			// The same requests in every run, whatever other operations there are.
			sum := fnv.New64a()
			sum.Write([]byte(method + path))
			f.random = rand.New(rand.NewPCG(sum.Sum64(), 1))
			out = append(out, f.plain(method, path)...)
			out = append(out, f.queries(method, path, op)...)
			out = append(out, f.bodies(method, path, op)...)
		}
	}
	return out
}

var inBraces = regexp.MustCompile(`\{[^}]*\}`)

// known is the path of something that is there, as far as we made it; what is
// to be deleted is not.
func (f *fuzzer) known(method, path string) string {
	if before, _, ok := strings.Cut(path, "/{"); ok && method != http.MethodDelete && f.ids[before] != "" {
		path = strings.Replace(path, inBraces.FindString(path), f.ids[before], 1)
	}
	return inBraces.ReplaceAllString(path, "x")
}

// plain are odd paths and headers.
func (f *fuzzer) plain(method, path string) []fuzzRequest {
	var body []byte
	if method != http.MethodGet && method != http.MethodDelete {
		body = []byte("{}")
	}
	out := []fuzzRequest{
		{method: method, path: f.known(method, path), body: body, header: map[string]string{"Authorization": ""}},
		{method: method, path: f.known(method, path), body: body, header: map[string]string{"Authorization": "Basic Og=="}},
		{method: method, path: f.known(method, path), body: body, header: map[string]string{"Authorization": "Bearer " + strings.Repeat("x", 5000)}},
		{method: method, path: f.known(method, path), body: body, header: map[string]string{"Accept": "application/xml;q=x, */", "Idempotency-Key": strings.Repeat("é", 500)}},
		{method: method, path: f.known(method, path), body: body, query: "%zz=1&%ff=2;x", header: map[string]string{}},
		{method: method, path: f.known(method, path), body: body, query: strings.Repeat("a=1&", 2000)},
		{method: method, path: f.known(method, path), body: body, query: "no_such_parameter=1", parameter: "no_such_parameter"},
	}
	if inBraces.MatchString(path) {
		for _, id := range []string{"%00", "%ff%fe", "..%2F..", "%20", strings.Repeat("x", 5000), "%F0%9F%92%A5", "svc_%27%20OR%201=1", "chg_" + strings.Repeat("0", 26)} {
			out = append(out, fuzzRequest{method: method, path: inBraces.ReplaceAllString(path, id), body: body})
		}
	}
	return out
}

// junk is what a query parameter is not: some of it is well formed for some.
var junk = []string{
	"", " ", "0", "-1", "1e400", "99999999999999999999999", "NaN", "true", "null", "[]", "{}", ",", ",,,", "a,b", "*", "**", "%", "\\", "'", "\"",
	"\x00", "\x01\x02\x1f", "\xff\xfe", "\xed\xa0\x80", "é", "💥", "\u202e", "a\tb\r\nc", "{org:String}", "' OR 1=1 --", "%s%n", "../../etc/passwd",
	"0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "-9999-01-01", "1969-12-31", "2026-02-30", "2026-03-30T15:30:00+99:99", "10000-01-01",
	"-5m", "1h", "9223372036854775807ns", "366d", "999999d", "1ns", "0x10", "1_000", "٣",
}

// queries are all parameters of an operation, each with some junk, and some together.
func (f *fuzzer) queries(method, path string, op map[string]any) []fuzzRequest {
	var out []fuzzRequest
	together := url.Values{}
	for _, parameter := range list(op["parameters"]) {
		p := object(parameter)
		if p["in"] != "query" {
			continue
		}
		name := p["name"].(string)
		values := []string{f.pick(junk), f.pick(junk), f.pick(junk), strings.Repeat(f.pick([]string{"x", "é", "1", ","}), 3000)}
		for _, value := range values {
			r := fuzzRequest{method: method, path: f.known(method, path), query: url.Values{name: {value}}.Encode(), parameter: name}
			if op["requestBody"] != nil {
				r.body = []byte("{}")
				r.parameter = "" // the body is wrong too
			}
			out = append(out, r)
		}
		together.Set(name, f.pick(junk))
		out = append(out, fuzzRequest{method: method, path: f.known(method, path), query: name + "=1&" + name + "=2"})
	}
	if len(together) > 0 {
		out = append(out, fuzzRequest{method: method, path: f.known(method, path), query: together.Encode()})
	}
	return out
}

// bodies are wrong bodies: not JSON, not of the type, and right but for one field.
func (f *fuzzer) bodies(method, path string, op map[string]any) []fuzzRequest {
	content := object(object(op["requestBody"])["content"])
	media, ok := content["application/json"]
	if !ok {
		return nil
	}
	var out []fuzzRequest
	add := func(body string, header map[string]string) {
		out = append(out, fuzzRequest{method: method, path: f.known(method, path), body: []byte(body), header: header})
	}
	schema := f.resolve(object(media)["schema"])
	right := f.value(schema, 0)
	text := marshal(right)
	for _, body := range []string{
		"", " ", "null", "true", "0", `"x"`, "[]", "{", "}", "{]", `{"a"}`, `{"":0}`, text + text, text + "x", "\xef\xbb\xbf" + text, "\xff\xfe{\x00}\x00",
		strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 20_000), strings.Repeat("[", 500) + strings.Repeat("]", 500),
		`{"a":` + strings.Repeat("9", 50_000) + `}`, `[` + text + `,` + text + `]`, `{"__proto__":{"x":1}}`, strings.Repeat(" ", 2<<20),
	} {
		add(body, nil)
	}
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/cbor", "application/json; charset=utf-16", ";", "x"} {
		add(text, map[string]string{"Content-Type": kind})
	}
	add(text, map[string]string{"Content-Encoding": "gzip"})
	base, _ := right.(map[string]any)
	properties := object(schema["properties"])
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		for range 4 {
			wrong := maps.Clone(base)
			wrong[name] = "@@"
			// Not by way of Go's values: not all of it can be one.
			add(strings.Replace(marshal(wrong), `"@@"`, f.pick(oddJSON), 1), nil)
		}
		// Something right in form, in the wrong place or too much of it.
		wrong := maps.Clone(base)
		wrong[name] = f.value(f.resolve(properties[f.pick(slices.Sorted(maps.Keys(properties)))]), 0)
		add(marshal(wrong), nil)
		without := maps.Clone(base)
		delete(without, name)
		add(marshal(without), nil)
	}
	return out
}

// oddJSON are values that few fields take.
var oddJSON = []string{
	`null`, `true`, `0`, `-1`, `1.5`, `1e400`, `-1e-400`, `99999999999999999999999999`, `""`, `" "`, `"\u0000"`, `"\ud800"`, `"\udfff\ud800"`, `"a\u0000b\u001f"`,
	"\"\xff\xfe\"", `"\u202e💥"`, `[]`, `[null]`, `[[[]]]`, `{}`, `{"":null}`, `{"a":{"b":{"c":[1,"x",null]}}}`, `[1,"x",{}]`, `"0001-01-01T00:00:00Z"`,
	`"9999-12-31T23:59:59Z"`, `"javascript:alert(1)"`, `"*"`, `["*"]`, `["",""]`, `{"a":1e400}`, `{"a":"\ud800"}`,
	`"` + strings.Repeat("x", 30_000) + `"`, `[` + strings.Repeat(`"x",`, 5000) + `"x"]`, strings.Repeat(`[`, 300) + strings.Repeat(`]`, 300),
	strings.Repeat(`{"a":`, 300) + `1` + strings.Repeat(`}`, 300), `@@`,
}

// value makes a value that a schema allows, as far as the schema says.
func (f *fuzzer) value(schema map[string]any, depth int) any {
	if example := list(schema["examples"]); len(example) > 0 {
		return example[0]
	}
	if values := list(schema["enum"]); len(values) > 0 {
		return values[f.random.IntN(len(values))]
	}
	for _, choice := range []string{"oneOf", "anyOf", "allOf"} {
		if options := list(schema[choice]); len(options) > 0 {
			return f.value(f.resolve(options[0]), depth)
		}
	}
	switch kind := schema["type"]; {
	case kind == "object" || schema["properties"] != nil:
		out := map[string]any{}
		properties := object(schema["properties"])
		required := list(schema["required"])
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			if depth < 4 && (slices.Contains(required, any(name)) || f.random.IntN(3) == 0) {
				out[name] = f.value(f.resolve(properties[name]), depth+1)
			}
		}
		return out
	case is(kind, "array"):
		return []any{f.value(f.resolve(schema["items"]), depth+1)}
	case is(kind, "integer"), is(kind, "number"):
		return 1
	case is(kind, "boolean"):
		return true
	case schema["format"] == "date-time":
		return "2026-03-30T15:30:00Z"
	default:
		return "word"
	}
}

// is reports whether a schema's type is, or may be, this one.
func is(kind any, want string) bool { return kind == want || slices.Contains(list(kind), any(want)) }

// resolve follows a schema's reference.
func (f *fuzzer) resolve(schema any) map[string]any {
	s := object(schema)
	if ref, ok := s["$ref"].(string); ok {
		name := ref[strings.LastIndexByte(ref, '/')+1:]
		return object(object(object(f.document["components"])["schemas"])[name])
	}
	return s
}

func (f *fuzzer) pick(from []string) string { return from[f.random.IntN(len(from))] }

// object and list read the document; what is not there is empty.
func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of what was read from JSON
	}
	return string(b)
}
