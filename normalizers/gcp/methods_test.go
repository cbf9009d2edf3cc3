package gcp

import (
	"strings"
	"testing"

	"whatchanged/pkg/change"
)

func TestMethods_EveryRowIsReached(t *testing.T) {
	for i := range methods {
		row := &methods[i]
		if row.service == "*" {
			continue
		}
		for name := range strings.FieldsSeq(row.methods) {
			e := &entry{}
			e.service = row.service
			e.method = strings.Split("v1.x."+strings.ReplaceAll(name, "*", "quux"), ".")
			if got := find(e); got != row {
				t.Errorf("%s %s is hidden by an earlier row: %v", row.service, name, got.methods)
			}
		}
	}
}

func TestReadOnly(t *testing.T) {
	f := func(verb string, want bool) {
		t.Helper()
		if got := readOnly(verb); got != want {
			t.Errorf("readOnly(%q) = %v", verb, got)
		}
	}
	f("get", true)
	f("GetCluster", true)
	f("aggregatedList", true)
	f("SignJwt", true)
	f("getaway", false)
	f("insert", false)
	f("CreateService", false)
}

func TestByVerb(t *testing.T) {
	f := func(verb string, want change.Type) {
		t.Helper()
		if got, _ := byVerb(verb); got != want {
			t.Errorf("byVerb(%q) = %v, want %v", verb, got, want)
		}
	}
	f("SetIamPolicy", change.AccessChange)
	f("deletecollection", change.Infrastructure)
	f("UndeleteProject", change.Infrastructure)
	f("patch", change.ConfigChange)
	f("frobnicate", change.Other)
}
