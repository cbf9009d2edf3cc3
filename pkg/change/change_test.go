package change_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"whatchanged/pkg/change"
)

var noon = time.Date(2026, 3, 30, 12, 0, 0, 123_456_789, time.UTC)

func TestNewID_TheSameFactHasTheSameID(t *testing.T) {
	a := change.NewID(noon, "acme", "github", "push:1")
	if b := change.NewID(noon, "acme", "github", "push:1"); a != b {
		t.Errorf("ids differ: %s and %s", a, b)
	}
	f := func(what string, other change.ID) {
		t.Helper()
		if a == other {
			t.Errorf("another %s gives the same id", what)
		}
	}
	f("org", change.NewID(noon, "globex", "github", "push:1"))
	f("provider", change.NewID(noon, "acme", "gitlab", "push:1"))
	f("key", change.NewID(noon, "acme", "github", "push:2"))
	f("cut between the parts", change.NewID(noon, "acmeg", "ithub", "push:1"))
	f("time", change.NewID(noon.Add(time.Millisecond), "acme", "github", "push:1"))
}

func TestID_CarriesItsTimeToTheMillisecond(t *testing.T) {
	id := change.NewID(noon, "acme", "github", "push:1")
	if want := noon.Truncate(time.Millisecond); !id.Time().Equal(want) {
		t.Errorf("time = %s, want %s", id.Time(), want)
	}
	if d := change.NewDeliveryID(noon); !d.Time().Equal(noon.Truncate(time.Millisecond)) {
		t.Errorf("delivery's time = %s", d.Time())
	}
}

func TestID_RoundTripsThroughText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := change.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		text := id.String()
		if !strings.HasPrefix(text, "chg_") || len(text) != 30 {
			t.Fatalf("text = %q", text)
		}
		for _, form := range []string{text, "chg_" + strings.ToUpper(text[4:])} {
			back, err := change.ParseID(form)
			if err != nil || back != id {
				t.Fatalf("ParseID(%q) = %s, %v", form, back, err)
			}
		}
	})
}

func TestID_TextSortsLikeTime(t *testing.T) {
	early := change.NewID(noon, "acme", "github", "b").String()
	late := change.NewID(noon.Add(time.Second), "acme", "github", "a").String()
	if early >= late {
		t.Errorf("%s does not sort before %s", early, late)
	}
}

func TestParseID_RefusesWhatIsNoID(t *testing.T) {
	f := func(s string) {
		t.Helper()
		if _, err := change.ParseID(s); !errors.Is(err, change.ErrMalformed) {
			t.Errorf("ParseID(%q) = %v, want malformed", s, err)
		}
	}
	f("")
	f("chg_")
	f("dlv_00000000000000000000000000")
	f("chg_0000000000000000000000000")
	f("chg_000000000000000000000000000")
	f("chg_80000000000000000000000000") // 131 bits
	f("chg_0000000000000000000000000u")
	f("chg_0000000000000000000000000\n")
}

func TestChange_JSONLeavesOutWhatIsEmpty(t *testing.T) {
	id := change.NewID(noon, "acme", "github", "x")
	got, err := json.Marshal(change.Change{
		ID: id, Org: "acme", Type: change.Code, Summary: "s", OccurredAt: change.At(noon),
		CreatedAt: change.At(noon.Truncate(time.Second)), Metadata: json.RawMessage(`{"n":1e400}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"` + id.String() + `","change_type":"code","summary":"s","metadata":{"n":1e400},` +
		`"occurred_at":"2026-03-30T12:00:00.123Z","created_at":"2026-03-30T12:00:00.000Z"}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

func TestTime_ReadsAnyZoneAndKeepsUTC(t *testing.T) {
	var got change.Time
	if err := json.Unmarshal([]byte(`"2026-03-30T14:00:00.1239+02:00"`), &got); err != nil {
		t.Fatal(err)
	}
	if got.String() != "2026-03-30T12:00:00.123Z" {
		t.Errorf("time = %s", got)
	}
}
