package gcp

import (
	"testing"

	"whatchanged/normalizers/normtest"
	"whatchanged/pkg/change"
)

const page = "../../docs/providers/gcp.md"

func TestDocument_ShowsTheMethods(t *testing.T) {
	var rows [][]string
	for _, m := range methods {
		closer := ""
		if m.look != nil {
			closer = "the request may tell more"
		}
		rows = append(rows, []string{normtest.Code(m.service), m.methods, normtest.Outcome(m.typ, ""), normtest.Code(m.hint), closer})
	}
	for _, v := range verbs {
		rows = append(rows, []string{"any", "starts with " + v.words, normtest.Outcome(v.typ, ""), normtest.Code(v.hint), ""})
	}
	rows = append(rows, []string{"any", "any other", normtest.Code(string(change.Other)), "", ""})
	normtest.Document(t, page, "methods", normtest.Table([]string{"service", "method", "type", "hint", ""}, rows))
}

func TestDocument_ShowsTheSigns(t *testing.T) {
	var rows [][]string
	for _, s := range signs {
		rows = append(rows, []string{s.says, normtest.Code(s.body), normtest.Code(s.hint)})
	}
	normtest.Document(t, page, "signs", normtest.Table([]string{"what it means", "in the request", "hint"}, rows))
}

func TestDocument_ShowsCloudDeploy(t *testing.T) {
	var rows [][]string
	for _, d := range deliveries {
		rows = append(rows, []string{d.kind, d.action, normtest.Outcome(d.typ, d.ignore), string(d.status)})
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
		rows = append(rows, []string{normtest.Code(n.kind), says})
	}
	normtest.Document(t, page, "gke", normtest.Table([]string{"event", "becomes"}, rows))
}
