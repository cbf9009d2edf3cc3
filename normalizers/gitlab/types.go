package gitlab

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
)

// decode fills one of go-gitlab's types. A field that is not as it expects
// stays empty: GitLab writes times in three ways, and go-gitlab reads one.
func decode(body []byte, into any) {
	if fill(body, into) {
		return
	}
	var tree any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber() // whatever size they have
	if err := d.Decode(&tree); err != nil {
		return
	}
	rewriteTimes(tree)
	repaired, err := json.Marshal(tree)
	if err == nil {
		fill(repaired, into)
	}
}

// fill reports whether decoding went to the end.
func fill(body []byte, into any) bool {
	err := json.Unmarshal(body, into)
	var odd *json.UnmarshalTypeError // the field was skipped, and the rest is there
	return err == nil || errors.As(err, &odd)
}

// rewriteTimes writes times as RFC 3339, and removes what is none.
func rewriteTimes(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			rewriteTimes(item)
		}
	case map[string]any:
		for key, value := range v {
			if !strings.HasSuffix(key, "_at") && key != "timestamp" {
				rewriteTimes(value)
				continue
			}
			text, _ := value.(string)
			if t, ok := normalizers.ParseTime(text); ok {
				v[key] = t
			} else {
				delete(v, key)
			}
		}
	}
}

// kindOf returns GitLab's word for the event: object_kind, or event_name for
// the events that have none. A custom template may leave out both: then the
// header tells.
func kindOf(body gjson.Result, header string) string {
	for _, name := range []string{"object_kind", "event_name"} {
		if kind := body.Get(name); kind.Type == gjson.String && kind.Str != "" {
			return kind.Str
		}
	}
	kind := strings.ToLower(strings.TrimSuffix(header, " Hook"))
	kind = strings.TrimPrefix(kind, "confidential ")
	switch kind {
	case "job":
		return "build"
	case "resource access token":
		return "access_token"
	case "wiki page":
		return "wiki_page"
	}
	return strings.ReplaceAll(kind, " ", "_")
}
