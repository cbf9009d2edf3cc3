package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// mostMemory is what taking in the worst content may cost the whole process,
// the engine included.
const mostMemory = 1536 << 20

// TestEdge_OddContentIsTakenWhole sends what is valid and strange, waits until
// all of it has gone its way, and reads it back byte for byte. A source that
// sends nothing odd is served all the while.
func TestEdge_OddContentIsTakenWhole(t *testing.T) {
	e := startEdge(t)
	var trail strings.Builder
	for i := range 10_000 {
		at := time.Date(1975, 1, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(i) * 44 * time.Hour)
		fmt.Fprintf(&trail, `,{"eventVersion":"1.08","eventTime":%q,"eventSource":"iam.amazonaws.com","eventName":"CreateRole","awsRegion":"us-east-1",`+
			`"eventID":"%08x-0000-4000-8000-000000000000","recipientAccountId":"123456789012","userIdentity":{"type":"IAMUser","userName":"mona"}}`, at.Format(time.RFC3339), i)
	}
	var keys strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintf(&keys, `,"k%d":{}`, i)
	}
	bodies := map[string]string{
		"B7 a million empty objects":           "[" + strings.Repeat("{},", 999_999) + "{}]",
		"B7 a million keys":                    "{" + keys.String()[1:] + "}",
		"B7 as deep as may be":                 strings.Repeat(`{"a":`, 900) + "1" + strings.Repeat("}", 900),
		"B8 keys more than once":               `{"a":1,"A":2,"a":3,"\u0061":4,"id":1,"id":2}`,
		"B9 half a surrogate pair":             `{"title":"\ud800","\udfff":1}`,
		"B10 control and format characters":    `{"title":"a\u0000b\u202ec\u200bd\u0007","\u0000":1}`,
		"B11 numbers":                          `{"title":"n","a":1e400,"b":9223372036854775808,"c":18446744073709551616,"d":-0,"e":0.` + strings.Repeat("1", 400) + `}`,
		"B12 what others would run":            `{"title":"{{7*7}} ${jndi:ldap://x} <script>alert(1)</script> '; DROP TABLE changes; -- {p:String} %s%n","__proto__":{"constructor":{"$where":"1"}}}`,
		"B13 a key of a megabyte":              `{"` + strings.Repeat("k", 1<<20) + `":1}`,
		"B13 escapes only":                     `{"title":"` + strings.Repeat(`\u00e9`, 11_000) + `"}`,
		"B16 year 1":                           `{"title":"t","timestamp":"0001-01-01T00:00:00Z"}`,
		"B16 year 9999":                        `{"title":"t","timestamp":"9999-12-31T23:59:59Z"}`,
		"B16 before all time":                  `{"title":"t","timestamp":-1}`,
		"B16 after all time":                   `{"title":"t","timestamp":1000000000000000000}`,
		"B16 a leap second":                    `{"title":"t","timestamp":"2016-12-31T23:59:60Z"}`,
		"B16 another zone":                     `{"title":"t","timestamp":"2024-02-29T23:30:00+14:00"}`,
		"B17 ten thousand dates":               `{"Records":[` + trail.String()[1:] + `]}`,
		"B18 a large difference":               `{"title":"d","before":"` + strings.Repeat("b", 900<<10) + `","after":"` + strings.Repeat("a", 900<<10) + `"}`,
		"B21 what a bus would read":            `{"title":"deliveries.> * $JS.API.STREAM.DELETE.DELIVERIES\r\nNats-Msg-Id: x"}`,
		"B22 names of files":                   `{"title":"../../etc/passwd","service":"/etc/passwd\u0000.json"}`,
		"B23 formulas":                         `{"title":"=cmd|' /C calc'!A0","author":"@SUM(1+1)"}`,
		"B24 a terminal's commands":            `{"title":"\u001b[2J\u001b]0;owned\u0007","author":"\u009b31m"}`,
		"a value that is no object":            `"hello"`,
		"nothing that means anything":          `{}`,
		"a list of odd things":                 `[null,true,1,"x",[],{}]`,
		"a name that is an object":             `{"repository":{"full_name":{"x":1}},"ref":5,"commits":"none","pusher":[]}`,
		"a CloudTrail record that is a string": `{"Records":["x",5,null,{"eventTime":5}]}`,
	}
	ids := map[string]string{}
	for name, body := range bodies {
		got := e.call("POST", e.hook, body, "Content-Type: application/json", "X-Case: "+strconv.Quote(name))
		var accepted struct {
			Data struct {
				ID string `json:"delivery_id"`
			}
		}
		if err := json.Unmarshal([]byte(got.body), &accepted); got.status != http.StatusOK || err != nil {
			t.Errorf("%s: %v", name, got)
			continue
		}
		ids[name] = accepted.Data.ID
	}
	other := e.call("POST", "/api/v1/changes?wait=10s", `{"summary":"somebody else's"}`, "Content-Type: application/json")
	if other.status != http.StatusCreated {
		t.Errorf("somebody else: %v", other)
	}
	for name, id := range ids {
		var d struct {
			Data struct{ Outcome, Reason string }
		}
		e.until(name+" to have its outcome", func() error {
			got := e.call("GET", "/api/v1/deliveries/"+id, "")
			if err := json.Unmarshal([]byte(got.body), &d); err != nil || got.status != http.StatusOK || d.Data.Outcome == "" {
				return fmt.Errorf("%v", got)
			}
			return nil
		})
		switch d.Data.Outcome {
		case "stored", "ignored":
		case "dead": // its normalizer cannot read it, and says so
			t.Logf("%s: dead: %.200s", name, d.Data.Reason)
		default:
			t.Errorf("%s: %s: %.200s", name, d.Data.Outcome, d.Data.Reason)
		}
		if len(bodies[name]) > 4<<20 {
			continue // long to read back, and as the others
		}
		var got said
		e.until(name+" to be kept", func() error {
			if got = e.call("GET", "/api/v1/deliveries/"+id+"/payload", ""); got.status != http.StatusOK {
				return fmt.Errorf("%v", got)
			}
			return nil
		})
		if diff := cmp.Diff(bodies[name], got.body); diff != "" {
			t.Errorf("%s: the payload (-want +got):\n%.500s", name, diff)
		}
	}
	e.spoken()
	if peak, err := peakMemory(e.pid); err != nil || peak > mostMemory {
		t.Errorf("B7, B17: the program took %d bytes at its peak, %v", peak, err)
	}
	e.unharmed()
}

// spoken checks that what was stored is shown as it is by the API, and is
// harmless in a terminal and in a table.
func (e *edge) spoken() {
	e.t.Helper()
	const summary = `=1+1 {p:String} %s '; -- \ `
	got := e.call("POST", "/api/v1/changes?wait=10s", `{"summary":`+strconv.Quote(summary)+`,"changed_by":"@\u001b[31mred","metadata":{"b":18446744073709551616,"c":0.`+strings.Repeat("1", 400)+`}}`,
		"Content-Type: application/json")
	var made struct{ Data struct{ ID, Summary string } }
	if err := json.Unmarshal([]byte(got.body), &made); got.status != http.StatusCreated || err != nil {
		e.t.Fatalf("%v", got)
	}
	got = e.call("GET", "/api/v1/changes/"+made.Data.ID, "")
	for _, want := range []string{"18446744073709551616", "0." + strings.Repeat("1", 400)} {
		if !strings.Contains(got.body, want) {
			e.t.Errorf("B11: %s is not shown as it was sent: %v", want, got)
		}
	}
	if made.Data.Summary != strings.TrimSpace(summary) && made.Data.Summary != summary {
		e.t.Errorf("B12: the summary is %q", made.Data.Summary)
	}
	table := e.call("GET", "/api/v1/changes/export?format=csv", "").body
	for _, cell := range []string{",=", ",@", ",+", `,"=`, `,"@`} {
		if strings.Contains(table, cell) {
			e.t.Errorf("B23: a cell of the export begins with %s", cell)
		}
	}
	for _, args := range [][]string{{"changes"}, {"deliveries"}} {
		cmd := exec.Command(binary, args...)
		cmd.Env = append(os.Environ(), "WHATCHANGED_URL=http://"+e.addr, "WHATCHANGED_KEY="+e.key)
		out, err := cmd.CombinedOutput()
		if err != nil {
			e.t.Errorf("%v: %v %s", args, err, out)
		}
		if strings.ContainsAny(string(out), "\x1b\x07\x00\u009b\u202e\u200b") {
			e.t.Errorf("B10, B24: %v prints control characters: %q", args, out)
		}
	}
	if strings.ContainsAny(e.log(), "\x1b\x07\x00") {
		e.t.Error("B24: control characters are in the log")
	}
}

// peakMemory returns the most that a process had in memory, as Linux counts it.
func peakMemory(pid int) (int64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // not Linux
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, err
}
