// Package phrase fills sentences that stand in tables with what a payload
// holds: "attached {policyArn} to role {roleName}[ in {cluster|clusterName}]".
// A {place} is filled with the first of its paths that has text. What stands in
// [brackets] is left out when one of its places stays empty; outside of them,
// an empty place means that the sentence cannot be said.
package phrase

import "strings"

// Fill returns the sentence with its places filled, and false when a place
// outside of brackets has nothing to fill it. value returns the text that a
// path leads to, or "".
func Fill(sentence string, value func(path string) string) (string, bool) {
	var b strings.Builder
	b.Grow(len(sentence) + 64)
	for sentence != "" {
		i := strings.IndexAny(sentence, "{[")
		if i < 0 {
			b.WriteString(sentence)
			break
		}
		b.WriteString(sentence[:i])
		if sentence[i] == '[' {
			optional, rest, _ := strings.Cut(sentence[i+1:], "]")
			if text, ok := Fill(optional, value); ok {
				b.WriteString(text)
			}
			sentence = rest
			continue
		}
		place, rest, _ := strings.Cut(sentence[i+1:], "}")
		text := first(place, value)
		if text == "" {
			return "", false
		}
		b.WriteString(text)
		sentence = rest
	}
	return b.String(), true
}

// Show returns the sentence for people: a place is named by its first path's
// last part.
func Show(sentence string) string {
	text, _ := Fill(strings.NewReplacer("[", "", "]", "").Replace(sentence), func(path string) string {
		path = strings.TrimSuffix(path, ".0")
		return "*" + strings.TrimSuffix(path[strings.LastIndexAny(path, ".=@$")+1:], "Arn") + "*"
	})
	return text
}

func first(place string, value func(string) string) string {
	for path := range strings.SplitSeq(place, "|") {
		if text := value(path); text != "" {
			return text
		}
	}
	return ""
}
