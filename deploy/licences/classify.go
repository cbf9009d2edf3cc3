package main

import (
	"slices"
	"strings"
)

// passedOn are the licences under which a program may be passed on with only
// their texts beside it, and for MPL-2.0 with its sources unchanged and public.
var passedOn = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

// classify returns the licences in a text, by the sentences that only they
// have. A file may hold several; nil is a text that is none we know.
func classify(text string) []string {
	text = strings.ToLower(strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '*' || r == '#' || r == '/' || r == '>'
	}), " "))
	var found []string
	has := func(id string, sentences ...string) {
		if !slices.ContainsFunc(sentences, func(s string) bool { return !strings.Contains(text, s) }) {
			found = append(found, id)
		}
	}
	const binaries = "redistributions in binary form must reproduce the above copyright notice"
	has("AGPL-3.0", "gnu affero general public license version 3")
	has("Apache-2.0", "apache license", "version 2.0", "http: www.apache.org licenses")
	has("GPL", "gnu general public license as published")
	has("ISC", "permission to use, copy, modify, and or distribute this software for any purpose with or without fee is hereby granted")
	has("ISC", "permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted")
	has("MIT", "permission is hereby granted, free of charge, to any person obtaining a copy of this software", "the software is provided")
	has("MPL-2.0", "mozilla public license", "version 2.0")
	if strings.Contains(text, binaries) {
		if strings.Contains(text, "endorse or promote products") {
			found = append(found, "BSD-3-Clause")
		} else {
			found = append(found, "BSD-2-Clause")
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
