package github

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// bodies returns the bodies of the golden cases that are JSON, by file.
func bodies(t *testing.T) map[string]testBody {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	list := make(map[string]testBody)
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var b testBody
		for _, f := range archive.Files {
			switch f.Name {
			case "headers":
				for line := range bytes.Lines(f.Data) {
					if name, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("X-GitHub-Event: ")); ok {
						b.event = string(name)
					}
				}
			case "body.json":
				b.json = f.Data
			}
		}
		if json.Valid(b.json) && isObject(b.json) {
			list[file] = b
		}
	}
	return list
}

type testBody struct {
	event string
	json  []byte
}

func TestPrune_ChangesNothing(t *testing.T) {
	for file, b := range bodies(t) {
		t.Run(filepath.Base(file), func(t *testing.T) { samePruned(t, b.event, b.json) })
	}
}

// The corpus has what the cases leave out: all of GitHub's links.
func TestPrune_ChangesNothingInTheCorpus(t *testing.T) {
	dir := corpusDir(t)
	for _, e := range corpusIndex(t) {
		body, err := os.ReadFile(filepath.Join(dir, e.File))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(e.File, func(t *testing.T) { samePruned(t, e.Headers["X-GitHub-Event"], body) })
	}
}

// samePruned makes the change of a payload with and without pruning.
func samePruned(t *testing.T, event string, body []byte) {
	t.Helper()
	if event == "" {
		event = eventOf(body)
	}
	if events[event].ignored != "" {
		return
	}
	if out := prune(body); !json.Valid(out) {
		t.Fatalf("not JSON any more: %.300s", out)
	}
	whole, err := made(event, body, false)
	if err != nil {
		t.Fatal(err)
	}
	pruned, err := made(event, body, true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(whole, pruned); diff != "" {
		t.Errorf("-whole +pruned:\n%s", diff)
	}
}

func made(event string, body []byte, pruned bool) (change.Change, error) {
	b, err := build(event, body, pruned)
	if err != nil {
		return change.Change{}, err
	}
	return b.finish(), nil
}

func TestPrune_LeavesTheSendersOwnWords(t *testing.T) {
	const body = ` { "action" : "x" , "client_payload":{"url":"a\"b\\","node_id":[1,{"repo":{}}]},
		"repository":{"id":1,"teams_url":"https://x","forks":0,"owner":{"login":"acme","url":"u"}},
		"widget":[{"node_id":"1"},{"repo":{"a":1},"name":"\\\"}"},true,-1.5e3] } `
	const want = `{"action":"x","client_payload":{"url":"a\"b\\","node_id":[1,{"repo":{}}]},` +
		`"repository":{"id":1,"owner":{"login":"acme"}},` +
		`"widget":[{},{"name":"\\\"}"},true,-1.5e3]}`
	if diff := cmp.Diff(want, string(prune([]byte(body)))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPrune_CutsLongTextsBetweenCharacters(t *testing.T) {
	for _, unit := range []string{"a", "é", `\n`, `\\`, `\"`, `\u00e9`, `\ud83d\ude00`, "日本"} {
		for shift := range 8 {
			body := `{"b":"` + strings.Repeat("x", shift) + strings.Repeat(unit, 2*maxPruneText/len(unit)) + `","inputs":{"c":1}}`
			out := prune([]byte(body))
			if !json.Valid(out) || !utf8.Valid(out) || len(out) > maxPruneText+100 || !strings.HasSuffix(string(out), `…","inputs":{"c":1}}`) {
				t.Fatalf("%q, %d: %d bytes, ends in %q", unit, shift, len(out), out[max(0, len(out)-40):])
			}
		}
	}
}

func FuzzPrune(f *testing.F) {
	f.Add([]byte(`{"a":[1,"\\",{"repo":null}]}`))
	f.Add([]byte(`{"repository":{"id":{},"x_url":[]},"inputs":{"url":"\""}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if normalizers.CheckJSON(body) != nil || !isObject(body) {
			return
		}
		if out := prune(body); !json.Valid(out) {
			t.Errorf("%q became %q", body, out)
		}
	})
}
