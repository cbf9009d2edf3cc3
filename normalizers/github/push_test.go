package github

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-github/v60/github"
	"golang.org/x/tools/txtar"
)

func TestDecodePush_ReadsWhatGoGitHubReads(t *testing.T) {
	files, err := filepath.Glob("testdata/push_*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no pushes", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if f.Name != "body.json" || !json.Valid(f.Data) {
				continue
			}
			theirs := new(github.PushEvent)
			if err := json.Unmarshal(f.Data, theirs); err != nil {
				t.Fatal(err)
			}
			make := func(p *github.PushEvent) any {
				return newBuilder("push", f.Data, p).finish()
			}
			if diff := cmp.Diff(make(theirs), make(decodePush(f.Data))); diff != "" {
				t.Errorf("%s (-go-github +ours):\n%s", file, diff)
			}
		}
	}
}
