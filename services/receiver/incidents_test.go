package receiver_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/registry"
	"whatchanged/services/receiver"
)

// report posts to the URL for incidents.
func (d *door) report(token, body string, headers ...string) answer {
	d.tb.Helper()
	all := d.raw(strings.Replace(request(token, body, headers...), receiver.Prefix, receiver.IncidentsPrefix, 1), 1)
	if len(all) != 1 {
		d.tb.Fatalf("%d answers", len(all))
	}
	return all[0]
}

// S1-2: what comes by the URL for incidents is on the bus before it is answered,
// and says which URL it was; nobody else can say so.
func TestIncidents_TheDeliverySaysByWhichURLItCame(t *testing.T) {
	d := openDoor(t)
	const body = `{"event":{}}`
	id, duplicate := d.report(d.token, body, "Idempotency-Key: 1", "Whatchanged-Incident: inc_5q8n2v7k4m1p9r3s6t0w8x2y4z", "whatchanged-kind: changes").accepted(t)
	got := d.delivery(id)
	want := http.Header{"Content-Length": {"12"}, "Idempotency-Key": {"1"}, change.HeaderKind: {change.KindIncidents}}
	if diff := cmp.Diff(want, got.Header); diff != "" || duplicate || string(got.Body) != body || got.Identity != "incidents:key:1" {
		t.Errorf("duplicate %t, %s, identity %q, headers (-want +got):\n%s", duplicate, got.Body, got.Identity, diff)
	}
	if _, duplicate := d.report(d.token, body, "Idempotency-Key: 1").accepted(t); !duplicate {
		t.Error("the same again is no duplicate")
	}
	// By the other URL it is something else, whatever its headers say.
	id, duplicate = d.post(d.token, body, "Idempotency-Key: 1", "Whatchanged-Kind: incidents").accepted(t)
	if got := d.delivery(id); duplicate || change.AboutIncidents(got.Header) || got.Identity != "key:1" {
		t.Errorf("duplicate %t: %+v", duplicate, got)
	}
}

// S1-2: tokens, signatures and methods count as they do for changes.
func TestIncidents_TheDoorIsTheSame(t *testing.T) {
	d := openDoor(t)
	const body, secret = `{"event":{}}`, "pagerduty-secret"
	_, token := d.create(registry.Source{Provider: "pagerduty", Auth: registry.AuthHMAC}, auth.Secret(secret))
	signed := "X-PagerDuty-Signature: v1=" + hex.EncodeToString(sum(sha256.New, secret, body))
	d.report(token, body, signed).accepted(t)
	f := func(what string, got answer, status int, reason string) {
		t.Helper()
		if got.status != status || got.reason() != reason {
			t.Errorf("%s: %v; want %d %s", what, got, status, reason)
		}
	}
	f("unsigned", d.report(token, body), 401, "signature_missing")
	f("other bytes", d.report(token, body+" ", signed), 401, "bad_signature")
	f("unknown token", d.report("wct_0123456789012345678901234567890123456789012", body), 404, "unknown_token")
	f("not JSON", d.report(d.token, "nonsense"), 400, d.post(d.token, "nonsense").reason())
	get := strings.Replace(request(d.token, ""), "POST "+receiver.Prefix, "GET "+receiver.IncidentsPrefix, 1)
	f("GET", d.raw(get, 1)[0], 405, "method_not_allowed")
}
