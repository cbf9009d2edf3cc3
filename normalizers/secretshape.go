package normalizers

import (
	"encoding/base64"
	"strings"
)

// tokenShape is how a token begins, and how many more of its characters make it one.
type tokenShape struct {
	prefix string
	more   int
	fits   func(tail string) bool // what else the rest must be
	keep   bool                   // the beginning is an address and stays; what follows is the secret
}

// shapesBy are the shapes by their first byte.
var shapesBy = func() (by [256][]tokenShape) {
	for _, shape := range tokenShapes {
		by[shape.prefix[0]] = append(by[shape.prefix[0]], shape)
	}
	return by
}()

// tokenShapes are the beginnings of tokens that one knows when one sees them.
var tokenShapes = []tokenShape{
	// GitHub, GitLab
	{"ghp_", 20, nil, false}, {"gho_", 20, nil, false}, {"ghu_", 20, nil, false}, {"ghs_", 20, nil, false}, {"ghr_", 20, nil, false}, {"github_pat_", 20, nil, false},
	{"glpat-", 16, nil, false}, {"gldt-", 16, nil, false}, {"glrt-", 16, nil, false}, {"glptt-", 16, nil, false}, {"glcbt-", 16, nil, false},
	{"glft-", 16, nil, false}, {"glimt-", 16, nil, false}, {"glagent-", 16, nil, false}, {"gloas-", 16, nil, false}, {"glsoat-", 16, nil, false}, {"glffct-", 16, nil, false},
	// clouds
	{"AKIA", 16, isKeyID, false}, {"ASIA", 16, isKeyID, false}, {"AIza", 30, nil, false}, {"ya29.", 20, nil, false}, {"GOCSPX-", 20, nil, false},
	{"dop_v1_", 30, nil, false}, {"doo_v1_", 30, nil, false}, {"dor_v1_", 30, nil, false}, {"LTAI", 16, isMixed, false},
	// where one talks
	{"xoxb-", 10, nil, false}, {"xoxp-", 10, nil, false}, {"xoxa-", 10, nil, false}, {"xoxr-", 10, nil, false}, {"xoxs-", 10, nil, false}, {"xoxe.", 10, nil, false}, {"xapp-", 10, nil, false},
	{"hooks.slack.com/services/", 16, nil, true}, {"hooks.slack.com/workflows/", 16, nil, true}, {"hooks.slack.com/triggers/", 16, nil, true},
	{"discord.com/api/webhooks/", 30, nil, true}, {"discordapp.com/api/webhooks/", 30, nil, true}, {"webhook.office.com/webhookb2/", 30, nil, true},
	// payments, mail, telephones
	{"sk_live_", 10, nil, false}, {"rk_live_", 10, nil, false}, {"sk_test_", 10, nil, false}, {"rk_test_", 10, nil, false}, {"sq0atp-", 20, nil, false}, {"sq0csp-", 20, nil, false},
	{"shpat_", 30, nil, false}, {"shpss_", 30, nil, false}, {"shpca_", 30, nil, false},
	{"SG.", 40, isMixed, false}, {"SK", 32, isHex32, false}, {"key-", 32, isHex32, false},
	// packages
	{"npm_", 30, nil, false}, {"pypi-", 20, nil, false}, {"rubygems_", 30, nil, false}, {"dckr_pat_", 20, nil, false}, {"AKCp", 50, nil, false},
	// what builds, runs and watches
	{"hvs.", 20, nil, false}, {"hvb.", 20, nil, false}, {"atlasv1.", 40, nil, false}, {"pul-", 32, isMixed, false}, {"dp.pt.", 30, nil, false}, {"dp.st.", 30, nil, false},
	{"bkua_", 30, nil, false}, {"CCIPAT_", 20, nil, false}, {"sntrys_", 30, nil, false}, {"sntryu_", 30, nil, false}, {"glsa_", 30, nil, false}, {"glc_", 30, nil, false},
	{"NRAK-", 20, nil, false}, {"NRJS-", 16, nil, false}, {"dapi", 32, isHex32, false}, {"lin_api_", 30, nil, false}, {"hf_", 30, isMixed, false},
	{"tskey-", 20, nil, false}, {"sbp_", 30, nil, false}, {"pscale_tkn_", 30, nil, false}, {"pscale_pw_", 30, nil, false}, {"ops_eyJ", 30, nil, false},
	{"sk-", 20, isMixed, false}, {"sk-ant-", 20, nil, false}, {"AGE-SECRET-KEY-1", 40, nil, false},
	{"sdk-", 36, isUUID, false}, {"mob-", 36, isUUID, false}, {"api-", 36, isUUID, false},
	// ours, and whoever follows Standard Webhooks
	{"whsec_", 16, nil, false}, {"whsk_", 16, nil, false}, {"wc_live_", 16, nil, false}, {"wct_", 16, nil, false},
	// a JSON Web Token
	{"eyJ", 30, func(tail string) bool { return strings.Contains(tail, ".") }, false},
}

// isKeyID accepts the rest of an AWS access key id: 16 capitals and digits.
func isKeyID(tail string) bool {
	for i := range len(tail) {
		if c := tail[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(tail) == 16
}

// isMixed accepts what is no word: letters of both cases and digits.
func isMixed(tail string) bool {
	upper, lower, digit := classes(tail)
	return digit >= 2 && lower >= 2 && upper >= 2
}

func isHex32(tail string) bool { return len(tail) == 32 && isHex(tail) }

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

func isUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	return isHex(s[:8]) && isHex(s[9:13]) && isHex(s[14:18]) && isHex(s[19:23]) && isHex(s[24:])
}

// nameKind is what a name says of the value under it.
type nameKind int

const (
	notSecret   nameKind = iota
	password             // whatever stands there is one
	secretValue          // a secret, or the name of one
	credentials          // Authorization: with a scheme before it
)

// secretName goes by the end of a name: db_password, X-Api-Key, AccountKey.
func secretName(name string) nameKind {
	if len(name) < 3 || len(name) > 100 {
		return notSecret
	}
	for i := range secretNames[name[len(name)-1]|0x20] {
		if n := &secretNames[name[len(name)-1]|0x20][i]; endsIn(name, n.word) {
			return n.kind
		}
	}
	return notSecret
}

type namedKind struct {
	word string // in lower case, without - and _
	kind nameKind
}

// secretNames are by their last byte.
var secretNames = [256][]namedKind{
	'd': {{"password", password}, {"passwd", password}, {"pwd", password}},
	'e': {{"passphrase", password}, {"signature", secretValue}},
	'g': {{"sig", secretValue}, {"connectionstring", secretValue}},
	'n': {{"token", secretValue}, {"authorization", credentials}},
	's': {{"pgpass", password}, {"dbpass", password}, {"credentials", secretValue}},
	't': {{"secret", secretValue}},
	'y': {
		{"apikey", secretValue}, {"accesskey", secretValue}, {"secretkey", secretValue}, {"privatekey", secretValue}, {"accountkey", secretValue},
		{"secretaccesskey", secretValue}, {"encryptionkey", secretValue}, {"signingkey", secretValue}, {"masterkey", secretValue}, {"authkey", secretValue},
	},
}

// endsIn compares the end of a name, in any case, without its - and _.
func endsIn(name, word string) bool {
	i := len(name) - 1
	for k := len(word) - 1; k >= 0; k-- {
		for i >= 0 && (name[i] == '_' || name[i] == '-') {
			i--
		}
		if i < 0 || name[i]|0x20 != word[k] {
			return false
		}
		i--
	}
	if word == "sig" { // too short to be the end of anything
		return i < 0 || !isAlphanumeric(name[i])
	}
	return true
}

// isPlaceholder accepts what stands where a secret would: $PASSWORD, <secret>.
func isPlaceholder(v string) bool {
	switch v[0] {
	case '$', '<', '*', '%', '{', '[', '(':
		return true
	}
	switch strings.ToLower(v[:min(len(v), 10)]) {
	case "null", "none", "true", "false", "redacted", "changed", "masked", "hidden", "nil", "undefined", "required", "optional", "string":
		return true
	}
	return strings.Trim(v, "*xX.-") == ""
}

func hasDigitOrSymbol(v string) bool {
	for i := range len(v) {
		if c := v[i]; c >= '0' && c <= '9' || c == '!' || c == '#' || c == '%' || c == '^' || c == '+' || c == '/' {
			return true
		}
	}
	return false
}

// looksSecret tells a secret from the name of one: "MY_TOKEN", "deploy-key"
// and an ARN are names.
func looksSecret(v string) bool {
	if strings.HasPrefix(v, "arn:") || strings.HasPrefix(v, "http") || isUUID(v) || strings.ContainsAny(v, " ") {
		return false
	}
	upper, lower, digit := classes(v)
	if digit == 0 || upper+lower == 0 || digit == len(v) {
		return false
	}
	return float64(transitions(v)) >= 0.25*float64(len(v))
}

func classes(s string) (upper, lower, digit int) {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digit++
		case c >= 'a' && c <= 'z':
			lower++
		case c >= 'A' && c <= 'Z':
			upper++
		}
	}
	return upper, lower, digit
}

// transitions counts where small letters, capitals and digits meet: rarely in
// names, all the time in what is random.
func transitions(s string) int {
	n, last := 0, byte(0)
	for i := range len(s) {
		kind := classOf[s[i]]
		if kind != 0 && last != 0 && kind != last {
			n++
		}
		if kind != 0 {
			last = kind
		}
	}
	return n
}

// shortestRandom is how long a run must be for its randomness to tell.
const shortestRandom = 32

// random masks what is long and looks random: base64 of bytes that are no
// text. What is hexadecimal is left: commits, digests and ids are.
func (m *masker) random(start, end int) {
	if m.where == inJSON && isIDName(m.name) {
		return
	}
	s := m.s
	for i := start; i < end; {
		stop := i
		for stop < end && s[stop] != '.' {
			stop++
		}
		m.randomPiece(i, stop)
		i = stop + 1
	}
}

func (m *masker) randomPiece(start, end int) {
	if end-start < shortestRandom || m.from > start {
		return
	}
	piece := m.s[start:end]
	if strings.IndexByte(piece, '/') < 0 {
		m.randomWord(start, end)
		return
	}
	if len(piece)%4 == 0 && strings.Count(piece, "/") <= len(piece)/16 && piece[0] != '/' && isRandom(piece) && !hasHexPart(piece) {
		m.randomWord(start, end)
		return
	}
	for i := start; i < end; {
		stop := i
		for stop < end && m.s[stop] != '/' {
			stop++
		}
		m.randomWord(i, stop)
		i = stop + 1
	}
}

func (m *masker) randomWord(start, end int) {
	s := m.s
	if end-start < shortestRandom || m.from > start || !isRandom(s[start:end]) || m.before.isNamed(s, start) || isEncodedText(s[start:end]) || isNodeID(s[start:end]) {
		return
	}
	for end < len(s) && s[end] == '=' {
		end++
	}
	m.mask(start, end)
}

// isRandom asks for capitals, small letters and digits that change places as
// often as chance has it. Of 40 characters, which is how long AWS's secret keys
// are, it asks less.
func isRandom(s string) bool {
	upper, lower, digit := classes(s)
	if upper < 4 || lower < 4 || digit < 1 || upper+lower+digit < len(s)*9/10 {
		return false
	}
	often, small := float64(transitions(s))/float64(len(s)), longestSmall(s)
	return digit >= 2 && often >= 0.45 && small <= 6 || len(s) == 40 && often >= 0.3 && small <= 4
}

// longestSmall is the length of the longest run of small letters.
func longestSmall(s string) int {
	longest, run := 0, 0
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}

// hasHexPart reports whether a path has a commit or digest in it.
func hasHexPart(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if len(part) >= 7 && isHex(part) {
			return true
		}
	}
	return false
}

// surroundings is what stands before a place in a text. It is moved forward only.
type surroundings struct {
	at     int  // what is before is known
	word   int  // where the word began that goes on at at
	digest int  // where a digest was named last, and 0
	public bool // in a certificate, or another part of PEM that is no private key: those are masked by now
}

// namedWithin is how long a URL may be whose parts are let be, and how far a
// digest may be from its name.
const namedWithin = 4096

// isNamed reports whether what stands at i belongs to a digest, such as
// sha256:..., to an ARN, to a URL (whose secrets have names, or shapes), or to
// a certificate.
func (b *surroundings) isNamed(s string, i int) bool {
	for ; b.at < i; b.at++ {
		switch seen := s[:b.at+1]; s[b.at] {
		case ' ', '"', '\'', '\n':
			b.word, b.digest = len(seen), 0
			b.public = strings.HasSuffix(seen, keyBegin) || b.public && !strings.HasSuffix(seen, keyEnd)
		case '2', '4', '6': // the last of sha512, sha384, sha256
			for _, name := range [...]string{"sha256", "sha512", "sha384", "SHA256"} {
				if strings.HasSuffix(seen[b.word:], name) {
					b.digest = len(seen)
				}
			}
		}
	}
	word := s[b.word:]
	return b.public || strings.HasPrefix(word, "sha") || strings.HasPrefix(word, "SHA") ||
		b.digest > 0 && i-b.digest < namedWithin ||
		i-b.word < namedWithin && (strings.HasPrefix(word, "http://") || strings.HasPrefix(word, "https://") || strings.HasPrefix(word, "arn:"))
}

// isEncodedText reports whether s is base64 of text, as ids of APIs are:
// MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI= is "010:Repository186853002".
func isEncodedText(s string) bool {
	var buf [96]byte
	n := min(len(s), 128) / 4 * 4
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(s[:n], "-_") {
		encoding = base64.RawURLEncoding
	}
	decoded, err := encoding.Decode(buf[:], []byte(s[:n]))
	if err != nil {
		return false
	}
	plain := 0
	for _, c := range buf[:decoded] {
		if c >= ' ' && c < 0x7f || c == '\n' {
			plain++
		}
	}
	return plain*20 >= decoded*19
}

// isNodeID accepts the ids of GitHub's newer form: C_kwDOGq3yNtoAKDZk...
func isNodeID(s string) bool {
	kind, rest, ok := strings.Cut(s, "_")
	return ok && len(kind) <= 6 && len(rest) > 2 && (rest[0] == 'k' || rest[0] == 'l') && strings.ToUpper(kind) == kind
}

// isIDName reports whether a name says that a random value is no secret.
func isIDName(name string) bool {
	for _, end := range [...]string{"id", "ids", "arn", "etag", "sha", "hash", "digest", "checksum", "url", "uri", "href", "link", "name", "cursor", "fingerprint", "id2", "path", "revision", "version", "thumbprint", "nonce", "sha1", "sha256", "sha512", "md5", "certificate"} {
		if len(name) >= len(end) && endsIn(name, end) {
			return true
		}
	}
	return false
}

// isRun are the characters of tokens, of base64 and of paths; classOf tells
// small letters, capitals and digits apart.
var isRun, classOf = func() (run [256]bool, class [256]byte) {
	for c := range 256 {
		switch {
		case c >= 'a' && c <= 'z':
			class[c] = 'a'
		case c >= 'A' && c <= 'Z':
			class[c] = 'A'
		case c >= '0' && c <= '9':
			class[c] = '0'
		}
		run[c] = class[c] != 0 || strings.IndexByte("_-.+/", byte(c)) >= 0
	}
	return run, class
}()

// isEnd reports whether a value written without quotes ends at s[i].
func isEnd(s string, i int) bool {
	switch s[i] {
	case ' ', '\t', '\n', '\r', '"', '\'', '`', '\\', '&', ';', ',', ')', '}', ']', '<', '>', '|':
		return true
	}
	return false
}

// isStringEnd reports whether a string of JSON ends at s[i].
func isStringEnd(s string, i int) bool {
	if s[i] != '"' {
		return false
	}
	backslashes := 0
	for i > backslashes && s[i-1-backslashes] == '\\' {
		backslashes++
	}
	return backslashes%2 == 0
}

func skipBlanks(s string, i int) int {
	for n := 0; i < len(s) && n < 3 && s[i] == ' '; n++ {
		i++
	}
	return i
}

func skipQuote(s string, i int) int {
	if i+1 < len(s) && s[i] == '\\' && s[i+1] == '"' {
		return i + 2
	}
	if i < len(s) && (s[i] == '"' || s[i] == '\'') {
		return i + 1
	}
	return i
}

func isTokenByte(c byte) bool { return isAlphanumeric(c) || c == '_' || c == '-' || c == '.' }

func isTokenEnd(s string, i int) bool { return !isTokenByte(s[i]) }

func isAddressEnd(s string, i int) bool { return !isTokenByte(s[i]) && s[i] != '/' }

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
