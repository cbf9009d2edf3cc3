package generic

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"whatchanged/normalizers"
	"whatchanged/normalizers/normtest"
	"whatchanged/pkg/change"
)

const pages = "../../docs/providers/"

func TestDocument_NamesThatAreRead(t *testing.T) {
	fields := []struct{ name, field string }{
		{"time", "occurred_at"}, {"actor", "changed_by, actor"}, {"action", "action"}, {"headline", "summary"}, {"description", "description"}, {"status", "status"},
		{"environment", "environment"}, {"version", "version"}, {"commit", "commit_sha"}, {"message", "commit_message"}, {"repository", "repository"}, {"branch", "branch"},
		{"service", "service_name"}, {"pipeline", "pipeline_url"}, {"link", "resource.url"}, {"pr", "pr_number"}, {"prURL", "pr_url"}, {"resource", "resource.id"}, {"name", "resource.name"},
		{"kind", "resource.type"}, {"account", "account"}, {"region", "region"}, {"risk", "risk_level"}, {"typ", "change_type"}, {"tags", "tags"}, {"external", "external_id"},
		{"correlation", "correlation_id"}, {"session", "session_id"},
	}
	var rows [][]string
	for _, f := range fields {
		names := reflect.ValueOf(usual).FieldByName(f.name).String()
		if names == "" {
			t.Errorf("no names for %s", f.name)
		}
		rows = append(rows, []string{f.field, "`" + strings.Join(strings.Fields(names), "`, `") + "`"})
	}
	normtest.Document(t, pages+"generic.md", "names", normtest.Table([]string{"field", "names, first to last"}, rows))
}

// The pages show what becomes of the cases in testdata.
func TestDocument_WhatBecomesOfWhat(t *testing.T) {
	watching := []string{"pagerduty", "opsgenie", "alertmanager", "grafana", "datadog", "sentry", "statuspage", "launchdarkly", "unleash"}
	tables := make(map[string][][]string)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		provider := providerOfCase(t, archive)
		page := "ci.md"
		if provider == normalizers.Generic {
			page = "generic.md"
		} else if slices.Contains(watching, provider) {
			page = "alerts.md"
		}
		what := strings.TrimSpace(strings.ReplaceAll(string(archive.Comment), "\n", " "))
		for i, outcome := range outcomes(t, archive) {
			if i > 0 {
				what = ""
			}
			tables[page] = append(tables[page], append([]string{"`" + provider + "`", what}, outcome...))
		}
	}
	for _, page := range []string{"ci.md", "alerts.md", "generic.md"} {
		slices.SortStableFunc(tables[page], func(a, b []string) int { return strings.Compare(a[0], b[0]) })
		normtest.Document(t, pages+page, "events", normtest.Table([]string{"provider", "what comes", "type", "status", "summary, or why it is ignored"}, tables[page]))
	}
}

func providerOfCase(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	var body []byte
	var headers []string
	for _, f := range archive.Files {
		switch f.Name {
		case "body.json":
			body = f.Data
		case "headers":
			for line := range strings.Lines(string(f.Data)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
				headers = append(headers, name, strings.TrimSpace(value))
			}
		}
	}
	return normtest.Records(t, body, headers...)[0].Provider
}

// outcomes are type, status and summary of what comes out of a case.
func outcomes(t *testing.T, archive *txtar.Archive) (rows [][]string) {
	t.Helper()
	for _, f := range archive.Files {
		if f.Name != "want.json" {
			continue
		}
		var changes []change.Change
		var none struct{ Ignored string }
		if json.Unmarshal(f.Data, &none) == nil {
			return [][]string{{"ignored", "", none.Ignored}}
		}
		if err := json.Unmarshal(f.Data, &changes); err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			rows = append(rows, []string{string(c.Type), string(c.Status), c.Summary})
		}
	}
	return rows
}
