package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReport_AddsUpRoundsAndNamesWhatFailed(t *testing.T) {
	dir := t.TempDir()
	for i, r := range []result{
		{Fault: "kill", Strikes: 5, verdict: verdict{Acknowledged: 1000}, RecoveryP50: 800, RecoveryMax: 1200},
		{Fault: "kill", Strikes: 5, verdict: verdict{Acknowledged: 500, Lost: 2, Violations: []string{"request 7 is not there"}}, RecoveryP50: 900, RecoveryMax: 1500},
		{Fault: "term", Strikes: 3, verdict: verdict{Acknowledged: 10}, Error: "it did not end"},
	} {
		r.Date, r.Seed, r.Commit = time.Date(2026, 3, 1+i, 0, 0, 0, 0, time.UTC), uint64(i+1), "abc"
		if err := keep(dir, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeReport(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"3 rounds, 13 strikes, 1510 requests acknowledged; from 2026-03-01 to 2026-03-03",
		"Violations: **2**, in 2 failed rounds",
		"| kill | 2 | 10 | 1500 | 0 | 2 | 0 | 0 | 0 | 0 | 1 | 900 | 1500 | 0 |",
		"`kill`, seed 2, code abc: request 7 is not there",
		"`term`, seed 3, code abc: it did not end",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	picture, err := os.Open(filepath.Join(dir, "plot.svg"))
	if err != nil {
		t.Fatal(err)
	}
	defer picture.Close()
	for dec := xml.NewDecoder(picture); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the plot is no XML: %v", err)
		}
	}
}
