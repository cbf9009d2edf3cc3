package receiver_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/registry"
	"whatchanged/services/receiver"
)

// options returns the bytes of an OPTIONS request.
func options(token string, headers ...string) string {
	return strings.Replace(request(token, "", headers...), "POST ", "OPTIONS ", 1)
}

func TestConsent_IsGivenToWhoeverAsksAtASourcesURL(t *testing.T) {
	d := openDoor(t)
	_, signed := d.source(registry.AuthGitHubHMAC, "some-secret")
	ask := func(token string, headers ...string) answer {
		t.Helper()
		all := d.raw(options(token, headers...), 1)
		if len(all) != 1 {
			t.Fatalf("%d answers", len(all))
		}
		return all[0]
	}
	for _, token := range []string{d.token, signed} {
		got := ask(token, "WebHook-Request-Origin: eventgrid.azure.net", "WebHook-Request-Rate: 120", "WebHook-Request-Callback: https://127.0.0.1/x")
		if got.status != http.StatusOK || got.header.Get("WebHook-Allowed-Origin") != "eventgrid.azure.net" ||
			got.header.Get("WebHook-Allowed-Rate") != "3000000" || got.header.Get("Allow") != "POST, OPTIONS" || got.body != "" {
			t.Errorf("answer %v %v", got, got.header)
		}
	}
	unknown := "wct_" + strings.Repeat("x", 43)
	if got, want := ask(unknown, "WebHook-Request-Origin: eventgrid.azure.net"), d.post(unknown, good); got.status != 404 || got.body != want.body {
		t.Errorf("unknown token: %v", got)
	}
	for _, origin := range []string{"", "a b", "<script>", strings.Repeat("a", 300), "a,b"} {
		if got := ask(d.token, "WebHook-Request-Origin: "+origin); got.status != 405 || got.header.Get("WebHook-Allowed-Origin") != "" {
			t.Errorf("origin %q: %v", origin, got)
		}
	}
	if n := len(d.stored()); n != 0 {
		t.Errorf("%d deliveries stored", n)
	}
	if n := d.counted("whatchanged_receiver_handshakes_total", "cloudevents"); n != 2 {
		t.Errorf("counted %v", n)
	}
}

const validationEvent = `[{"id":"2d1781af-3a4c-4d7c-bd0c-e34b19da4e66","topic":"/subscriptions/1","subject":"","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6",
 "validationUrl":"https://rp-eastus2.eventgrid.azure.net:553/eventsubscriptions/x"},"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent",
 "eventTime":"2026-03-30T15:00:00Z","metadataVersion":"1","dataVersion":"1"}]`

func TestValidation_IsAnsweredWithTheCode(t *testing.T) {
	d := openDoor(t)
	_, signed := d.source(registry.AuthToken, "some-secret")
	_, pinned := d.create(registry.Source{Provider: "azure"})
	_, github := d.create(registry.Source{Provider: "github"})
	const want = `{"validationResponse":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}` + "\n"
	f := func(what, token, body string, validates, stored bool, status int, headers ...string) {
		t.Helper()
		before := len(d.stored())
		got := d.post(token, body, headers...)
		if got.status != status || (got.body == want) != validates || got.header.Get("Content-Type") == "application/json" != (status == 200) {
			t.Errorf("%s: %v %v", what, got, got.header)
		}
		if now := len(d.stored()) > before; now != stored {
			t.Errorf("%s: stored: %v", what, now)
		}
	}
	const header = "aeg-event-type: SubscriptionValidation"
	f("as it is", d.token, validationEvent, true, true, 200, header)
	f("header in another case", d.token, validationEvent, true, true, 200, "aeg-event-type: subscriptionvalidation")
	f("without the header", d.token, validationEvent, true, true, 200)
	f("event type in another case", d.token, strings.Replace(validationEvent, "Microsoft.EventGrid.S", "MICROSOFT.EVENTGRID.S", 1), true, true, 200, header)
	f("at a pinned source", pinned, validationEvent, true, true, 200, header)
	// Event Grid sends no secret with it. What was not proved is not recorded.
	f("at a source with a secret", signed, validationEvent, true, false, 200, header)
	f("at a source with a secret, with it", signed, validationEvent, true, true, 200, header, "Authorization: Bearer some-secret")
	f("at a source of another provider", github, validationEvent, false, true, 200, header)
	f("two events", d.token, "["+validationEvent[1:len(validationEvent)-1]+","+validationEvent[1:], false, true, 200, header)
	f("two events, at a source with a secret", signed, "["+validationEvent[1:len(validationEvent)-1]+","+validationEvent[1:], false, false, 401, header)
	f("no code", d.token, strings.Replace(validationEvent, "validationCode", "x", 1), false, true, 200, header)
	f("an event at a source with a secret", signed, strings.Replace(validationEvent, "SubscriptionValidationEvent", "Other", 1), false, false, 401, header)
	f("another header", d.token, validationEvent, false, true, 200, "aeg-event-type: Notification")
	f("end of the subscription", d.token, strings.Replace(validationEvent, "SubscriptionValidationEvent", "SubscriptionDeletedEvent", 1), false, true, 200, "aeg-event-type: SubscriptionDeletion")
	hostile := d.post(d.token, strings.Replace(validationEvent, "512d38b6-c7b8-40c8-89fe-f46f9e9622b6", `\"<script>`, 1), header)
	var said struct{ ValidationResponse string }
	if err := json.Unmarshal([]byte(hostile.body), &said); err != nil || said.ValidationResponse != `"<script>` || strings.Contains(hostile.body, "<script>") {
		t.Errorf("answer %v", hostile)
	}
}

// firehose is what Firehose says in an answer.
type firehose struct {
	RequestID    string `json:"requestId"`
	Timestamp    int64  `json:"timestamp"`
	ErrorMessage string `json:"errorMessage"`
}

func TestFirehose_GetsItsOwnAnswers(t *testing.T) {
	d := openDoor(t, func(s *settings) { s.receiver.MaxBody = 4 << 10 })
	_, token := d.create(registry.Source{Auth: registry.AuthToken, SecretHeader: "X-Amz-Firehose-Access-Key"}, "access-key-1")
	const id = "ed4acda5-034f-9f42-bba1-f29aea6d7d8f"
	body := `{"requestId":"` + id + `","timestamp":1578090901599,"records":[{"data":"eyJhIjoxfQ=="}]}`
	headers := []string{jsonHeader, "X-Amz-Firehose-Protocol-Version: 1.0", "X-Amz-Firehose-Request-Id: " + id, "X-Amz-Firehose-Source-Arn: arn:aws:firehose:us-east-1:123456789012:deliverystream/x"}
	key := "X-Amz-Firehose-Access-Key: access-key-1"
	f := func(what, token, body string, status int, message string, more ...string) {
		t.Helper()
		all := d.raw(request(token, body, append(more, headers...)...), 1)
		if len(all) != 1 {
			t.Fatalf("%s: %d answers", what, len(all))
		}
		var got firehose
		dec := json.NewDecoder(strings.NewReader(all[0].body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&got); err != nil {
			t.Fatalf("%s: %v: %v", what, all[0], err)
		}
		if all[0].status != status || got.RequestID != id || got.Timestamp < 1_700_000_000_000 || !strings.Contains(got.ErrorMessage, message) || (got.ErrorMessage == "") != (message == "") {
			t.Errorf("%s: %v", what, all[0])
		}
		h := all[0].header
		if h.Get("Content-Type") != "application/json" || h.Get("Content-Encoding") != "" || h.Get("Content-Length") == "" {
			t.Errorf("%s: headers %v", what, h)
		}
	}
	f("good", token, body, 200, "", key)
	f("the same again", token, body, 200, "", key)
	f("compressed", token, gzipped(body), 200, "", key, "Content-Encoding: gzip")
	f("no key", token, body, 401, "signature_missing")
	f("wrong key", token, body, 401, "bad_signature", "X-Amz-Firehose-Access-Key: access-key-2")
	f("not JSON", token, "{", 400, "not_json", key)
	f("unknown token", "wct_"+strings.Repeat("x", 43), body, 404, "unknown_token", key)
	// 413 would make Firehose drop the records for good.
	f("too large", token, `"`+strings.Repeat("a", 8<<10)+`"`, 400, "body_too_large", key)
	f("too large once decompressed", token, gzipped(`"`+strings.Repeat("a", 8<<10)+`"`), 400, "body_too_large", key, "Content-Encoding: gzip")
	d.stopBus()
	f("without the bus", token, body, 503, "send this again", key)
}

func TestNetworks_OnlyThoseOfTheSource(t *testing.T) {
	d := openDoor(t, func(s *settings) { s.receiver.TrustedProxies = []string{"127.0.0.0/8", "10.0.0.0/8"} })
	_, token := d.create(registry.Source{Networks: []string{"192.30.252.0/22", "2606:50c0::/32"}})
	f := func(want bool, headers ...string) {
		t.Helper()
		got := d.post(token, good, headers...)
		if want && got.status != 200 || !want && (got.status != 403 || got.reason() != "network_not_allowed") {
			t.Errorf("%q: %v", headers, got)
		}
	}
	f(false)
	f(true, "X-Forwarded-For: 192.30.252.1")
	f(true, "X-Forwarded-For: 192.30.252.1:4711")
	f(true, "X-Forwarded-For: 2606:50c0::1")
	f(true, "X-Forwarded-For: [2606:50c0::1]:4711")
	f(true, "X-Forwarded-For: ::ffff:192.30.252.1")
	f(true, "X-Forwarded-For: 8.8.8.8, 192.30.252.1, 10.1.2.3")
	f(true, "X-Forwarded-For: 8.8.8.8", "X-Forwarded-For: 192.30.252.1")
	f(true, `Forwarded: for=8.8.8.8, For="192.30.252.1:4711";proto=https`)
	f(true, `Forwarded: proto=https;for="[2606:50c0::1]:4711"`)
	f(true, "X-Forwarded-For: 192.30.252.1", "Forwarded: for=192.30.252.1")
	f(false, "X-Forwarded-For: 192.30.252.1, 8.8.8.8")
	f(false, "X-Forwarded-For: 192.30.252.1", "Forwarded: for=8.8.8.8")
	f(false, "X-Forwarded-For: 8.8.8.8", "Forwarded: for=192.30.252.1")
	f(false, "X-Forwarded-For: 10.1.2.3")
	f(false, "X-Forwarded-For: unknown")
	f(false, "X-Forwarded-For: 192.30.252.1, unknown")
	f(false, "X-Forwarded-For: ")
	f(false, "Forwarded: proto=https")
	f(false, "X-Real-Ip: 192.30.252.1")
	// Before the body: a stranger's is not even awaited.
	all := d.raw(strings.Replace(request(token, good), "Content-Length: ", "Content-Length: 9", 1), 1)
	if len(all) != 1 || all[0].status != 403 {
		t.Errorf("answers %v", all)
	}
	if all := d.raw(options(token, "WebHook-Request-Origin: eventgrid.azure.net"), 1); len(all) != 1 || all[0].status != 403 {
		t.Errorf("consent for a stranger: %v", all)
	}
}

func TestNetworks_NobodysWordIsBelievedUnlessTrusted(t *testing.T) {
	d := openDoor(t)
	_, token := d.create(registry.Source{Networks: []string{"192.30.252.0/22"}})
	_, local := d.create(registry.Source{Networks: []string{"127.0.0.1"}})
	for _, header := range []string{"X-Forwarded-For: 192.30.252.1", "Forwarded: for=192.30.252.1", "X-Real-Ip: 192.30.252.1"} {
		if got := d.post(token, good, header); got.status != 403 {
			t.Errorf("%s: %v", header, got)
		}
	}
	d.post(local, good, "X-Forwarded-For: 192.30.252.1").accepted(t)
}

func TestLimits_GuessesCountForWhomTheProxyNames(t *testing.T) {
	d := openDoor(t, func(s *settings) {
		s.receiver.FailureRate = 1
		s.receiver.TrustedProxies = []string{"127.0.0.1/32"}
	})
	guess := func(from string) int {
		return d.post("wct_guess_"+strings.Repeat("x", 30), good, "X-Forwarded-For: "+from).status
	}
	for range 10 {
		guess("192.0.2.1")
	}
	if got := []int{guess("192.0.2.1"), guess("192.0.2.2")}; !cmp.Equal(got, []int{429, 404}) {
		t.Errorf("answers %v", got)
	}
}

func TestConfig_TrustedProxiesAreNetworks(t *testing.T) {
	cfg := receiver.DefaultConfig()
	cfg.TrustedProxies = []string{"10.0.0.0/8", "proxy.example"}
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "trusted_proxies") {
		t.Errorf("Validate() = %v", err)
	}
}
