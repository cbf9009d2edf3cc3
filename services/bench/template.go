package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"time"
)

// kind says what a slot of a template is filled with.
type kind uint8

const (
	kindHex    kind = iota // a sha
	kindUUID               // a delivery id
	kindClock              // 2006-01-02T15:04:05Z, the moment of sending; without Z when 19 long
	kindEpoch              // seconds since 1970
	kindNumber             // digits that do not start with 0
	kindWord               // lower case letters and digits
	kindText               // what a person might write: words and spaces
)

var kinds = map[string]kind{
	"hex": kindHex, "uuid": kindUUID, "clock": kindClock, "epoch": kindEpoch,
	"number": kindNumber, "word": kindWord, "text": kindText,
}

const (
	clockLayout = "2006-01-02T15:04:05Z"
	uuidLayout  = "00000000-0000-4000-8000-000000000000"
	epochWidth  = 10
)

// slot is one fresh value of a template, and every place where it stands.
type slot struct {
	kind  kind
	width int
	at    []int
}

// template is a text with places that are filled anew for each use. Its size
// never changes, so that filling it costs a copy and the fresh bytes.
type template struct {
	text  []byte
	slots []slot
	keys  map[string]int // slot by kind and name
}

// place appends a slot to the template's text. Equal names hold equal values.
func (t *template) place(k kind, name string, width int) {
	key := strconv.Itoa(int(k)) + "/" + strconv.Itoa(width) + "/" + name
	i, known := t.keys[key]
	if !known {
		if t.keys == nil {
			t.keys = map[string]int{}
		}
		i = len(t.slots)
		t.keys[key] = i
		t.slots = append(t.slots, slot{kind: k, width: width})
	}
	t.slots[i].at = append(t.slots[i].at, len(t.text))
	t.text = append(t.text, bytes.Repeat([]byte{'?'}, width)...)
}

func (t *template) literal(text []byte) { t.text = append(t.text, text...) }

// fresh is the number of bytes of text that no other use of the template has.
func (t *template) fresh() int {
	n := 0
	for _, s := range t.slots {
		if s.kind == kindText {
			n += s.width
		}
	}
	return n
}

// fill writes the template into dst, reusing its memory, with fresh values.
func (t *template) fill(dst []byte, rng *rand.PCG, now time.Time) []byte {
	dst = append(dst[:0], t.text...)
	for i := range t.slots {
		s := &t.slots[i]
		first := dst[s.at[0] : s.at[0]+s.width]
		fillSlot(first, s.kind, rng, now)
		for _, at := range s.at[1:] {
			copy(dst[at:], first)
		}
	}
	return dst
}

const (
	hexDigits  = "0123456789abcdef"
	wordDigits = "abcdefghijklmnopqrstuvwxyz234567"
	// 64 characters, ten of them spaces: words of about six letters, and 5.3
	// bits of chance in each character.
	textDigits = "abcdefghijklmnopqrstuvwxyz" + "eariotnslc" + "0123456789" + "ABCDEFGH" + "          "
)

func fillSlot(b []byte, k kind, rng *rand.PCG, now time.Time) {
	switch k {
	case kindHex:
		fillFrom(b, hexDigits, 4, rng)
	case kindWord:
		fillFrom(b, wordDigits, 5, rng)
	case kindText:
		fillFrom(b, textDigits, 6, rng)
	case kindUUID:
		fillFrom(b, hexDigits, 4, rng)
		for i, c := range []byte(uuidLayout) {
			if c != '0' {
				b[i] = c
			}
		}
	case kindClock:
		var clock [len(clockLayout)]byte
		copy(b, now.UTC().AppendFormat(clock[:0], clockLayout))
	case kindEpoch:
		var digits [20]byte
		copy(b, strconv.AppendInt(digits[:0], now.Unix(), 10))
	case kindNumber:
		for i := range b {
			b[i] = '0' + byte(rng.Uint64()%10)
		}
		b[0] = '1' + byte(rng.Uint64()%9)
	}
}

// fillFrom fills b with digits, each of which takes bitsEach of chance.
func fillFrom(b []byte, digits string, bitsEach int, rng *rand.PCG) {
	mask := uint64(len(digits) - 1)
	var v uint64
	left := 0
	for i := range b {
		if left < bitsEach {
			v, left = rng.Uint64(), 64
		}
		b[i] = digits[v&mask]
		v >>= bitsEach
		left -= bitsEach
	}
}

var marker = regexp.MustCompile(`\{\{(\w+) (\w+)(?: (\d+))?\}\}`)

// addMarked adds a text in which {{kind name width}} marks the slots.
func (t *template) addMarked(text []byte) error {
	end := 0
	for _, m := range marker.FindAllSubmatchIndex(text, -1) {
		k, known := kinds[string(text[m[2]:m[3]])]
		if !known {
			return fmt.Errorf("unknown kind of slot in %s", text[m[0]:m[1]])
		}
		width := 0
		switch k {
		case kindUUID:
			width = len(uuidLayout)
		case kindClock:
			width = len(clockLayout)
		case kindEpoch:
			width = epochWidth
		default:
			if m[6] < 0 {
				return fmt.Errorf("no width in %s", text[m[0]:m[1]])
			}
			width, _ = strconv.Atoi(string(text[m[6]:m[7]]))
		}
		t.literal(text[end:m[0]])
		t.place(k, string(text[m[4]:m[5]]), width)
		end = m[1]
	}
	t.literal(text[end:])
	return nil
}

// identities finds what makes one payload another: commit shas, UUIDs, times
// to the second, and long numbers under "id".
var identities = regexp.MustCompile(
	`(?P<hex>\b[0-9a-f]{40}\b)` +
		`|(?P<uuid>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b)` +
		`|(?P<clock>\b2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d)` +
		`|"id"\s*:\s*(?P<number>[1-9]\d{4,17})\b`)

// addFound adds a text and turns into slots the identities it finds; a value
// that stands in several places stays one value. Shas and ids of zeros only
// mean "none" and stay.
func (t *template) addFound(text []byte) {
	names := identities.SubexpNames()
	end := 0
	for _, m := range identities.FindAllSubmatchIndex(text, -1) {
		for g := 1; g < len(names); g++ {
			from, to := m[2*g], m[2*g+1]
			if from < 0 {
				continue
			}
			value := text[from:to]
			if len(bytes.Trim(value, "0-")) == 0 {
				continue
			}
			t.literal(text[end:from])
			name := string(value)
			if kinds[names[g]] == kindClock {
				name = "now"
			}
			t.place(kinds[names[g]], name, len(value))
			end = to
		}
	}
	t.literal(text[end:])
}
