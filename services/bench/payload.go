package bench

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// payload is what one kind of request carries, before it is made unique.
type payload struct {
	name   string
	header [][2]string
	body   template
}

//go:embed payload/push.json
var pushBody []byte

const (
	freshText      = 1024     // bytes of new text in every request, at least
	maxPayload     = 1 << 20  // of a file of --payloads; larger ones are left out
	maxAllPayloads = 64 << 20 // of all of them together
)

// builtIn returns the payload that is used without --payloads: a push as
// GitHub sends it, 6.7 KB, with every name in it made up.
func builtIn() ([]payload, error) {
	p := payload{name: "github push", header: [][2]string{
		{"User-Agent", "GitHub-Hookshot/bench"},
		{"X-GitHub-Event", "push"},
		{"X-GitHub-Hook-ID", "400000000"},
		{"X-GitHub-Delivery", uuidLayout},
	}}
	if err := p.body.addMarked(bytes.TrimSpace(pushBody)); err != nil {
		return nil, fmt.Errorf("built-in payload: %w", err)
	}
	return []payload{p}, nil
}

// logged returns a request that logs changes by the API: one, or as many at
// once.
func logged(key string, changes int) []payload {
	p := payload{name: "changes", header: [][2]string{{"Authorization", "Bearer " + key}}}
	one := func(i int) {
		p.body.literal([]byte(`{"summary":"Deploy v2.1.0 to production","change_type":"deployment","environment":"production","repository":"acme/gateway",` +
			`"commit_sha":"0000000000000000000000000000000000000000","changed_by":"jane.doe","tags":["billing","release"],"description":"`))
		p.body.place(kindText, "note "+strconv.Itoa(i), 16)
		p.body.literal([]byte(`"}`))
	}
	if changes == 1 {
		one(0)
		return []payload{p}
	}
	p.body.literal([]byte(`{"data":[`))
	for i := range changes {
		if i > 0 {
			p.body.literal([]byte(","))
		}
		one(i)
	}
	p.body.literal([]byte(`]}`))
	return []payload{p}
}

// indexed is an entry of an index.json beside the payloads.
type indexed struct {
	File    string            `json:"file"`
	Headers map[string]string `json:"headers"`
}

// readPayloads reads every *.json file under dir. An index.json beside the
// files ([{"file", "headers"}, ...]) gives the headers they are sent with. It
// leaves out what is not JSON with an object in it, and says how many.
func readPayloads(dir string) (payloads []payload, skipped int, err error) {
	var total int64
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" || d.Name() == "index.json" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if total += info.Size(); info.Size() > maxPayload || total > maxAllPayloads {
			skipped++
			return nil
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		p, ok := uniquePayload(path, body)
		if !ok {
			skipped++
			return nil
		}
		payloads = append(payloads, p)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read payloads: %w", err)
	}
	if len(payloads) == 0 {
		return nil, 0, fmt.Errorf("read payloads: no usable *.json under %s", dir)
	}
	if err := addHeaders(payloads); err != nil {
		return nil, 0, err
	}
	return payloads, skipped, nil
}

// uniquePayload prepares a file's body: its ids, shas and times become slots,
// and its first object gains a member with fresh text, which readers of known
// payloads pass over.
func uniquePayload(name string, body []byte) (payload, bool) {
	p := payload{name: name}
	body = bytes.TrimSpace(body)
	if !json.Valid(body) || body[0] != '{' && body[0] != '[' {
		return p, false
	}
	open := bytes.IndexByte(body, '{')
	if open < 0 || bytes.ContainsRune(body[:open], '"') {
		return p, false
	}
	p.body.literal(body[:open+1])
	p.body.literal([]byte(`"bench_note":"`))
	p.body.place(kindText, "note", freshText)
	p.body.literal([]byte(`"`))
	if rest := bytes.TrimSpace(body[open+1:]); rest[0] != '}' {
		p.body.literal([]byte(","))
	}
	p.body.addFound(body[open+1:])
	return p, true
}

// addHeaders gives the payloads the headers that the index beside them names.
func addHeaders(payloads []payload) error {
	indexes := map[string]map[string]indexed{}
	for i := range payloads {
		p := &payloads[i]
		dir, file := filepath.Split(p.name)
		index, read := indexes[dir]
		if !read {
			var err error
			if index, err = readIndex(filepath.Join(dir, "index.json")); err != nil {
				return err
			}
			indexes[dir] = index
		}
		header := index[file].Headers
		for _, name := range slices.Sorted(maps.Keys(header)) {
			switch strings.ToLower(name) {
			case "host", "content-length", "content-type", "connection", "transfer-encoding", "x-hub-signature-256":
				continue // ours
			}
			p.header = append(p.header, [2]string{name, header[name]})
		}
	}
	return nil
}

func readIndex(path string) (map[string]indexed, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read payloads: %w", err)
	}
	var entries []indexed
	if err := json.Unmarshal(b, &entries); err != nil {
		return nil, fmt.Errorf("read payloads: %s: %w", path, err)
	}
	index := make(map[string]indexed, len(entries))
	for _, e := range entries {
		index[e.File] = e
	}
	return index, nil
}

// payloadsFrom returns the payloads of a directory, or the built-in one.
func payloadsFrom(dir string) (payloads []payload, skipped int, err error) {
	if dir != "" {
		return readPayloads(dir)
	}
	payloads, err = builtIn()
	return payloads, 0, err
}
