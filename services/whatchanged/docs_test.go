package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"

	"whatchanged/pkg/config"
)

// top is the top of the tree.
var top = filepath.Join("..", "..")

// TestDocs_CommandLines: every `whatchanged ...` that a page or a help text
// tells people to type has a command and flags that exist.
func TestDocs_CommandLinesExist(t *testing.T) {
	try := func(where, line string, whole bool) {
		t.Helper()
		for _, words := range invocations(line) {
			if err := understood(words, whole); err != nil {
				t.Errorf("%s: %s\n\twhatchanged %s", where, err, strings.Join(words, " "))
			}
		}
	}
	for _, page := range pages(t) {
		for _, code := range codeOf(page.text) {
			try(page.name, code, true)
		}
		for _, code := range spansOf(page.text) {
			try(page.name, code, false) // often a command is only named
		}
	}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for line := range strings.Lines(strings.ReplaceAll(cmd.Example, "\\\n", " ")) {
			try(cmd.CommandPath()+" --help", line, true)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&Environment{}))
}

// TestDocs_Links: every link to a file of this tree, and to a heading in it,
// leads somewhere.
func TestDocs_LinksResolve(t *testing.T) {
	all := pages(t)
	headings := make(map[string]map[string]bool)
	for _, page := range all {
		headings[page.name] = anchors(page.text)
	}
	for _, page := range all {
		for _, target := range links(page.text) {
			path, anchor, _ := strings.Cut(target, "#")
			to := page.name
			if path != "" {
				to = filepath.Join(filepath.Dir(page.name), path)
				if strings.HasPrefix(to, "..") {
					t.Errorf("%s: the link %s leads out of the tree", page.name, target)
					continue
				}
				if _, err := os.Stat(filepath.Join(top, to)); err != nil {
					t.Errorf("%s: the link %s leads nowhere", page.name, target)
					continue
				}
			}
			if anchor != "" && headings[to] != nil && !headings[to][anchor] {
				t.Errorf("%s: %s has no heading for the link %s", page.name, to, target)
			}
		}
	}
}

// TestSystemd: what the units start is understood, and so are the settings
// that they bring.
func TestSystemd_UnitsStartWhatExists(t *testing.T) {
	units, err := filepath.Glob(filepath.Join(top, "deploy", "systemd", "*.service"))
	if err != nil || len(units) == 0 {
		t.Fatalf("no units: %v", err)
	}
	for _, path := range units {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var environ []string
		started := 0
		for line := range strings.Lines(strings.ReplaceAll(string(text), "%i", serviceReceiver)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "Environment":
				environ = append(environ, value)
			case "ExecStartPre":
				t.Errorf("%s: %s: RestartPreventExitStatus does not hold for it", path, line)
			case "ExecStart":
				for _, words := range invocations(value) {
					started++
					if err := understood(words, true); err != nil {
						t.Errorf("%s: %s: %s", path, value, err)
					}
				}
			}
		}
		if started != 1 {
			t.Errorf("%s: %d lines start whatchanged, want one", path, started)
		}
		cfg := DefaultConfig()
		if err := config.Load(&cfg, config.Sources{Environ: environ, Ignore: notSettings}); err != nil {
			t.Errorf("%s: %s", path, err)
		}
	}
}

func TestInvocations_AreWhatAShellWouldRun(t *testing.T) {
	f := func(line string, want ...string) {
		t.Helper()
		var got []string
		for _, words := range invocations(line) {
			got = append(got, strings.Join(words, " "))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	f("whatchanged serve --listen :80  # comment", "serve --listen :80")
	f("$ A=b bin/whatchanged changes | grep x && ./whatchanged keys list > f", "changes", "keys list")
	f("URL=$(bin/whatchanged sources create x --auth a)", "sources create x --auth a")
	f(`whatchanged log "Deploy; v2 | #1" --version 'v 2'`, "log Deploy; v2 | #1 --version v 2")
	f("sudo -u whatchanged /usr/local/bin/whatchanged doctor 2>&1", "doctor")
	f("kubectl exec deploy/api -- whatchanged doctor", "doctor")
	f("docker compose exec api /whatchanged doctor", "doctor")
	f("docker exec whatchanged /whatchanged version", "version")
	f("docker build -t whatchanged --build-arg VERSION=v1 .")
	f("systemctl restart whatchanged; curl https://whatchanged.example")
	f("the whatchanged program")
}

func TestUnderstood_RefusesWhatDoesNotExist(t *testing.T) {
	f := func(line string, want bool) {
		t.Helper()
		if err := understood(strings.Fields(line), true); (err == nil) != want {
			t.Errorf("whatchanged %s: %v, want it understood: %v", line, err, want)
		}
	}
	f("serve --listen :80 --config /etc/x.yaml", true)
	f("serve --lisen :80", false)
	f("serv", false)
	f("config check", false)
	f("config chek serve", false)
	f("sources create x --provider", false)
	f("dead list -n 3", true)
	f("bench --duration 5", false)
	f("--version", true)
	f("", true)
}

type page struct{ name, text string }

// pages returns the Markdown files of this tree that are documents.
func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	for _, root := range []string{"README.md", "docs", "deploy", "charts", "normalizers"} {
		err := filepath.WalkDir(filepath.Join(top, root), func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) && root == "charts" {
				return nil
			}
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata") {
				return fs.SkipDir
			}
			if filepath.Ext(path) != ".md" {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(top, path)
			all = append(all, page{filepath.ToSlash(name), string(text)})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// codeOf returns the lines of code blocks, but for those that are marked as
// text: what a program prints, say.
func codeOf(text string) []string {
	var lines []string
	for _, b := range blocks(text) {
		if b.code && !slices.Contains([]string{"text", "json", "yaml"}, b.language) {
			lines = append(lines, strings.Split(strings.ReplaceAll(b.text, "\\\n", " "), "\n")...)
		}
	}
	return lines
}

// spansOf returns what stands in a sentence, set as code.
func spansOf(text string) []string {
	var spans []string
	for _, b := range blocks(text) {
		if b.code {
			continue
		}
		for _, span := range inline.FindAllStringSubmatch(b.text, -1) {
			spans = append(spans, strings.ReplaceAll(span[1], "\n", " "))
		}
	}
	return spans
}

var inline = regexp.MustCompile("(?s)`([^`]+)`")

// block is a code block, or what is between two.
type block struct {
	code           bool
	language, text string
}

// blocks cuts a page at its fences. Lines that are indented by four after an
// empty line, outside of lists, are code too.
func blocks(text string) []block {
	var out []block
	var now block
	end := func(next block) {
		out = append(out, now)
		now = next
	}
	fenced, empty, list := false, true, false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		indented := strings.HasPrefix(line, "    ")
		switch {
		case strings.HasPrefix(trimmed, "```"):
			fenced = !fenced
			end(block{code: fenced, language: strings.TrimPrefix(trimmed, "```")})
			continue
		case fenced:
		case !now.code && indented && empty && !list:
			end(block{code: true})
		case now.code && !indented && trimmed != "":
			end(block{})
		}
		if !fenced && trimmed != "" && !indented {
			list = strings.HasPrefix(trimmed, "- ") || strings.HasPrefix(trimmed, "* ") || unicode.IsDigit(rune(trimmed[0]))
		}
		empty = trimmed == ""
		now.text += line
	}
	return append(out, now)
}

// invocations returns the arguments of each `whatchanged` that a shell would
// run for this line.
func invocations(line string) [][]string {
	commands, inner := split(line)
	var all [][]string
	for _, code := range inner {
		all = append(all, invocations(code)...)
	}
	for _, words := range commands {
		for len(words) > 0 && (words[0] == "$" || words[0] == "!" || words[0] == "exec" || words[0] == "time" || assignment.MatchString(words[0])) {
			words = words[1:]
		}
		if i := program(words); i >= 0 {
			all = append(all, words[i+1:])
		}
	}
	return all
}

// program returns where in a command our program is, or -1: at its beginning,
// or behind what runs it as another user or in a container.
func program(words []string) int {
	found := -1
	for i, word := range words {
		if word != "whatchanged" && !strings.HasSuffix(word, "/whatchanged") {
			continue
		}
		if i+1 < len(words) && strings.HasPrefix(words[i+1], "Test") {
			continue // a test of our package
		}
		switch {
		case i == 0:
			return 0
		case words[0] == "sudo" && words[i-1] != "-u":
			return i
		case words[0] == "kubectl" && words[i-1] == "--":
			return i
		case words[0] == "docker" && slices.Contains(words[:i], "exec"):
			found = i // the container may have the same name: the last counts
		}
	}
	return found
}

var (
	assignment  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
	placeholder = regexp.MustCompile(`^<[A-Za-z_-]+>`)
)

// split cuts a line into commands and their words, as a shell does, without
// what is redirected. inner has what stands in $( ).
func split(line string) (commands [][]string, inner []string) {
	var words []string
	var word strings.Builder
	begun, redirected := false, false
	endWord := func() {
		if begun && !redirected {
			words = append(words, word.String())
		}
		redirected = redirected && !begun
		word.Reset()
		begun = false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			commands = append(commands, words)
		}
		words, redirected = nil, false
	}
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '$' && quote != '\'' && strings.HasPrefix(line[i:], "$("):
			n := closing(line[i+2:])
			inner = append(inner, line[i+2:i+2+n])
			word.WriteString("$()")
			begun = true
			i += 2 + n
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, begun = c, true
		case quote != 0:
			word.WriteByte(c)
		case c == '#' && !begun:
			i = len(line)
		case c == ' ' || c == '\t' || c == '\n':
			endWord()
		case c == '<' && placeholder.MatchString(line[i:]):
			p := placeholder.FindString(line[i:])
			word.WriteString(p)
			begun = true
			i += len(p) - 1
		case c == '<' || c == '>':
			if strings.Trim(word.String(), "0123456789") == "" {
				word.Reset()
				begun = false
			}
			endWord()
			redirected = true
			for i+1 < len(line) && strings.IndexByte("<>&-", line[i+1]) >= 0 {
				i++
			}
		case strings.IndexByte("|&;()", c) >= 0:
			endCommand()
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	endCommand()
	return commands, inner
}

// closing returns how far the parenthesis is that closes the one before s.
func closing(s string) int {
	depth := 1
	for i, c := range s {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 {
			return i
		}
	}
	return len(s)
}

// understood reports what the program would not understand of its arguments.
func understood(words []string, whole bool) error {
	root := newRoot(&Environment{})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(words...)
	root.InitDefaultVersionFlag()
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	rest = slices.DeleteFunc(slices.Clone(rest), func(w string) bool {
		partial := w == "..." || w == "…"
		whole = whole && !partial
		return partial
	})
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if help, err := cmd.Flags().GetBool("help"); err == nil && help || !whole || cmd == root {
		return nil
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

var (
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.*)$`)
	anchor  = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
)

// links returns the links of a page that lead into this tree.
func links(text string) []string {
	var out []string
	for _, b := range blocks(text) {
		if b.code {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(inline.ReplaceAllString(b.text, "x"), -1) {
			if !strings.Contains(m[1], ":") {
				out = append(out, m[1])
			}
		}
	}
	return out
}

// anchors returns what can stand behind the # of a link to the page.
func anchors(text string) map[string]bool {
	out := make(map[string]bool)
	for _, b := range blocks(text) {
		if b.code {
			continue
		}
		for _, m := range heading.FindAllStringSubmatch(b.text, -1) {
			id := slug(m[1])
			for n := 1; out[id]; n++ {
				id = fmt.Sprintf("%s-%d", slug(m[1]), n)
			}
			out[id] = true
		}
		for _, m := range anchor.FindAllStringSubmatch(b.text, -1) {
			out[m[1]] = true
		}
	}
	return out
}

// slug is a heading's name in a link: lower case, without punctuation, with a
// hyphen for each space.
func slug(title string) string {
	title = link.ReplaceAllString(title, "]")
	var b strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(title)) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			b.WriteRune(r)
		}
	}
	return b.String()
}
