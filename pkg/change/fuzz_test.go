package change_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"whatchanged/pkg/change"
)

// FuzzParseID: an id is read from nothing but the form that we write, in small
// or capital letters.
func FuzzParseID(f *testing.F) {
	f.Add("01k0000000000000000000000z")
	f.Add("7zzzzzzzzzzzzzzzzzzzzzzzzz")
	f.Add("8zzzzzzzzzzzzzzzzzzzzzzzzz")
	f.Add("01K00000000000000000000ILO")
	f.Add("")
	f.Fuzz(func(t *testing.T, digits string) {
		check := func(prefix string, id fmt.Stringer, err error) {
			if err == nil && id.String() != prefix+strings.ToLower(digits) {
				t.Errorf("%q is %s", prefix+digits, id)
			}
		}
		id, err := change.ParseID("chg_" + digits)
		check("chg_", id, err)
		delivery, err := change.ParseDeliveryID("dlv_" + digits)
		check("dlv_", delivery, err)
		record, err := change.ParseAuditID("aud_" + digits)
		check("aud_", record, err)
		incident, err := change.ParseIncidentID("inc_" + digits)
		check("inc_", incident, err)
	})
}

// FuzzTime: a time that is read from JSON is written so that it is read again.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"2026-03-30T15:30:00Z", "2026-03-30T15:30:00.123456789+02:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var first, again change.Time
		if json.Unmarshal(text, &first) != nil {
			return
		}
		once, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(once, &again); err != nil {
			t.Fatalf("%q is written as %s: %v", s, once, err)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%s, and again %s, %v", once, twice, err)
		}
	})
}
