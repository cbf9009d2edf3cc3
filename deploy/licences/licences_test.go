package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestThePageIsUpToDate(t *testing.T) {
	t.Chdir("../..")
	parts, err := find()
	if err != nil {
		t.Fatal(err)
	}
	want, err := render(parts)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.FromSlash(document))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not what the modules say; `go run ./deploy/licences` writes it anew (-want +got):\n%s", document, diff)
	}
	var texts bytes.Buffer
	if err := printTexts(&texts, parts); err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if !strings.Contains(texts.String(), "\n"+p.Name+" ") {
			t.Errorf("the texts have nothing of %s", p.Name)
		}
	}
}

func TestNewPart_RefusesWhatMayNotBePassedOn(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "LICENSE")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := newPart("example.com/part", "v1.0.0", []string{file})
		if err == nil || !strings.Contains(err.Error(), "example.com/part") || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one that names the part and %q", err, want)
		}
	}
	f("GNU AFFERO GENERAL PUBLIC LICENSE\n   Version 3, 19 November 2007", "AGPL-3.0")
	f("You may run this on Sundays.", "no known licence")
	if _, err := newPart("example.com/part", "v1.0.0", nil); err == nil {
		t.Error("a part without a licence is not refused")
	}
}

func TestClassify_FindsEveryLicenceInAFile(t *testing.T) {
	const bsd = "Redistribution and use in source and binary forms ...\n" +
		"   * Redistributions in binary form must reproduce the above\ncopyright notice ...\n"
	f := func(text string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, classify(text)); diff != "" {
			t.Errorf("licences in %q (-want +got):\n%s", text, diff)
		}
	}
	f(bsd, "BSD-2-Clause")
	f(bsd+"   * Neither the name ... may be used to endorse or\n promote products derived from this software", "BSD-3-Clause")
	f("// Permission to use, copy, modify, and/or distribute this software for any\n// purpose with or without fee is hereby granted", "ISC")
	f("Mozilla Public License, version 2.0", "MPL-2.0")
	f("Apache License\nVersion 2.0, January 2004\nhttp://www.apache.org/licenses/\n"+
		"Permission is hereby granted, free of charge, to any person obtaining a copy\nof this software ... THE SOFTWARE IS PROVIDED", "Apache-2.0", "MIT")
	f("nothing of the kind")
}
