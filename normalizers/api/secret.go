package api

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// secretValues are the names under which a rotated secret itself would stand,
// in lower case and without - and _.
var secretValues = []string{
	"value", "oldvalue", "newvalue", "previousvalue", "currentvalue", "secretvalue", "secret", "oldsecret", "newsecret",
	"password", "oldpassword", "newpassword", "plaintext", "token", "oldtoken", "newtoken", "privatekey", "credential",
	"credentials", "apikey", "secretkey", "passphrase", "connectionstring",
}

// refuseValues fails when an event about a secret has a member that would hold
// the secret itself, at any depth.
func refuseValues(p *parser, path string, v gjson.Result, depth int) {
	if !v.IsObject() && !v.IsArray() {
		return
	}
	if depth > maxDepth {
		p.fail(wrong("metadata", "of an event about a secret must not be nested deeper than %d", maxDepth))
		return
	}
	v.ForEach(func(key, value gjson.Result) bool {
		inside := path
		if v.IsObject() {
			inside += "." + normalizers.Truncate(key.Str, 64)
			name := strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(key.Str))
			if slices.Contains(secretValues, name) && (value.Type == gjson.String || value.Type == gjson.Number) {
				p.fail(wrong(inside, "would hold the secret itself: say which secret, its versions and what is affected, never its value"))
			}
		}
		refuseValues(p, inside, value, depth+1)
		return p.err == nil
	})
}

// maskNamed masks the values of a setting whose key says that it is a secret:
// {"config_key": "db.password", "old_value": ..., "new_value": ...}. What looks
// like a secret by itself is masked in every change, later.
func maskNamed(c *change.Change) {
	if len(c.Metadata) == 0 {
		return
	}
	setting := gjson.GetBytes(c.Metadata, "config_key").Str
	if !redact.Secret(setting[strings.LastIndexByte(setting, '.')+1:]) {
		return
	}
	out, found := []byte{'{'}, false
	gjson.ParseBytes(c.Metadata).ForEach(func(key, value gjson.Result) bool {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(out, key.Raw...), ':')
		// A number is a limit or a time: token_ttl.
		if (key.Str == "old_value" || key.Str == "new_value") && value.Type == gjson.String && strings.Trim(value.Str, "0123456789.") != "" {
			out, found = append(out, `"***"`...), true
		} else {
			out = append(out, value.Raw...)
		}
		return true
	})
	if found {
		c.Metadata = json.RawMessage(append(out, '}'))
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintSecretMasked)
	}
}
