package gcp

import (
	"testing"

	"whatchanged/normalizers/normtest"
	"whatchanged/pkg/change"
)

const page = "../../docs/providers/gcp.md"

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// outcome is the type, or why there is no change.
func outcome(typ change.Type, ignore string) string {
	if ignore != "" {
		return "ignored: " + ignore
	}
	return code(string(typ))
}

func TestDocument_ShowsTheMethods(t *testing.T) {
	var rows [][]string
	for _, m := range methods {
		closer := ""
		if m.look != nil {
			closer = "the request may tell more"
		}
		rows = append(rows, []string{code(m.service), m.methods, outcome(m.typ, ""), code(m.hint), closer})
	}
	for _, v := range verbs {
		rows = append(rows, []string{"any", "starts with " + v.words, outcome(v.typ, ""), code(v.hint), ""})
	}
	rows = append(rows, []string{"any", "any other", code(string(change.Other)), "", ""})
	normtest.Document(t, page, "methods", normtest.Table([]string{"service", "method", "type", "hint", ""}, rows))
}

func TestDocument_ShowsTheSigns(t *testing.T) {
	var rows [][]string
	for _, s := range signs {
		rows = append(rows, []string{s.says, code(s.body), code(s.hint)})
	}
	normtest.Document(t, page, "signs", normtest.Table([]string{"what it means", "in the request", "hint"}, rows))
}

func TestDocument_ShowsCloudDeploy(t *testing.T) {
	var rows [][]string
	for _, d := range deliveries {
		rows = append(rows, []string{d.kind, d.action, outcome(d.typ, d.ignore), string(d.status)})
	}
	normtest.Document(t, page, "deploy", normtest.Table([]string{"ResourceType", "Action", "becomes", "status"}, rows))
}

func TestDocument_ShowsGKE(t *testing.T) {
	var rows [][]string
	for _, n := range notifications {
		says := n.says
		if n.ignore != "" {
			says = "ignored: " + n.ignore
		}
		rows = append(rows, []string{code(n.kind), says})
	}
	normtest.Document(t, page, "gke", normtest.Table([]string{"event", "becomes"}, rows))
}
