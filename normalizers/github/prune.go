package github

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"whatchanged/pkg/change"
)

// Limits of prune: what lies deeper stays as it is, and what is longer could
// not be kept in a change, wherever it goes.
const (
	maxPruneDepth = 32
	maxPruneText  = change.MaxMetadata
)

// prune returns a payload without what nobody reads, so that less has to be
// decoded: four fifths of what GitHub sends are links to its own API, and the
// repository again and again. Long texts are cut. The payload must be valid
// JSON and stays as it is. What it drops must not change what comes out:
// TestPrune_ChangesNothing sees to it.
func prune(body []byte) []byte {
	if len(body) < maxPruneText && !bytes.Contains(body, []byte(`_url"`)) {
		return body // somebody's test: there is nothing to gain
	}
	p := pruner{in: body, out: make([]byte, 0, len(body)/2)}
	p.space()
	p.value(everything, 0)
	return p.out
}

// pruner reads in at i and writes what stays.
type pruner struct {
	in  []byte
	i   int
	out []byte
}

// part says what to do with the members of an object.
type part int

const (
	everything part = iota // less what is never read
	repository             // few members only
	verbatim               // the sender's own words: as they are
	dropped
)

// partOf says what to do with a member, by its name and how deep it lies.
func partOf(name []byte, depth int) part {
	switch string(name) {
	case "html_url", "target_url", "log_url", "environment_url", "deployment_callback_url":
		return everything
	case "url", "node_id", "gravatar_id", "_links", "reactions", "performed_via_github_app",
		"repo", "head_repository", "check_run", "check_suite", "body_html", "body_text":
		return dropped
	case "repository":
		if depth == 0 {
			return repository
		}
		return dropped
	case "changes", "permissions", "permissions_added", "permissions_upgraded", "client_payload", "inputs", "payload", "definition", "new_property_values", "old_property_values",
		"exemption_request", "repository_ruleset", "marketplace_purchase", "previous_marketplace_purchase":
		return verbatim
	}
	if bytes.HasSuffix(name, []byte("_url")) {
		return dropped
	}
	return everything
}

// partOfRepository does so inside the payload's repository.
func partOfRepository(name []byte) part {
	switch string(name) {
	case "id", "name", "full_name", "html_url", "default_branch", "private", "visibility", "updated_at", "owner",
		"description", "homepage", "topics", "archived", "fork", "security_and_analysis", "permissions":
		return everything
	}
	return dropped
}

// value copies the value at i.
func (p *pruner) value(of part, depth int) {
	switch {
	case p.in[p.i] == '"':
		from := p.i
		p.text()
		p.cut(p.in[from:p.i])
	case p.in[p.i] == '{' && depth <= maxPruneDepth:
		p.object(of, depth)
	case p.in[p.i] == '[' && depth <= maxPruneDepth:
		p.array(of, depth)
	default:
		from := p.i
		p.skip()
		p.out = append(p.out, p.in[from:p.i]...)
	}
}

// cut copies a string with its quotes, or the start of a long one, which ends
// between two characters and not inside an escape.
func (p *pruner) cut(text []byte) {
	if len(text) <= maxPruneText {
		p.out = append(p.out, text...)
		return
	}
	end := 1
	for end < maxPruneText {
		switch {
		case text[end] != '\\':
			end++
		case text[end+1] == 'u':
			end += len(`\u0000`)
		default:
			end += len(`\n`)
		}
	}
	for !utf8.RuneStart(text[end]) {
		end--
	}
	p.out = append(p.out, text[:end]...)
	p.out = append(p.out, `…"`...)
}

func (p *pruner) object(of part, depth int) {
	p.out = append(p.out, '{')
	p.i++
	first := true
	for {
		p.space()
		switch p.in[p.i] {
		case '}':
			p.i++
			p.out = append(p.out, '}')
			return
		case ',':
			p.i++
			continue
		}
		from := p.i
		p.skip()
		name := p.in[from:p.i] // with its quotes
		p.space()
		p.i++ // the colon
		p.space()
		what := of
		if of == repository {
			what = partOfRepository(name[1 : len(name)-1])
		}
		if what == everything {
			what = partOf(name[1:len(name)-1], depth)
		}
		if what == dropped {
			p.skip()
			continue
		}
		if !first {
			p.out = append(p.out, ',')
		}
		first = false
		p.out = append(p.out, name...)
		p.out = append(p.out, ':')
		p.value(what, depth+1)
	}
}

func (p *pruner) array(of part, depth int) {
	p.out = append(p.out, '[')
	p.i++
	for {
		p.space()
		switch p.in[p.i] {
		case ']':
			p.i++
			p.out = append(p.out, ']')
			return
		case ',':
			p.i++
			p.out = append(p.out, ',')
		default:
			p.value(of, depth+1)
		}
	}
}

// space goes on to the next token.
func (p *pruner) space() {
	for p.i < len(p.in) && strings.IndexByte(" \t\r\n", p.in[p.i]) >= 0 {
		p.i++
	}
}

// skip goes behind the value at i.
func (p *pruner) skip() {
	open := 0
	for ; p.i < len(p.in); p.i++ {
		switch p.in[p.i] {
		case '"':
			p.text()
			if open == 0 {
				return
			}
			p.i--
		case '{', '[':
			open++
		case '}', ']':
			if open == 0 {
				return // behind a number or a word
			}
			if open--; open == 0 {
				p.i++
				return
			}
		case ',', ' ', '\t', '\r', '\n':
			if open == 0 {
				return
			}
		}
	}
}

// text goes behind the string at i.
func (p *pruner) text() {
	for p.i++; ; p.i++ {
		end := bytes.IndexByte(p.in[p.i:], '"')
		if end < 0 {
			p.i = len(p.in)
			return
		}
		p.i += end
		escapes := 0
		for p.in[p.i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			p.i++
			return
		}
	}
}
