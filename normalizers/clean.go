package normalizers

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"whatchanged/pkg/change"
)

// Limits of text fields, in bytes: a description may be long, a name never is.
const (
	maxText = 16 << 10
	maxName = 1 << 10
	maxTags = 100
)

// clean makes every text of a change fit to be stored and shown: valid UTF-8,
// of bounded length, without secrets, the summary on one line.
func clean(c *change.Change) {
	secret := false
	name := func(fields ...*string) {
		for _, f := range fields {
			*f = text(*f, maxName, inName, &secret)
		}
	}
	c.Summary = Truncate(OneLine(text(c.Summary, maxText, inText, &secret)), change.MaxSummary)
	if c.Summary == "" {
		c.Summary = strings.ReplaceAll(string(c.Type), "_", " ")
	}
	c.Description = text(c.Description, maxText, inText, &secret)
	c.CommitMessage = text(c.CommitMessage, maxText, inText, &secret)
	name(&c.ServiceName, &c.Action, &c.Source, &c.Environment, &c.ChangedBy, &c.Actor.ID, &c.Actor.Name, &c.Actor.Type,
		&c.Resource.Type, &c.Resource.ID, &c.Resource.Name, &c.Resource.URL, &c.Repository, &c.CommitSHA, &c.Branch,
		&c.Version, &c.PRNumber, &c.PRURL, &c.PipelineURL, &c.Account, &c.Region, &c.ExternalID, &c.CorrelationID, &c.SessionID)
	c.Tags = c.Tags[:min(len(c.Tags), maxTags)]
	for i := range c.Tags {
		c.Tags[i] = text(c.Tags[i], maxName, inText, &secret)
	}
	if len(c.Metadata) > 0 {
		c.Metadata = cleanMetadata(c, &secret)
	}
	if secret {
		c.RiskHints = AddHints(c.RiskHints, HintSecretMasked)
	}
}

// text returns s as valid UTF-8, at most limit bytes, with secrets masked.
func text(s string, limit int, where place, secret *bool) string {
	if s == "" {
		return ""
	}
	s = s[:min(len(s), 2*limit)] // masking shortens; nobody reads megabytes of description
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if len(s) >= shortestNamed {
		var found bool
		if s, found = maskSecrets(s, where); found {
			*secret = true
		}
	}
	if len(s) > limit {
		s = s[:limit-len("…")]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1] // the cut went through a character
		}
		s += "…"
	}
	return s
}

// cleanMetadata returns the metadata as one JSON object of at most
// change.MaxMetadata bytes.
func cleanMetadata(c *change.Change, secret *bool) json.RawMessage {
	meta := string(c.Metadata)
	if !utf8.ValidString(meta) {
		meta = strings.ToValidUTF8(meta, "\uFFFD")
	}
	meta, found := maskSecrets(replaceLoneSurrogates(meta), inJSON) // before a cut could halve one
	*secret = *secret || found
	if cut, truncated := cutMetadata(meta, change.MaxMetadata); truncated {
		meta = cut
		c.RiskHints = AddHints(c.RiskHints, HintMetadataTruncated)
	}
	if meta == string(c.Metadata) {
		return c.Metadata
	}
	return json.RawMessage(meta)
}

// replaceLoneSurrogates writes \ufffd in place of half a surrogate pair, which
// JSON's grammar allows and its other readers choke on.
func replaceLoneSurrogates(s string) string {
	if !strings.Contains(s, `\ud`) && !strings.Contains(s, `\uD`) {
		return s
	}
	b := []byte(s)
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		high, ok := surrogate(b[i:])
		if !ok {
			i++ // whatever is escaped is no escape's start
			continue
		}
		if low, ok := surrogate(b[min(i+6, len(b)):]); ok && high && !low {
			i += 11
			continue
		}
		copy(b[i:], `\ufffd`)
		i += 5
	}
	return string(b)
}

// surrogate reports whether b starts with the escape of half a surrogate pair,
// and whether that is the high half.
func surrogate(b []byte) (high, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' || b[2]|0x20 != 'd' {
		return false, false
	}
	switch b[3] | 0x20 {
	case '8', '9', 'a', 'b':
		return true, true
	case 'c', 'd', 'e', 'f':
		return false, true
	}
	return false, false
}

// cutMetadata returns an object of at most limit bytes that keeps what is
// small: the largest members go first, and leave the start of their text.
func cutMetadata(meta string, limit int) (string, bool) {
	if len(meta) <= limit {
		return meta, false
	}
	type member struct {
		key  string // as in the JSON, with quotes
		raw  string
		text string
	}
	var members []member
	var order []int
	size := len("{}")
	gjson.Parse(meta).ForEach(func(key, value gjson.Result) bool {
		if len(key.Raw) <= maxName && len(members) < 10_000 {
			order = append(order, len(members))
			members = append(members, member{key.Raw, value.Raw, value.String()})
			size += len(key.Raw) + len(value.Raw) + len(":,")
		}
		return true
	})
	slices.SortStableFunc(order, func(a, b int) int { return len(members[b].raw) - len(members[a].raw) })
	for _, i := range order {
		if size <= limit {
			break
		}
		m := &members[i]
		size -= len(m.raw)
		keep := m.text[:min(len(m.text), 1000)]
		m.raw = string(AppendString(nil, strings.ToValidUTF8(keep, "")+"…"))
		if size+len(m.raw) > limit {
			m.key, m.raw = "", ""
		}
		size += len(m.raw)
	}
	out := []byte{'{'}
	for _, m := range members {
		if m.key == "" {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, m.key...)
		out = append(out, ':')
		out = append(out, m.raw...)
	}
	return string(append(out, '}')), true
}
