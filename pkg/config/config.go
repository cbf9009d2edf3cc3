// Package config fills a program's configuration from, in this order, its
// defaults, a YAML file, the environment and flags. The configuration is a
// plain struct; a key is the snake-case path of its fields, so that
// Config.Bus.MaxBytes is bus.max_bytes in the file and
// WHATCHANGED_BUS_MAX_BYTES in the environment. An unknown key is an error.
package config

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// Prefix starts the name of every environment variable that is read.
const Prefix = "WHATCHANGED_"

// Sources says where settings come from besides the defaults.
type Sources struct {
	File    string            // a YAML file; empty for none
	Environ []string          // as os.Environ returns it
	Ignore  []string          // names under Prefix that belong to others
	Flags   map[string]string // by key, only those that were given
}

// Load fills cfg, a pointer to a struct that holds the defaults. Every fault is
// reported, not only the first.
func Load(cfg any, from Sources) error {
	fields := Fields(cfg)
	k := koanf.New(".")
	if from.File != "" {
		if err := k.Load(file.Provider(from.File), yaml.Parser()); err != nil {
			return fmt.Errorf("read configuration %s: %w", from.File, err)
		}
	}
	environ, unknown := fromEnviron(from, fields)
	for _, layer := range []map[string]any{environ, flags(from)} {
		if err := k.Load(confmap.Provider(layer, "."), nil); err != nil {
			return fmt.Errorf("merge configuration: %w", err)
		}
	}
	for _, key := range k.Keys() {
		emptySection := k.Get(key) == nil && hasUnder(fields, key)
		if !known(fields, key) && !emptySection {
			unknown = append(unknown, fmt.Errorf("unknown key %q%s", key, suggest(fields, key)))
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("configuration: %w", errors.Join(unknown...))
	}
	return decode(cfg, k)
}

// decode puts what was given into the fields of cfg, one at a time, so that a
// fault names its key.
func decode(cfg any, k *koanf.Koanf) error {
	var faults []error
	walk(reflect.Indirect(reflect.ValueOf(cfg)), "", func(key string, v reflect.Value, _ reflect.Type, _ string) {
		if !k.Exists(key) {
			return
		}
		d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
			Result:           v.Addr().Interface(),
			WeaklyTypedInput: true,
			DecodeHook: mapstructure.ComposeDecodeHookFunc(
				mapstructure.StringToTimeDurationHookFunc(),
				mapstructure.TextUnmarshallerHookFunc(),
				mapstructure.StringToSliceHookFunc(","),
			),
		})
		if err == nil {
			err = d.Decode(k.Get(key))
		}
		if k.Get(key) == "" && v.Kind() != reflect.String && v.Kind() != reflect.Slice {
			err = errEmpty
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s (%s): want %s", key, Env(key), wanted(v)))
		}
	})
	if len(faults) > 0 {
		return fmt.Errorf("configuration: %w", errors.Join(faults...))
	}
	return nil
}

// errEmpty: an empty variable is not a number, and above all not 0, which often
// means that there is no limit.
var errEmpty = errors.New("empty")

// wanted says what a field takes. What was given instead is not shown: it may
// be a secret at the wrong place.
func wanted(v reflect.Value) string {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return "a duration, such as 20s or 5m"
	}
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list, or its elements with commas"
	case reflect.String:
		return "a text"
	default:
		return "a number without a unit"
	}
}

// Field is one setting: its key, its value now, and the struct and field that
// declare it.
type Field struct {
	Key   string
	Value any
	In    reflect.Type
	Name  string
}

// Fields lists the settings of a configuration in the order they are declared.
func Fields(cfg any) []Field {
	var out []Field
	walk(reflect.Indirect(reflect.ValueOf(cfg)), "", func(key string, v reflect.Value, in reflect.Type, name string) {
		out = append(out, Field{key, v.Interface(), in, name})
	})
	return out
}

// Env returns the name of the environment variable for key.
func Env(key string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func walk(v reflect.Value, prefix string, visit func(key string, v reflect.Value, in reflect.Type, name string)) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		key := prefix + snake(field.Name)
		_, text := reflect.TypeAssert[encoding.TextMarshaler](v.Field(i))
		if field.Type.Kind() == reflect.Struct && !text {
			walk(v.Field(i), key+".", visit)
			continue
		}
		visit(key, v.Field(i), v.Type(), field.Name)
	}
}

func fromEnviron(from Sources, fields []Field) (map[string]any, []error) {
	byName := make(map[string]string, len(fields))
	for _, f := range fields {
		byName[Env(f.Key)] = f.Key
	}
	out := make(map[string]any)
	var unknown []error
	for _, pair := range from.Environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, Prefix) || slices.Contains(from.Ignore, name) {
			continue
		}
		key, ok := byName[name]
		if !ok {
			unknown = append(unknown, fmt.Errorf("unknown environment variable %s%s", name, suggestEnv(fields, name)))
			continue
		}
		out[key] = value
	}
	slices.SortFunc(unknown, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return out, unknown
}

func flags(from Sources) map[string]any {
	out := make(map[string]any, len(from.Flags))
	for key, value := range maps.All(from.Flags) {
		out[key] = value
	}
	return out
}

func known(fields []Field, key string) bool {
	return slices.ContainsFunc(fields, func(f Field) bool { return f.Key == key })
}

// hasUnder reports whether section has keys.
func hasUnder(fields []Field, section string) bool {
	return slices.ContainsFunc(fields, func(f Field) bool { return strings.HasPrefix(f.Key, section+".") })
}

// suggest names the known keys that end in the same word, since most wrong
// keys are right ones at the wrong place.
func suggest(fields []Field, key string) string {
	last := key[strings.LastIndexByte(key, '.')+1:]
	for _, f := range fields {
		if f.Key == last || strings.HasSuffix(f.Key, "."+last) {
			return fmt.Sprintf(" (did you mean %q?)", f.Key)
		}
	}
	return ""
}

// suggestEnv names the variable that name was meant to be: the one that differs
// by two characters at most, else one that ends as it does.
func suggestEnv(fields []Field, name string) string {
	best, least := "", 3
	for _, f := range fields {
		if d := distance(name, Env(f.Key)); d < least {
			best, least = Env(f.Key), d
		}
	}
	for _, f := range fields {
		if best == "" && strings.HasSuffix(Env(f.Key), "_"+strings.TrimPrefix(name, Prefix)) {
			best = Env(f.Key)
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// distance is how many characters must be added, removed or replaced to turn a
// into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// snake turns a Go field name into a key: MaxBytes is max_bytes, CAFile ca_file.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		startsWord := i > 0 && unicode.IsUpper(r) &&
			(unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if startsWord {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
