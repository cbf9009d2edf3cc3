package chdb

import (
	"slices"
	"strings"
)

// The engine parses SQL; this file finds the few things that must be known
// before it does: where the data of an INSERT begins, and which format an
// answer is asked for in.

// token is a piece of a statement: a word, a quoted thing or one character.
type token struct {
	text  string
	end   int // where it ends in the statement
	depth int // how many parentheses are open around it
}

func (t token) is(keyword string) bool { return strings.EqualFold(t.text, keyword) }

// isName says whether the token is a word or a quoted identifier.
func (t token) isName() bool {
	return t.text != "" && (isWordByte(t.text[0]) || t.text[0] == '`' || t.text[0] == '"')
}

// scanner splits a statement into tokens, leaving out space and comments.
type scanner struct {
	sql   string
	pos   int
	depth int
}

// next returns the next token; its text is empty at the end.
func (s *scanner) next() token {
	s.skipSpace()
	if s.pos >= len(s.sql) {
		return token{end: len(s.sql), depth: s.depth}
	}
	start := s.pos
	depth := s.depth
	switch b := s.sql[s.pos]; {
	case b == '\'' || b == '"' || b == '`':
		s.skipQuoted(b)
	case b == '$':
		s.skipHeredoc()
	case isWordByte(b):
		for s.pos < len(s.sql) && isWordByte(s.sql[s.pos]) {
			s.pos++
		}
	default:
		s.pos++
		switch b {
		case '(', '[', '{':
			s.depth++
		case ')', ']', '}':
			s.depth--
			depth--
		}
	}
	return token{text: s.sql[start:s.pos], end: s.pos, depth: depth}
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.sql) {
		rest := s.sql[s.pos:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v", rest[0]) >= 0:
			s.pos++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "# "), strings.HasPrefix(rest, "#!"):
			s.skipTo(rest, "\n")
		case strings.HasPrefix(rest, "/*"):
			s.skipTo(rest, "*/")
		default:
			return
		}
	}
}

func (s *scanner) skipTo(rest, mark string) {
	if i := strings.Index(rest, mark); i >= 0 {
		s.pos += i + len(mark)
		return
	}
	s.pos = len(s.sql)
}

// skipQuoted goes past a quoted thing; a doubled quote shows as two things
// side by side, which is the same for our purpose.
func (s *scanner) skipQuoted(quote byte) {
	for s.pos++; s.pos < len(s.sql); s.pos++ {
		switch s.sql[s.pos] {
		case '\\':
			s.pos++
		case quote:
			s.pos++
			return
		}
	}
	s.pos = len(s.sql)
}

// skipHeredoc goes past $tag$ ... $tag$.
func (s *scanner) skipHeredoc() {
	rest := s.sql[s.pos:]
	n := 1
	for n < len(rest) && isWordByte(rest[n]) {
		n++
	}
	if n == len(rest) || rest[n] != '$' {
		s.pos++
		return
	}
	tag := rest[:n+1]
	s.pos += len(tag)
	s.skipTo(s.sql[s.pos:], tag)
}

func isWordByte(b byte) bool {
	return b == '_' || b >= 0x80 || '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}

// insert is an INSERT whose data comes from the client.
type insert struct {
	head   string // without VALUES or FORMAT
	table  string // empty when it is not one plain word
	format string
	data   int // where data begins in the statement
}

// parseInsert finds the data of an INSERT. It returns nil for other
// statements, for INSERT ... SELECT, and for FROM INFILE.
func parseInsert(sql string) *insert {
	s, t, table := insertTarget(sql)
	if s == nil {
		return nil
	}
	// The name itself may be a keyword, as in INSERT INTO values VALUES.
	for previous := t; ; {
		from := s.pos
		t = s.next()
		switch {
		case t.text == "":
			return nil
		case t.depth > 0 || previous.text == ".":
		case t.is("SELECT"), t.is("WITH"), t.is("WATCH"), t.is("INFILE"), t.text == "(" && startsSelect(sql[t.end:]):
			return nil
		case t.is("VALUES"):
			return &insert{head: strings.TrimSpace(sql[:from]), table: table, format: "Values", data: t.end}
		case t.is("FORMAT"):
			name := s.next()
			if !name.isName() {
				return nil
			}
			return &insert{head: strings.TrimSpace(sql[:from]), table: table, format: name.text, data: skipFormatEnd(sql, name.end)}
		}
		previous = t
	}
}

// insertTarget scans an INSERT up to the name it begins with, and returns that
// and the table: empty when it is not one plain word. For other statements the
// scanner is nil.
func insertTarget(sql string) (s *scanner, t token, table string) {
	s = &scanner{sql: sql}
	if !s.next().is("INSERT") {
		return nil, t, ""
	}
	t = s.next()
	if t.is("INTO") {
		t = s.next()
	}
	if t.is("TABLE") {
		t = s.next()
	}
	if t.is("FUNCTION") {
		t = s.next()
	}
	if !t.isName() {
		return nil, t, ""
	}
	if isWord(t.text) && !strings.HasPrefix(strings.TrimSpace(sql[t.end:]), ".") {
		table = t.text
	}
	return s, t, table
}

func isWord(s string) bool {
	for i := range len(s) {
		if !isWordByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// startsSelect says whether what follows a parenthesis is a query.
func startsSelect(sql string) bool {
	s := &scanner{sql: sql}
	t := s.next()
	for t.text == "(" {
		t = s.next()
	}
	return t.is("SELECT") || t.is("WITH")
}

// skipFormatEnd goes past what separates a format's name from the data: blanks
// and one line's end, no more, for data may be binary.
func skipFormatEnd(sql string, i int) int {
	for i < len(sql) && (sql[i] == ' ' || sql[i] == '\t' || sql[i] == '\f') {
		i++
	}
	if i < len(sql) && sql[i] == '\r' {
		i++
	}
	if i < len(sql) && sql[i] == '\n' {
		i++
	}
	return i
}

// outputFormat returns the format a query names itself, or "".
func outputFormat(sql string) string {
	s := &scanner{sql: sql}
	for t := s.next(); t.text != ""; t = s.next() {
		if !t.is("FORMAT") || t.depth > 0 {
			continue
		}
		back := *s
		name, after := s.next(), s.next()
		if name.isName() && (after.text == "" || after.text == ";" || after.is("SETTINGS")) {
			return name.text
		}
		*s = back
	}
	return ""
}

// canStream says whether a statement is one whose result the engine gives in
// pieces: of the others it gives the whole, which is small.
func canStream(sql string) bool {
	s := &scanner{sql: sql}
	t := s.next()
	for t.text == "(" {
		t = s.next()
	}
	return t.is("SELECT") || t.is("WITH") || t.is("FROM")
}

// isDefinition says whether a statement makes, changes or removes a table or a
// database, and not rows.
func isDefinition(sql string) bool {
	t := (&scanner{sql: sql}).next()
	return slices.ContainsFunc([]string{"CREATE", "ATTACH", "DETACH", "ALTER", "RENAME", "EXCHANGE", "DROP", "UNDROP", "REPLACE"}, t.is)
}

var stringQuoter = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// quote makes a string literal.
func quote(s string) string { return "'" + stringQuoter.Replace(s) + "'" }

var nameQuoter = strings.NewReplacer(`\`, `\\`, "`", "\\`")

// identifier quotes a name.
func identifier(s string) string { return "`" + nameQuoter.Replace(s) + "`" }

var paramEscaper = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

// escapeParam makes the text of a parameter's value: the engine reads it as a
// TSV field.
func escapeParam(s string) string { return paramEscaper.Replace(s) }
