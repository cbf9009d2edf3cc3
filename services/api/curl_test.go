package api_test

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// curl reads a curl command as documents print it, and returns its request.
// vars replaces $NAMES inside double quotes and bare words.
func curl(t *testing.T, command string, vars map[string]string) *http.Request {
	t.Helper()
	words, err := shellWords(command, vars)
	if err != nil || len(words) == 0 || words[0] != "curl" {
		t.Fatalf("not a curl command (%v): %s", err, command)
	}
	var method, url, body string
	header := http.Header{}
	for words = words[1:]; len(words) > 0; words = words[1:] {
		word := words[0]
		switch word {
		case "-X", "-H", "-d", "--data-binary":
			words = words[1:]
			if len(words) == 0 {
				t.Fatalf("%s needs a value: %s", word, command)
			}
		case "-s", "-N", "-f", "-sS", "-fsS":
			continue
		}
		switch {
		case word == "-X":
			method = words[0]
		case word == "-H":
			name, value, _ := strings.Cut(words[0], ": ")
			header.Set(name, value)
		case word == "-d" || word == "--data-binary":
			body = words[0]
			if method == "" {
				method = http.MethodPost
			}
			if header.Get("Content-Type") == "" {
				header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
		case strings.HasPrefix(word, "-"):
			t.Fatalf("unknown flag %s: %s", word, command)
		default:
			url = word
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	return r
}

// shellWords splits a command as a shell does: quotes, backslashes at line
// ends, and variables outside single quotes.
func shellWords(s string, vars map[string]string) (words []string, err error) {
	var word strings.Builder
	inWord, quote := false, rune(0)
	text := []rune(s)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, inWord = c, true
		case c == '\\' && quote != '\'' && i+1 < len(text):
			i++
			if text[i] != '\n' {
				word.WriteRune(text[i])
			}
		case c == '$' && quote != '\'':
			name := regexp.MustCompile(`^[A-Z_]+`).FindString(string(text[i+1:]))
			value, ok := vars[name]
			if !ok {
				return nil, fmt.Errorf("unknown variable $%s", name)
			}
			i += len(name)
			word.WriteString(value)
			inWord = true
		case quote == 0 && (c == ' ' || c == '\n' || c == '\t'):
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// ids are placeholders in documents; a test puts real ones there.
var placeholder = regexp.MustCompile(`\b(?:(?:chg|dlv|src|key|inc|rpl|ded)_[0-9a-z]{26}|sec_[0-9a-f]{16})\b`)

// S1-8: the authentication page exists. TestDocs_CurlCommandsRun runs every curl command of docs/api.md and
// docs/authentication.md, in order, against one server.
func TestDocs_CurlCommandsRun(t *testing.T) {
	t.Parallel()
	s := start(t)
	ids := map[string]string{"dlv": s.deliver(orgName, "src_doc", `{"title": "Raise pool size"}`, nil).String()}
	s.run(s.writer)
	_, ids["ded"] = s.buried("dead")
	ids["src"] = "src_1"
	vars := map[string]string{"URL": s.URL, "KEY": adminKey}
	for _, file := range []string{"../../docs/api.md", "../../docs/authentication.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 {
			t.Errorf("%s has no commands", file)
		}
		for _, block := range blocks {
			for _, command := range regexp.MustCompile(`(?ms)^curl .*?[^\\]$`).FindAllString(strings.TrimSpace(block[1]), -1) {
				command = placeholder.ReplaceAllStringFunc(command, func(id string) string {
					real, ok := ids[id[:3]]
					if !ok {
						t.Fatalf("%s: nothing has an id %s_ yet: %s", file, id[:3], command)
					}
					return real
				})
				r := curl(t, command, vars)
				if strings.HasSuffix(r.URL.Path, "/stream") {
					continue // it has no end; the tests of the live tail are its
				}
				got := s.send(r)
				if r.Method == http.MethodGet && got.Status == http.StatusNotFound { // what was logged can be queried soon after
					eventually(t, func() error {
						got = s.send(r.Clone(t.Context()))
						return differ(http.StatusOK, got.Status)
					})
				}
				if got.Status/100 != 2 {
					t.Errorf("%s: %s\n%d %s", file, command, got.Status, got.Body)
					continue
				}
				if found := regexp.MustCompile(`"id":"((chg|src|key|inc|rpl)_[0-9a-z]+)"`).FindStringSubmatch(got.Body); found != nil && r.Method == http.MethodPost {
					ids[found[2]] = found[1]
				}
				if found := regexp.MustCompile(`"id":"(sec_[0-9a-f]+)"`).FindStringSubmatch(got.Body); found != nil {
					ids["sec"] = found[1] // the oldest
				}
			}
		}
	}
}
