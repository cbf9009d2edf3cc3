package normalizers

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// Meta builds a change's metadata, one JSON object whose keys keep the order
// in which they were set. The zero Meta is empty and ready.
type Meta struct {
	buf  []byte
	keys []string
}

// Set adds a value under the provider's own name for it. Nothing is added for
// what says nothing: nil, "", a zero time, an empty list or map; false and 0
// are values. The first value of a key stays.
func (m *Meta) Set(key string, value any) {
	switch v := value.(type) {
	case nil:
	case string:
		if v != "" && m.key(key) {
			m.buf = AppendString(m.buf, v)
		}
	case bool:
		if m.key(key) {
			m.buf = strconv.AppendBool(m.buf, v)
		}
	case int:
		m.Set(key, int64(v))
	case int64:
		if m.key(key) {
			m.buf = strconv.AppendInt(m.buf, v, 10)
		}
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			m.marshal(key, v)
		}
	case time.Time:
		if !v.IsZero() {
			m.Set(key, v.UTC().Format(time.RFC3339Nano))
		}
	case []string:
		if len(v) > 0 && m.key(key) {
			for i, s := range v {
				m.buf = append(m.buf, "[,"[min(i, 1)])
				m.buf = AppendString(m.buf, s)
			}
			m.buf = append(m.buf, ']')
		}
	case json.RawMessage:
		m.SetRaw(key, string(v))
	default:
		m.marshal(key, value)
	}
}

// SetRaw adds a value that is JSON already, such as a piece of the payload.
// What is not valid, null, "", [] and {} are left out.
func (m *Meta) SetRaw(key, value string) {
	before, keys := len(m.buf), len(m.keys)
	if !gjson.Valid(value) || !m.key(key) {
		return
	}
	at := len(m.buf)
	m.buf = appendCompact(m.buf, value)
	switch string(m.buf[at:]) {
	case "", "null", `""`, "[]", "{}":
		m.buf, m.keys = m.buf[:before], m.keys[:keys]
	}
}

// appendCompact appends valid JSON less the white space between its parts.
func appendCompact(b []byte, value string) []byte {
	for i := 0; i < len(value); {
		switch value[i] {
		case ' ', '\t', '\n', '\r':
			i++
			continue
		}
		from := i
		for i < len(value) && value[i] > ' ' {
			if value[i] != '"' {
				i++
				continue
			}
			for i++; i < len(value) && value[i] != '"'; i++ {
				if value[i] == '\\' {
					i++
				}
			}
			i++
		}
		i = min(i, len(value))
		b = append(b, value[from:i]...)
	}
	return b
}

// JSON returns the object, or nil when nothing was set. It is m's own memory:
// nothing can be set after it.
func (m *Meta) JSON() json.RawMessage {
	if len(m.buf) == 0 {
		return nil
	}
	return append(m.buf, '}')
}

func (m *Meta) marshal(key string, value any) {
	b, err := json.Marshal(value)
	if err == nil {
		m.SetRaw(key, string(b))
	}
}

// key begins a member, unless the key is there already.
func (m *Meta) key(key string) bool {
	if slices.Contains(m.keys, key) {
		return false
	}
	if m.buf == nil {
		m.buf, m.keys = make([]byte, 0, 1024), make([]string, 0, 32)
	}
	m.keys = append(m.keys, key)
	m.buf = append(m.buf, "{,"[min(len(m.buf), 1)])
	m.buf = AppendString(m.buf, key)
	m.buf = append(m.buf, ':')
	return true
}

// AppendString appends s to b as a JSON string of valid UTF-8, leaving
// characters such as < and & as they are.
func AppendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
				i++
				continue
			}
			b = append(b, s[from:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(b, s[from:i]...)
			b = append(b, "\uFFFD"...)
			from = i + 1
		}
		i += size
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}
