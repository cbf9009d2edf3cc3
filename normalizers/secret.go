package normalizers

import "strings"

// masked stands in place of a secret.
const masked = "***"

// place is where a text stands: it decides what in it can be a secret.
type place int

const (
	inName place = iota // a name, an id or a URL: random on purpose, so only known shapes are secrets
	inText              // words that somebody wrote
	inJSON              // a document: what stands under the name of an id is no secret
)

// shortestSecret is the length of the shortest secret that maskSecrets knows
// by its shape alone.
const shortestSecret = len("xoxb-") + 10

// shortestNamed is the length of the shortest text that can have a secret in
// it: pwd=1234.
const shortestNamed = len("pwd=") + 4

const (
	keyBegin = "-----BEGIN "
	keyLabel = "PRIVATE KEY"
	keyEnd   = "-----END "
)

// maskSecrets replaces each secret in s by ***, and reports whether there was
// any. It goes through s once: by the shapes of tokens, by what stands after a
// name such as password, by user:password@ in URLs, and by how random what is
// long looks. Text without a secret comes back as it is, and nothing is
// allocated for it.
func maskSecrets(s string, where place) (string, bool) {
	was := s
	if strings.Contains(s, keyBegin) {
		s = maskKeys(s)
	}
	m := masker{s: s, where: where}
	for i := 0; i < len(s); {
		if !isRun[s[i]] {
			i++
			continue
		}
		end := i + 1
		for end < len(s) && isRun[s[end]] {
			end++
		}
		start := m.afterEscape(i, end)
		if end-start >= shortestSecret {
			m.tokens(start, end)
			if where != inName && end-start >= shortestRandom {
				m.random(start, end)
			}
		}
		if end < len(s) && m.from <= end {
			m.after(start, end)
		}
		i = max(end, m.from)
	}
	if m.from > 0 {
		m.out.WriteString(s[m.from:])
		s = m.out.String()
	}
	return s, s != was
}

// masker writes a text anew, less its secrets. A text of the size of a whole
// delivery goes through it, so nothing in it may look at the same bytes again
// and again: scans remember where they ended, and what is long is judged by its
// beginning.
type masker struct {
	s      string
	where  place
	name   string // in JSON, the member that one is in
	out    strings.Builder
	from   int // what is before is written
	before surroundings

	token, address, value, quoted scan
}

// scan remembers where a scan ended: begun anywhere on its way, it ends there.
type scan struct{ from, to int }

// end returns the first place from start on, and before limit, where stops
// holds, or limit.
func (c *scan) end(s string, start, limit int, stops func(s string, i int) bool) int {
	if start >= c.from && start < c.to {
		return c.to
	}
	c.from, c.to = start, start
	for c.to < limit && !stops(s, c.to) {
		c.to++
	}
	return c.to
}

// judged is as much of a value as its look is judged by.
func judged(v string) string { return v[:min(len(v), 256)] }

// mask replaces s[start:end].
func (m *masker) mask(start, end int) {
	if start < m.from || start >= end {
		return
	}
	m.out.WriteString(m.s[m.from:start])
	m.out.WriteString(masked)
	m.from = end
}

// afterEscape returns where a run starts when the escape of a character in
// JSON is before it: the n of "\n" is no letter.
func (m *masker) afterEscape(start, end int) int {
	if start == 0 || m.s[start-1] != '\\' {
		return start
	}
	if m.s[start] == 'u' {
		return min(start+5, end)
	}
	return start + 1
}

// tokens masks what has the shape of a token.
func (m *masker) tokens(start, end int) {
	s := m.s
	for i := start; i < end; i++ {
		if i > start && isAlphanumeric(s[i-1]) {
			continue
		}
		for k := range shapesBy[s[i]] {
			shape := &shapesBy[s[i]][k]
			if !strings.HasPrefix(s[i:end], shape.prefix) {
				continue
			}
			tail := i + len(shape.prefix)
			var stop int
			if shape.keep {
				stop = m.address.end(s, tail, end, isAddressEnd)
			} else {
				stop = m.token.end(s, tail, end, isTokenEnd)
			}
			if stop-tail < shape.more || shape.fits != nil && !shape.fits(judged(s[tail:stop])) {
				continue
			}
			if shape.keep {
				i = tail
			}
			m.mask(i, stop)
			i = stop
			break
		}
	}
}

// after looks at what follows the run s[start:end]: a value after a name, and
// the rest of a URL after its scheme.
func (m *masker) after(start, end int) {
	s := m.s
	switch s[end] {
	case '=':
		if kind := secretName(s[start:end]); kind != notSecret {
			m.named(kind, skipQuote(s, end+1), &m.value, isEnd, false)
		}
	case ':':
		if strings.HasPrefix(s[end:], "://") {
			m.userinfo(end + len("://"))
			return
		}
		if kind := secretName(s[start:end]); kind != notSecret {
			m.named(kind, skipBlanks(s, end+1), &m.value, isEnd, true)
		}
	case '"', '\\', '\'':
		m.member(start, end)
	case ' ':
		if strings.HasPrefix(s[end:], " = ") {
			if kind := secretName(s[start:end]); kind != notSecret {
				m.named(kind, skipQuote(s, end+3), &m.value, isEnd, false)
			}
			return
		}
		if scheme := s[start:end]; (len(scheme) == 6 && strings.EqualFold(scheme, "bearer") || len(scheme) == 5 && strings.EqualFold(scheme, "basic")) && m.where != inName {
			stop := m.value.end(s, end+1, len(s), isEnd)
			if v := s[end+1 : stop]; len(v) >= 16 && looksSecret(judged(v)) {
				m.mask(end+1, stop)
			}
		}
	}
}

// member looks at the name of a member of JSON, which may itself be written
// inside a string, with \" for its quotes.
func (m *masker) member(start, end int) {
	s, i := m.s, end
	if s[i] == '\\' {
		i++
	}
	if i+1 >= len(s) || s[i] != '"' && s[i] != '\'' || s[i+1] != ':' {
		return
	}
	escaped := i > end
	if !escaped {
		m.name = s[start:end]
	}
	kind := secretName(s[start:end])
	if kind == notSecret {
		return
	}
	i = skipBlanks(s, i+2)
	switch {
	case escaped && strings.HasPrefix(s[i:], `\"`):
		m.named(kind, i+2, &m.value, isEnd, false)
	case !escaped && i < len(s) && s[i] == '"':
		m.named(kind, i+1, &m.quoted, isStringEnd, false)
	case !escaped && i < len(s) && s[i] == '\'':
		m.named(kind, i+1, &m.value, isEnd, false)
	}
}

// named masks what stands under the name of a secret, when it looks like one.
func (m *masker) named(kind nameKind, start int, to *scan, ends func(string, int) bool, said bool) {
	s := m.s
	if kind == credentials { // a scheme may stand first: Bearer, Basic
		for _, scheme := range [...]string{"bearer ", "basic ", "token ", "digest ", "apikey "} {
			if len(s)-start > len(scheme) && strings.EqualFold(s[start:start+len(scheme)], scheme) {
				start, said = start+len(scheme), false
				break
			}
		}
	}
	stop := to.end(s, start, len(s), ends)
	v := judged(s[start:stop])
	if len(v) < 4 || isPlaceholder(v) {
		return
	}
	switch kind {
	case password:
		if said && !(len(v) >= 6 && hasDigitOrSymbol(v)) { // "password: reset by mail" is a sentence
			return
		}
	default:
		if len(v) < 8 || said && len(v) < 16 || !looksSecret(v) {
			return
		}
	}
	m.mask(start, stop)
}

// userinfo masks the password in a URL, scheme://user:password@host.
func (m *masker) userinfo(start int) {
	s, stop, at := m.s, start, -1
	for stop < len(s) && !isEnd(s, stop) && s[stop] != '/' && s[stop] != '?' && s[stop] != '#' {
		if s[stop] == '@' {
			at = stop
		}
		stop++
	}
	if at < 0 {
		return
	}
	if colon := strings.IndexByte(s[start:at], ':'); colon >= 0 {
		if from := start + colon + 1; from < at && !isPlaceholder(s[from:at]) {
			m.mask(from, at)
		}
		return
	}
	if user := s[start:at]; len(user) >= 16 && looksSecret(judged(user)) {
		m.mask(start, at)
	}
}

// maskKeys masks private keys in PEM. A key ends where it says so, and at a
// quote, so that JSON around it stays JSON.
func maskKeys(s string) string {
	var out strings.Builder
	for {
		i := strings.Index(s, keyBegin)
		if i < 0 {
			break
		}
		out.WriteString(s[:i])
		if !strings.Contains(s[i:min(len(s), i+60)], keyLabel) {
			out.WriteString(keyBegin)
			s = s[i+len(keyBegin):]
			continue
		}
		out.WriteString(masked)
		s = s[i:]
		if quote := strings.IndexByte(s, '"'); quote >= 0 {
			out.WriteString(afterKey(s[:quote]))
			s = s[quote:]
			continue
		}
		s = afterKey(s)
	}
	out.WriteString(s)
	return out.String()
}

// afterKey returns what follows the key that s starts with.
func afterKey(s string) string {
	end := strings.Index(s, keyEnd)
	if end < 0 {
		return ""
	}
	s = s[end+len(keyEnd):]
	if dashes := strings.Index(s, "-----"); dashes >= 0 {
		return s[dashes+len("-----"):]
	}
	return ""
}
