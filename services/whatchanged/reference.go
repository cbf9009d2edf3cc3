package main

import (
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/config"
)

// words has what each setting is, a line each: its key, a tab, a sentence or
// more. It is made of the comments on the fields (go test -run TestWords
// -update): a program does not have its own comments at hand.
//
//go:embed words.txt
var words string

//go:embed reference.md.tmpl
var referencePage string

// readBy names the commands that read the settings under a key, by its
// beginning; the longest that fits counts. What is in no section is read by all
// that run a server, unless it says otherwise.
var readBy = map[string][]string{
	"data_dir":                  append(withHTTP, commandMigrate),
	"libchdb":                   {commandServe, commandMigrate, commandClickHouse},
	"bootstrap.":                withHTTP,
	"bus.":                      withHTTP,
	"store.":                    {commandServe, serviceNormalizer, serviceWriter, serviceAPI, commandMigrate},
	"backup.":                   {commandServe},
	"receiver.":                 {commandServe, serviceReceiver},
	"receiver.max_kept_headers": {commandServe, serviceReceiver, serviceNormalizer},
	"receiver.trusted_proxies":  {commandServe, serviceReceiver, serviceAPI},
	"api.":                      {commandServe, serviceAPI},
	"api.public_url":            withHTTP,
	"oidc.":                     {commandServe, serviceAPI},
	"fair.":                     withHTTP,
	"http.":                     withHTTP,
	"log.":                      append(withHTTP, commandMigrate),
}

// withHTTP are the commands that run a server.
var withHTTP = slices.Clip(append([]string{commandServe}, allServices...))

// The variables that are not settings of a server, and what they are for.
var otherVariables = []struct{ Name, About string }{
	{"WHATCHANGED_CONFIG", "The YAML file with settings, where `--config` is not given."},
	{"WHATCHANGED_URL", "The server that the user's commands talk to."},
	{"WHATCHANGED_KEY", "The API key that the user's commands use. Secret."},
	{"GOMEMLIMIT", "When the garbage collector works harder, for what is not the engine's memory; `768MiB` unless set."},
	{"GOMAXPROCS", "How many threads run at the same time; four times the processors unless set."},
}

// settingLine is a line of the reference.
type settingLine struct {
	Key, Env, Flag, Kind, Default, About string
	By                                   []string
}

// settingsAll lists every setting in the order of the configuration.
func settingsAll() []settingLine {
	cfg := DefaultConfig()
	cfg.complete()
	about := wordsByKey()
	flags := make(map[string]string)
	for name, f := range flagKeys {
		flags[f.key] = "--" + name
	}
	var all []settingLine
	for _, f := range config.Fields(&cfg) {
		if f.Key == listenTwice {
			continue
		}
		s := settingLine{Key: f.Key, Env: config.Env(f.Key), Flag: flags[f.Key], About: about[f.Key], By: readersOf(f.Key)}
		s.Kind, s.Default = kindOf(f, s.About)
		all = append(all, s)
	}
	return all
}

func wordsByKey() map[string]string {
	about := make(map[string]string)
	for line := range strings.Lines(words) {
		key, text, _ := strings.Cut(strings.TrimSpace(line), "\t")
		about[key] = text
	}
	return about
}

// readersOf returns the commands that read a key.
func readersOf(key string) []string {
	best := ""
	for start := range readBy {
		if (key == start || strings.HasSuffix(start, ".") && strings.HasPrefix(key, start)) && len(start) > len(best) {
			best = start
		}
	}
	if best == "" && !strings.Contains(key, ".") {
		return withHTTP
	}
	return readBy[best]
}

// kindOf says what a setting takes, and its default as one would write it.
func kindOf(f config.Field, about string) (kind, value string) {
	switch v := f.Value.(type) {
	case auth.Secret:
		return "text, secret", ""
	case time.Duration:
		return "duration", v.String()
	case bool:
		return "true or false", fmt.Sprint(v)
	case []string:
		return "list", strings.Join(v, ",")
	case string:
		return "text", v
	}
	if n := fmt.Sprint(f.Value); strings.Contains(f.Key+about, "bytes") {
		return "bytes", n
	}
	return "number", fmt.Sprint(f.Value)
}

// section is a table of the reference.
type section struct {
	Name     string
	Settings []settingLine
}

// writeReference writes the page of all settings.
func writeReference(w io.Writer) error {
	page, err := template.New("reference").Funcs(template.FuncMap{
		"join": func(list []string) string { return strings.Join(list, ", ") },
		"size": size,
	}).Parse(referencePage)
	if err != nil {
		return err
	}
	var sections []section
	for _, s := range settingsAll() {
		name, _, nested := strings.Cut(s.Key, ".")
		if !nested {
			name = ""
		}
		at := slices.IndexFunc(sections, func(have section) bool { return have.Name == name })
		if at < 0 {
			at, sections = len(sections), append(sections, section{Name: name})
		}
		sections[at].Settings = append(sections[at].Settings, s)
	}
	return page.Execute(w, map[string]any{"Sections": sections, "Others": otherVariables, "Services": allServices})
}

// size adds to a number of bytes how people say it.
func size(n string) string {
	var bytes int64
	if _, err := fmt.Sscan(n, &bytes); err != nil {
		return n
	}
	for i, unit := range []string{"GiB", "MiB", "KiB"} {
		if one := int64(1) << (30 - 10*i); bytes >= one && bytes%one == 0 {
			return fmt.Sprintf("%s (%d %s)", n, bytes/one, unit)
		}
	}
	return n
}
