// Package redact copies JSON that a provider sent less what may be secret, so
// that metadata can show what was asked for and never holds a password. It
// goes by the names of members; the shapes of known tokens are masked later,
// in everything that a normalizer makes.
package redact

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"
)

// maxDepth is how deep a copy goes; what lies deeper becomes null.
const maxDepth = 24

// JSON returns a copy of v without the members that Secret names, or nil if v
// is not there, is null, or has nothing left.
func JSON(v gjson.Result) json.RawMessage {
	if raw := Raw(v); raw != "" {
		return json.RawMessage(raw)
	}
	return nil
}

// Raw is JSON as text: "" for nil, and no copy of what can be had as it is.
func Raw(v gjson.Result) string {
	switch v.Type {
	case gjson.Null:
		return ""
	case gjson.JSON:
		out := appendValue(make([]byte, 0, len(v.Raw)), "", v, 0)
		if len(out) <= len("{}") {
			return ""
		}
		return string(out)
	default:
		return v.Raw
	}
}

// Secret reports whether a member of this name may hold a secret. A name that
// only points at a secret ("secretId") does not.
func Secret(name string) bool {
	if len(name) < len("sig") || !suspicious(name) {
		return false // most names
	}
	name = strings.ToLower(name)
	switch name {
	case "secretid", "secretarn", "secretname", "secretids", "secrettype", "secretproviderclass", "secretversion",
		"tokenendpoint", "metadatatoken", "httptokens":
		return false
	case "variables", "environmentvariables", "stringdata", "rawdata", "sig", "routing_key", "callback_url":
		return true
	}
	for _, part := range []string{
		"password", "passwd", "passphrase", "secret", "token", "accesskey", "privatekey", "userdata",
		"credential", "connectionstring", "apikey", "api_key", "api-key", "private_key", "access_key", "sharedkey", "accountkey", "startup-script",
	} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// suspicious reports whether name, in any case, has a piece that all of
// Secret's words have one of.
func suspicious(name string) bool {
	for i := 0; i+3 <= len(name); i++ {
		switch [3]byte{name[i] | 0x20, name[i+1] | 0x20, name[i+2] | 0x20} {
		case [3]byte{'k', 'e', 'y'}, [3]byte{'p', 'a', 's'}, [3]byte{'s', 'e', 'c'}, [3]byte{'t', 'o', 'k'}, [3]byte{'d', 'a', 't'},
			[3]byte{'c', 'r', 'e'}, [3]byte{'s', 't', 'r'}, [3]byte{'s', 'c', 'r'}, [3]byte{'v', 'a', 'r'}, [3]byte{'s', 'i', 'g'}, [3]byte{'u', 'r', 'l'}:
			return true
		}
	}
	return false
}

// appendValue copies v, which stands under the name parent.
func appendValue(dst []byte, parent string, v gjson.Result, depth int) []byte {
	switch {
	case v.Type != gjson.JSON:
		return append(dst, v.Raw...)
	case depth >= maxDepth:
		return append(dst, "null"...)
	case v.IsArray():
		return appendArray(dst, parent, v, depth)
	default:
		return appendObject(dst, parent, v, depth)
	}
}

func appendArray(dst []byte, parent string, v gjson.Result, depth int) []byte {
	dst = append(dst, '[')
	first := true
	v.ForEach(func(_, item gjson.Result) bool {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendValue(dst, parent, item, depth+1)
		return true
	})
	return append(dst, ']')
}

func appendObject(dst []byte, parent string, v gjson.Result, depth int) []byte {
	dst = append(dst, '{')
	first := true
	v.ForEach(func(key, member gjson.Result) bool {
		if drop(parent, key.Str, member) || isSecretData(v, key.Str) {
			return true
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, key.Raw...)
		dst = append(dst, ':')
		name := key.Str
		if name == "items" { // AWS wraps lists: {"tagSet":{"items":[...]}}
			name = parent
		}
		dst = appendValue(dst, name, member, depth+1)
		return true
	})
	return append(dst, '}')
}

// drop decides about one member. A flag is never a secret
// ("passwordResetRequired": true), and what a bare "value" holds is only known
// to be harmless in a tag.
func drop(parent, name string, member gjson.Result) bool {
	if member.IsBool() || member.Type == gjson.Null {
		return false
	}
	switch {
	case strings.EqualFold(name, "authorization"), strings.EqualFold(name, "cookie"), strings.EqualFold(name, "set-cookie"):
		return member.Type == gjson.String // Azure has an object of that name
	case strings.EqualFold(name, "pwd"), strings.EqualFold(name, "pass"):
		return true
	case strings.EqualFold(name, "value"):
		p := strings.ToLower(parent)
		return !strings.HasPrefix(p, "tag") && p != "instancetype"
	}
	return Secret(name)
}

// isSecretData reports whether name is where a Secret of Kubernetes has its
// values.
func isSecretData(object gjson.Result, name string) bool {
	return name == "data" && object.Get("kind").Str == "Secret"
}
