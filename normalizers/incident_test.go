package normalizers_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	"golang.org/x/tools/txtar"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/normalizers/normtest"
	"whatchanged/pkg/change"
)

// incidentDelivery is a delivery as it comes by the URL of incidents.
func incidentDelivery(source string, header http.Header, body []byte) *change.Delivery {
	if header = header.Clone(); header == nil {
		header = http.Header{}
	}
	header.Set(change.HeaderKind, change.KindIncidents)
	return &change.Delivery{
		ID: change.DeliveryID{1}, Org: "test", SourceID: source, ReceivedAt: change.At(normtest.Received), Header: header, Body: body,
	}
}

func processIncident(d *change.Delivery, src normalizers.Settings) change.Result {
	return all.Set().Process(d, src, normtest.Received, normtest.Received)
}

// shownIncident is what a golden case has of a report.
type shownIncident struct {
	ID          change.IncidentID     `json:"id"`
	At          change.Time           `json:"at"`
	StartedAt   change.Time           `json:"started_at,omitzero"`
	Status      change.IncidentStatus `json:"status,omitempty"`
	Severity    change.Risk           `json:"severity,omitempty"`
	Title       string                `json:"title,omitempty"`
	Description string                `json:"description,omitempty"`
	Service     string                `json:"service,omitempty"`
	Environment string                `json:"environment,omitempty"`
	Source      string                `json:"source,omitempty"`
	ExternalID  string                `json:"external_id,omitempty"`
	URL         string                `json:"url,omitempty"`
	ChangedBy   string                `json:"changed_by,omitempty"`
	Actor       change.Actor          `json:"actor,omitzero"`
	Metadata    json.RawMessage       `json:"metadata,omitempty"`
}

func showIncidents(t *testing.T, res change.Result) string {
	t.Helper()
	out := struct {
		Ignored   string          `json:"ignored,omitempty"`
		Changes   []string        `json:"changes,omitempty"`
		Incidents []shownIncident `json:"incidents,omitempty"`
	}{Ignored: res.Reason}
	for _, c := range res.Changes {
		out.Changes = append(out.Changes, string(c.Type)+": "+c.Summary)
	}
	for _, i := range res.Incidents {
		out.Incidents = append(out.Incidents, shownIncident{
			i.ID, i.At, i.StartedAt, i.Status, i.Severity, i.Title, i.Description, i.ServiceName, i.Environment,
			i.Source, i.ExternalID, i.URL, i.ChangedBy, i.Actor, i.Metadata,
		})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// S1-2, S4-18: what each tool says of incidents. Run with -update to rewrite what the
// cases want.
func TestIncidents_AreReadFromEachTool(t *testing.T) {
	files, err := filepath.Glob("testdata/incidents/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			header, body, want := http.Header{}, []byte(nil), ""
			for _, f := range archive.Files {
				switch f.Name {
				case "headers":
					name, value, _ := strings.Cut(strings.TrimSpace(string(f.Data)), ": ")
					header.Set(name, value)
				case "body.json":
					body = f.Data
				case "want.json":
					want = string(f.Data)
				}
			}
			d := incidentDelivery("src_test", header, body)
			got := showIncidents(t, processIncident(d, normalizers.Settings{}))
			if flag.Lookup("update").Value.String() == "true" {
				if last := len(archive.Files) - 1; archive.Files[last].Name == "want.json" {
					archive.Files = archive.Files[:last]
				}
				archive.Files = append(archive.Files, txtar.File{Name: "want.json", Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			oddIncidents(t, header, body)
		})
	}
}

// oddIncidents puts something else in each value's place: no value makes the
// delivery dead or a report that cannot be stored.
func oddIncidents(t *testing.T, header http.Header, body []byte) {
	t.Helper()
	var walk func(v gjson.Result, visit func(start, end int))
	walk = func(v gjson.Result, visit func(start, end int)) {
		visit(v.Index, v.Index+len(v.Raw))
		if v.IsObject() || v.IsArray() {
			v.ForEach(func(_, member gjson.Result) bool { walk(member, visit); return true })
		}
	}
	odd := []string{`null`, `7`, `-1e99`, `"x"`, `""`, `[]`, `{}`, `[{"a":1}]`, `true`, `"` + strings.Repeat("long ", 9000) + `"`, `"9999-01-01T00:00:00Z"`, `"a\u0000b\nc"`}
	root := gjson.ParseBytes(body)
	walk(root, func(start, end int) {
		if start == 0 {
			return
		}
		for _, value := range odd {
			changed := string(body[:start]) + value + string(body[end:])
			if !gjson.Valid(changed) {
				continue
			}
			res := processIncident(incidentDelivery("src_test", header, []byte(changed)), normalizers.Settings{})
			if res.Outcome == change.Dead {
				t.Fatalf("with %.20s at %d: dead, %s", value, start, res.Reason)
			}
			for _, i := range res.Incidents {
				if i.ID.IsZero() || i.Key == [16]byte{} || i.At.IsZero() || i.At.After(normtest.Received) || i.StartedAt.After(normtest.Received) ||
					len(i.Title) > 4*change.MaxSummary || strings.ContainsAny(i.Title, "\n\x00") || len(i.Metadata) > change.MaxMetadata ||
					i.Metadata != nil && !gjson.ParseBytes(i.Metadata).IsObject() {
					t.Fatalf("with %.20s at %d: %+v", value, start, i)
				}
			}
		}
	})
}

// S1-2: the incident is the same in all that a tool says of it, and what is said
// twice is one report; what nobody known calls by a name is another thing at
// another source.
func TestIncidents_TheSameFactHasTheSameID(t *testing.T) {
	read := func(source, body string) change.IncidentReport {
		t.Helper()
		res := processIncident(incidentDelivery(source, nil, []byte(body)), normalizers.Settings{})
		if len(res.Incidents) != 1 {
			t.Fatalf("%s: %+v", body, res)
		}
		return res.Incidents[0]
	}
	const alert = `{"version":"4","groupKey":"g","status":"%","alerts":[{"status":"%","labels":{"alertname":"A"},"startsAt":"2026-01-05T10:00:00Z","endsAt":"2026-01-05T11:00:00Z","fingerprint":"f"}]}`
	firing, resolved := read("src_1", strings.ReplaceAll(alert, "%", "firing")), read("src_2", strings.ReplaceAll(alert, "%", "resolved"))
	if firing.ID != resolved.ID || firing.Key == resolved.Key {
		t.Errorf("firing and resolved: %s %s", firing.ID, resolved.ID)
	}
	if again := read("src_1", strings.ReplaceAll(alert, "%", "firing")); again.Key != firing.Key || again.At != firing.At {
		t.Error("the same notification is another report")
	}
	later := strings.ReplaceAll(strings.ReplaceAll(alert, "%", "firing"), "10:00:00", "10:40:00")
	if read("src_1", later).ID == firing.ID {
		t.Error("an alert that fires again later is the same incident")
	}
	const plain = `{"id":"1","title":"x","status":"open"}`
	if a, b := read("src_1", plain), read("src_2", plain); a.ID == b.ID {
		t.Error("the first incidents of two tools are the same")
	}
	if a, b := read("src_1", plain), read("src_1", `{"id":"1","status":"closed"}`); a.ID != b.ID {
		t.Error("the same name at the same source is another incident")
	}
}

// S1-2: the service comes from the org's mapping, the environment from the
// source's default, and what the source ignores is not an incident either.
func TestIncidents_GetWhatTheSourceAdds(t *testing.T) {
	body := []byte(`{"event":{"id":"1","event_type":"incident.triggered","resource_type":"incident","occurred_at":"2026-01-05T10:00:00Z","data":{"id":"P","type":"incident","title":"x","service":{"id":"PF9","summary":"checkout"}}}}`)
	src := normalizers.Settings{
		DefaultEnvironment: "production",
		FindService: func(c *change.Change) (change.Service, bool) {
			return change.Service{ID: "svc_1", Name: "Checkout"}, c.Resource.ID == "PF9"
		},
	}
	res := processIncident(incidentDelivery("src_1", nil, body), src)
	if i := res.Incidents[0]; i.ServiceID != "svc_1" || i.ServiceName != "Checkout" || i.Environment != "production" {
		t.Errorf("%+v", i)
	}
	if c := res.Changes[0]; c.ServiceID != "svc_1" || c.ServiceName != "Checkout" {
		t.Errorf("its change is of another service: %+v", c)
	}
	src.IgnoreEvents = []string{"pagerduty.incident.*"}
	if res := processIncident(incidentDelivery("src_1", nil, body), src); res.Outcome != change.Ignored || len(res.Incidents) > 0 {
		t.Errorf("%+v", res)
	}
	// By the other URL it is a change, and nothing else.
	plain := incidentDelivery("src_1", nil, body)
	plain.Header.Del(change.HeaderKind)
	if res := processIncident(plain, normalizers.Settings{}); len(res.Incidents) > 0 || len(res.Changes) != 1 {
		t.Errorf("%+v", res)
	}
}

// A clock that is ahead does not make a report the last word.
func TestIncidents_AreNotToldBeforeTheyHappen(t *testing.T) {
	body := []byte(`{"id":"1","title":"x","status":"open","updated_at":"2030-01-01T00:00:00Z","started_at":"2030-01-01T00:00:00Z"}`)
	res := processIncident(incidentDelivery("src_1", nil, body), normalizers.Settings{})
	if i := res.Incidents[0]; !i.At.Equal(normtest.Received) || !i.StartedAt.Equal(normtest.Received) {
		t.Errorf("at %s, started %s", i.At, i.StartedAt)
	}
}
