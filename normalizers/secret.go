package normalizers

import "strings"

// masked stands in place of a secret.
const masked = "***"

// tokenShapes are the beginnings of tokens that one knows when one sees them,
// and how many more characters of a token make it one.
var tokenShapes = []struct {
	prefix string
	more   int
}{
	{"ghp_", 20}, {"gho_", 20}, {"ghu_", 20}, {"ghs_", 20}, {"ghr_", 20}, {"github_pat_", 20},
	{"glpat-", 16}, {"gldt-", 16}, {"glrt-", 16}, {"glptt-", 16}, {"glcbt-", 16},
	{"AKIA", 16}, {"ASIA", 16}, {"AIza", 30}, {"ya29.", 20},
	{"xoxb-", 10}, {"xoxp-", 10}, {"xoxa-", 10}, {"xoxr-", 10}, {"xoxs-", 10}, {"xapp-", 10},
	{"sk_live_", 10}, {"rk_live_", 10}, {"sk_test_", 10}, {"whsec_", 16},
	{"wc_live_", 16}, {"wct_", 16},
	{"npm_", 30}, {"pypi-", 20}, {"dop_v1_", 30}, {"hvs.", 20},
	{"eyJ", 30}, // a JSON Web Token: it must have a dot, too
}

// shortestSecret is the length of the shortest secret that maskSecrets knows.
const shortestSecret = len("xoxb-") + 10

const (
	keyBegin = "-----BEGIN "
	keyLabel = "PRIVATE KEY"
	keyEnd   = "-----END "
)

// maskSecrets replaces each secret of a known shape in s by ***, and reports
// whether there was any. Text without one comes back as it is.
func maskSecrets(s string) (string, bool) {
	was := s
	if strings.Contains(s, keyBegin) {
		s = maskKeys(s)
	}
	for _, shape := range tokenShapes {
		if strings.Contains(s, shape.prefix) {
			s = maskTokens(s, shape.prefix, shape.more)
		}
	}
	return s, s != was
}

// maskTokens masks every token that starts with prefix.
func maskTokens(s, prefix string, more int) string {
	var out strings.Builder
	rest := s
	for {
		i := strings.Index(rest, prefix)
		if i < 0 {
			break
		}
		end := i + len(prefix)
		for end < len(rest) && isTokenByte(rest[end]) {
			end++
		}
		token := rest[i:end]
		isSecret := len(token)-len(prefix) >= more && startsWord(rest, i) &&
			(prefix != "eyJ" || strings.Contains(token, "."))
		out.WriteString(rest[:i])
		if isSecret {
			out.WriteString(masked)
		} else {
			out.WriteString(token)
		}
		rest = rest[end:]
	}
	out.WriteString(rest)
	return out.String()
}

// startsWord reports whether no letter or digit is before s[i]; the n of a
// "\n" in JSON is none.
func startsWord(s string, i int) bool {
	return i == 0 || !isAlphanumeric(s[i-1]) || i >= 2 && s[i-2] == '\\'
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

func isTokenByte(c byte) bool { return isAlphanumeric(c) || c == '_' || c == '-' || c == '.' }

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
