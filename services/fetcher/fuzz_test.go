package fetcher

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"whatchanged/pkg/change"
)

// FuzzEachRecord: the records that are handed over are all those of the file,
// in their order, or the file is malformed.
func FuzzEachRecord(f *testing.F) {
	for _, s := range []string{
		`{"Records":[{"eventID":"1"},2,[3]]}`, `{"digest":{},"Records":[],"Records":[1]}`, `{"Records":null}`, `{}`, `[]`, `{"Records":[1`, `{"Records":[1,]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		var got []json.RawMessage
		part := records{most: 1 << 20}
		err := eachRecord(json.NewDecoder(bytes.NewReader(object)), func(record json.RawMessage) error {
			got = append(got, bytes.Clone(record))
			part.add(record)
			return nil
		})
		if err != nil {
			if !errors.Is(err, change.ErrMalformed) {
				t.Errorf("%v is not malformed", err)
			}
			return
		}
		if len(got) == 0 {
			return
		}
		var again []json.RawMessage
		if err := eachRecord(json.NewDecoder(bytes.NewReader(part.body())), func(record json.RawMessage) error {
			again = append(again, bytes.Clone(record))
			return nil
		}); err != nil || len(again) != len(got) {
			t.Fatalf("%d records, and %d of the part made of them, %v", len(got), len(again), err)
		}
		for i := range got {
			if !bytes.Equal(got[i], again[i]) {
				t.Errorf("record %d is %s, and then %s", i, got[i], again[i])
			}
		}
	})
}
