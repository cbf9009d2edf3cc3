package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJournal_KeepsTheLastWordOfEachRequest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j, err := createJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []entry{
		{State: stateSent, ID: 1, At: 10, Fact: 1, Kind: kindPush, Hash: "aa"},
		{State: stateSent, ID: 2, At: 20, Fact: 2, Kind: kindPlain, Hash: "bb"},
		{State: stateOK, ID: 2, At: 30, Status: 200, Delivery: "dlv_2"},
	} {
		if err := j.write(&e); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	got, err := readJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, q := range got {
		states = append(states, q.state+" "+q.dlv)
	}
	if diff := cmp.Diff([]string{"unknown ", "ok dlv_2"}, states); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestJournal_LeavesOutALineThatWasCutOff(t *testing.T) {
	got, err := scanJournal(strings.NewReader(`{"e":"sent","id":1,"t":5}` + "\n" + `{"e":"sent","id":2,"`))
	if err != nil || len(got) != 1 {
		t.Errorf("%d requests, %v", len(got), err)
	}
	if _, err := scanJournal(strings.NewReader(`{"e":"ok","id":1,"t":5}` + "\n")); err == nil {
		t.Error("an answer to nothing is taken")
	}
}

func TestBody_OfARepeatIsTheSame(t *testing.T) {
	cfg := LoadConfig{Seed: 3, Large: 0.5, LargeBytes: 1000, Months: 12}
	for _, kind := range []string{kindPush, kindKeyed, kindPlain, kindPoison} {
		f := fact{number: 12, kind: kind}
		first, again := cfg.body(f), cfg.body(f)
		if string(first) != string(again) {
			t.Errorf("%s differs", kind)
		}
		if has := strings.Contains(string(first), poisonMark); has != (kind == kindPoison) {
			t.Errorf("%s is poisoned: %v", kind, has)
		}
	}
}
