package receiver_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/registry"
	"whatchanged/services/receiver"
)

const signingToken = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q="

// C1, C2, C4: see BenchmarkTokens_Timing for the time.
func TestTokens_ThatDoNotWorkAllGetTheSameAnswer(t *testing.T) {
	d := openDoor(t)
	ctx := t.Context()
	disabled, disabledToken := d.source(registry.AuthNone)
	if _, err := d.registry.UpdateSource(ctx, disabled.Org, disabled.ID, func(s *registry.Source) error { s.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	deleted, deletedToken := d.source(registry.AuthNone)
	if err := d.registry.DeleteSource(ctx, deleted.Org, deleted.ID); err != nil {
		t.Fatal(err)
	}
	rotated, rotatedToken := d.source(registry.AuthNone)
	if _, _, err := d.registry.RotateSource(ctx, rotated.Org, rotated.ID, 0); err != nil {
		t.Fatal(err)
	}
	last := d.token[len(d.token)-1]
	form := func(a answer) string {
		h := a.header.Clone()
		h.Del("Date")
		h.Del("X-Request-Id")
		return fmt.Sprint(a.status, a.body, h, a.close)
	}
	want := form(d.post("wct_"+strings.Repeat("x", 43), good))
	if !strings.HasPrefix(want, "404") {
		t.Errorf("unknown token: %s", want)
	}
	for name, token := range map[string]string{
		"disabled": disabledToken, "deleted": deletedToken, "rotated": rotatedToken,
		"first character": "x" + d.token[1:], "last character": d.token[:len(d.token)-1] + string(last^1),
		"short": "abc", "none": "", "long": strings.Repeat("a", 200), "other characters": "wct_aaaaaaaaaaaaa!aa",
		"percent": "%41%41%41%41", "other case": strings.ToUpper(d.token),
	} {
		if diff := cmp.Diff(want, form(d.post(token, good))); diff != "" {
			t.Errorf("%s (-unknown +this):\n%s", name, diff)
		}
	}
	d.post(d.token, good).accepted(t)
}

func TestSignatures(t *testing.T) {
	d := openDoor(t)
	_, github := d.source(registry.AuthGitHubHMAC, "new-secret", "old-secret")
	_, token := d.source(registry.AuthGitLabToken, "gitlab-token")
	_, signing := d.source(registry.AuthGitLabSigning, signingToken)
	f := func(source, name, body string, status int, reason string, headers ...string) {
		t.Helper()
		got := d.post(source, body, headers...)
		if got.status != status || got.reason() != reason {
			t.Errorf("%s: %v, want %d %s", name, got, status, reason)
		}
		if status == http.StatusUnauthorized && got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: 401 without WWW-Authenticate", name)
		}
	}
	signed := githubSignature("new-secret", good)
	digits := strings.TrimPrefix(signed, "X-Hub-Signature-256: sha256=")
	f(github, "right", good, 200, "", signed)
	f(github, "right, the other secret", good, 200, "", githubSignature("old-secret", good))
	f(github, "C6 missing", good, 401, "signature_missing")
	f(github, "C6 SHA-1 only", good, 401, "signature_missing", "X-Hub-Signature: sha1=0123456789")
	f(github, "C6 wrong", good, 401, "bad_signature", githubSignature("another-secret", good))
	f(github, "C6 truncated", good, 401, "bad_signature", signed[:len(signed)-1])
	f(github, "C6 longer", good, 401, "bad_signature", signed+"0")
	f(github, "C6 no prefix", good, 401, "bad_signature", "X-Hub-Signature-256: "+digits)
	f(github, "C6 base64", good, 401, "bad_signature", "X-Hub-Signature-256: sha256="+base64.StdEncoding.EncodeToString([]byte(digits)))
	f(github, "C6 upper case", good, 401, "bad_signature", "X-Hub-Signature-256: sha256="+strings.ToUpper(digits))
	f(github, "C6 two headers", good, 401, "bad_signature", signed, signed)
	f(github, "C6 not hex", good, 401, "bad_signature", "X-Hub-Signature-256: sha256="+strings.Repeat("z", 64))
	f(github, "C6 empty", good, 401, "bad_signature", "X-Hub-Signature-256:")
	f(github, "C7 over other bytes", good+" ", 401, "bad_signature", signed)
	f(github, "right, over bytes that are not JSON", "{", 400, "not_json", githubSignature("new-secret", "{"))
	formBody := "payload=%7B%22zen%22%3A%22hi%22%7D"
	f(github, "right, over a form", formBody, 200, "", githubSignature("new-secret", formBody), "Content-Type: application/x-www-form-urlencoded")
	f(github, "over a form's payload", formBody, 401, "bad_signature", githubSignature("new-secret", `{"zen":"hi"}`), "Content-Type: application/x-www-form-urlencoded")
	zipped := gzipped(good)
	f(github, "right, over gzip", zipped, 200, "", githubSignature("new-secret", zipped), "Content-Encoding: gzip")
	f(github, "gitlab's token instead", good, 401, "signature_missing", "X-Gitlab-Token: new-secret", "X-Gitlab-Event: Push Hook")

	f(token, "right", good, 200, "", "X-Gitlab-Token: gitlab-token")
	f(token, "missing", good, 401, "signature_missing")
	f(token, "wrong", good, 401, "bad_signature", "X-Gitlab-Token: gitlab-tokem")
	f(token, "shorter", good, 401, "bad_signature", "X-Gitlab-Token: gitlab-toke")
	f(token, "two", good, 401, "bad_signature", "X-Gitlab-Token: gitlab-token", "X-Gitlab-Token: gitlab-token")

	now := time.Now().Unix()
	stamp := func(offset int64) string { return strconv.FormatInt(now+offset, 10) }
	f(signing, "right", good, 200, "", signedHeaders(signingToken, "id1", stamp(0), good)...)
	f(signing, "missing", good, 401, "signature_missing")
	f(signing, "C6 token instead", good, 401, "signature_missing", "X-Gitlab-Token: "+signingToken)
	f(signing, "C7 over other bytes", good, 401, "bad_signature", signedHeaders(signingToken, "id1", stamp(0), good+" ")...)
	f(signing, "C8 old", good, 401, "stale_signature", signedHeaders(signingToken, "id1", stamp(-310), good)...)
	f(signing, "C8 ahead", good, 401, "stale_signature", signedHeaders(signingToken, "id1", stamp(310), good)...)
	f(signing, "within", good, 200, "", signedHeaders(signingToken, "id2", stamp(-280), good)...)
	for _, bad := range []string{"-1", "+" + stamp(0), "99999999999999999999", "now", stamp(0) + ".5", "0x5", "1e9"} {
		f(signing, "C8 "+bad, good, 401, "stale_signature", signedHeaders(signingToken, "id1", bad, good)...)
	}
	twice := signedHeaders(signingToken, "id1", stamp(0), good)
	f(signing, "C6 id twice", good, 401, "bad_signature", append(twice, "webhook-id: id2")...)
	f(signing, "id with a dot", good, 401, "bad_signature", signedHeaders(signingToken, "id.1", stamp(0), good)...)
	several := signedHeaders(signingToken, "id3", stamp(0), good)
	several[2] = strings.Replace(several[2], ": v1,", ": v1a,xxx v2,yyy v1,AAAA v1,", 1)
	f(signing, "one of several", good, 200, "", several...)
}

// C11: an old secret works as long as it is listed.
func TestSignatures_FollowTheRotationOfSecrets(t *testing.T) {
	d := openDoor(t)
	s, token := d.source(registry.AuthGitHubHMAC, "old-secret")
	set := func(secrets ...auth.Secret) {
		t.Helper()
		if _, err := d.registry.UpdateSource(t.Context(), s.Org, s.ID, func(s *registry.Source) error { return s.SetSecrets(d.sealer, secrets...) }); err != nil {
			t.Fatal(err)
		}
	}
	f := func(secret string, want int) {
		t.Helper()
		if got := d.post(token, good, githubSignature(secret, good)); got.status != want {
			t.Errorf("signed with %s: %v, want %d", secret, got, want)
		}
	}
	f("old-secret", 200)
	set("new-secret", "old-secret")
	f("old-secret", 200)
	f("new-secret", 200)
	set("new-secret")
	f("old-secret", 401)
	f("new-secret", 200)
}

func TestSignatures_ThatCannotBeCheckedAreOurFault(t *testing.T) {
	d := openDoor(t)
	foreign, err := auth.OpenSealer("", auth.Secret(strings.Repeat("ab", 32)), false)
	if err != nil {
		t.Fatal(err)
	}
	s := registry.Source{Org: registry.DefaultOrg, Name: "x", Auth: registry.AuthGitHubHMAC}
	if err := s.SetSecrets(foreign, "some-secret"); err != nil {
		t.Fatal(err)
	}
	_, token, err := d.registry.CreateSource(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	got := d.post(token, good, githubSignature("some-secret", good))
	if got.status != 503 || got.reason() != "secret_unreadable" || got.header.Get("Retry-After") == "" {
		t.Errorf("answer %v", got)
	}
}

// B20, C10: the same id again is a duplicate; from another source it is its own.
func TestDuplicates_AreSaidAndStoredAgain(t *testing.T) {
	d := openDoor(t)
	_, other := d.source(registry.AuthNone)
	id := "X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958"
	f := func(what, token string, want bool, headers ...string) {
		t.Helper()
		if _, got := d.post(token, good, headers...).accepted(t); got != want {
			t.Errorf("%s: duplicate %v, want %v", what, got, want)
		}
	}
	f("first", d.token, false, id)
	f("again", d.token, true, id)
	f("by another source", other, false, id)
	f("another id", d.token, false, id+"x")
	f("no id", d.token, false)
	f("no id again", d.token, false)
	f("a key", d.token, false, "Idempotency-Key: 1")
	f("a key again", d.token, true, "Idempotency-Key: 1")
	if n := len(d.stored()); n != 8 {
		t.Errorf("%d deliveries stored, want all 8: the normalizer decides", n)
	}
}

// C15: and others are served.
func TestLimits_ASourceThatSendsTooMuchIsToldTo(t *testing.T) {
	d := openDoor(t, func(s *settings) { s.receiver.SourceRate = 1 })
	_, other := d.source(registry.AuthNone)
	var last answer
	for range 10 {
		last = d.post(d.token, good)
	}
	retry, err := strconv.Atoi(last.header.Get("Retry-After"))
	if last.status != 429 || last.reason() != "rate_limited" || err != nil || retry < 1 || retry > 30 {
		t.Errorf("the tenth in a second: %v, Retry-After %q", last, last.header.Get("Retry-After"))
	}
	d.post(other, good).accepted(t)
	// SNS would drop the message at a 4xx.
	if got := d.post(d.token, good, "x-amz-sns-message-type: Notification"); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("towards SNS: %v", got)
	}
}

// C16: by source.
func TestLimits_BytesOfASource(t *testing.T) {
	d := openDoor(t, func(s *settings) { s.receiver.MaxBody = 1000; s.receiver.SourceBytes = 1000 })
	body := `"` + strings.Repeat("a", 900) + `"`
	var last answer
	for range 5 {
		last = d.post(d.token, body)
	}
	if last.status != 429 || last.reason() != "bytes_limited" {
		t.Errorf("answer %v", last)
	}
}

// C5, C18: by address, and not by what is said to be one.
func TestLimits_GuessingIsSlowedAndHarmsNobody(t *testing.T) {
	d := openDoor(t, func(s *settings) { s.receiver.FailureRate = 1 })
	var last answer
	for i := range 10 {
		last = d.post(fmt.Sprintf("wct_guess_%020d", i), good)
	}
	if last.status != 429 || last.reason() != "failures_limited" || last.header.Get("Retry-After") == "" {
		t.Errorf("the tenth guess in a second: %v", last)
	}
	d.post(d.token, good, "X-Forwarded-For: 1.2.3.4").accepted(t)
	if got := d.post("wct_guess_00000000000000000011", good, "X-Forwarded-For: 1.2.3.4"); got.status != 429 {
		t.Errorf("a claimed address was believed: %v", got)
	}
}

func TestLimits_MemoryIsBounded(t *testing.T) {
	const limit = 1 << 20
	d := openDoor(t, func(s *settings) { s.receiver.MaxBody = limit; s.receiver.MaxMemory = 2 * limit })
	// Bodies that are claimed cost nothing until they come.
	for range 50 {
		conn := d.dial()
		fmt.Fprintf(conn, "POST %s%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n\"", receiver.Prefix, d.token, limit)
	}
	big := strings.Repeat("a", limit/2)
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	for range 20 {
		wg.Go(func() {
			got := d.raw(request(d.token, `"`+big+`"`), 1)
			mu.Lock()
			defer mu.Unlock()
			for _, a := range got {
				answers[strconv.Itoa(a.status)+a.reason()]++
			}
		})
	}
	wg.Wait()
	if n := answers["200"] + answers["503out_of_memory"]; n != 20 {
		t.Errorf("answers %v", answers)
	}
}

// C17: never a success.
func TestBusy_WhenTheBusDoesNotTakeIt(t *testing.T) {
	d := openDoor(t)
	d.post(d.token, good).accepted(t)
	d.stopBus()
	got := d.post(d.token, good)
	retry, err := strconv.Atoi(got.header.Get("Retry-After"))
	if got.status != 503 || err != nil || retry < 1 || retry > 30 {
		t.Errorf("answer %v, Retry-After %q", got, got.header.Get("Retry-After"))
	}
	if n := len(d.stored()); n != 1 {
		t.Errorf("%d deliveries stored, want the one that was accepted", n)
	}
}

func TestManyAtOnce_AreEachAnsweredAndStoredOnce(t *testing.T) {
	d := openDoor(t)
	type exchange struct{ body, answer string }
	exchanges := make([][]exchange, 32)
	var wg sync.WaitGroup
	for i := range exchanges {
		wg.Go(func() {
			for j := range 20 {
				body := fmt.Sprintf(`{"worker":%d,"n":%d,"fill":%q}`, i, j, strings.Repeat("x", i*j*10))
				for _, a := range d.raw(request(d.token, body), 1) {
					exchanges[i] = append(exchanges[i], exchange{body, a.body})
				}
			}
		})
	}
	wg.Wait()
	want := map[string]string{} // id to body
	for _, e := range slices.Concat(exchanges...) {
		id, _ := answer{status: http.StatusOK, body: e.answer}.accepted(t)
		want[id.String()] = e.body
	}
	if len(want) != 32*20 {
		t.Errorf("%d accepted, want %d", len(want), 32*20)
	}
	got := map[string]string{}
	for _, one := range d.stored() {
		got[one.ID.String()] = string(one.Body)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("accepted and stored (-want +got):\n%s", diff)
	}
}

// TestLog_NeverHasASecret sends a known marker by every way that a secret can
// take, makes every kind of refusal with it, and looks for it in all that was
// logged, answered and counted.
func TestLog_NeverHasASecret(t *testing.T) {
	const marker = "MARKER0s3cr3t0MARKER"
	d := openDoor(t)
	source := registry.Source{Org: registry.DefaultOrg, Name: "x", Auth: registry.AuthGitHubHMAC}
	if err := source.SetSecrets(d.sealer, marker); err != nil {
		t.Fatal(err)
	}
	if _, err := d.registry.ImportSource(t.Context(), source, "wct_"+marker); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	hear := func(bytes string) {
		for _, a := range d.raw(bytes, 1) {
			said.WriteString(a.String() + fmt.Sprint(a.header))
		}
	}
	for _, token := range []string{"wct_" + marker, marker, marker + "/x", marker + "?" + marker, strings.Repeat(marker, 40)} {
		hear(request(token, good))
		hear(request(token, good, githubSignature(marker, good)))
		hear(request(token, marker, githubSignature(marker, marker)))
		hear(request(token, good, "Authorization: "+marker, "X-Hub-Signature-256: "+marker, "Content-Encoding: "+marker))
		hear(strings.Replace(request(token, good), "POST", "GET", 1))
		hear(strings.Replace(request(token, good), "Content-Length", "Content-Length: 999999999\r\nX-A", 1))
		hear(strings.Replace(request(token, good), "HTTP/1.1", marker, 1))
	}
	passed := []string{"Authorization: Bearer " + marker, "Authorization: Basic " + marker, "X-Our-Secret: " + marker, "X-Our-Signature: " + marker, "X-Amz-Firehose-Access-Key: " + marker}
	for _, s := range []registry.Source{
		{Auth: registry.AuthToken}, {Auth: registry.AuthToken, SecretHeader: "X-Our-Secret"}, {Auth: registry.AuthBasic},
		{Auth: registry.AuthHMAC, SignatureHeader: "X-Our-Signature"}, {Auth: registry.AuthSNS}, {Auth: registry.AuthOIDC, OIDC: &registry.OIDC{
			Issuer: "https://127.0.0.1:1", Audience: marker,
		}},
	} {
		var secrets []auth.Secret
		if registry.NeedsSecret(s.Auth) {
			secrets = append(secrets, "user:"+marker+"x")
		}
		_, token := d.create(s, secrets...)
		for _, header := range passed {
			hear(request(token, good, header))
			hear(request(token, good, header, "X-Amz-Firehose-Request-Id: 1"))
		}
		hear(request(token, `{"Type":"SubscriptionConfirmation","Token":"`+marker+`","SubscribeURL":"https://`+marker+`/"}`, "x-amz-sns-message-type: SubscriptionConfirmation"))
	}
	hear(request("wct_"+marker, good, "Authorization: Bearer a."+marker+".c"))
	d.stopBus()
	hear(request("wct_"+marker, good, githubSignature(marker, good)))
	families, err := d.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"log": d.log.String(), "answers": said.String(), "metrics": fmt.Sprint(families)} {
		if i := strings.Index(text, marker); i >= 0 {
			t.Errorf("%s: ...%s...", what, text[max(0, i-200):min(len(text), i+100)])
		}
		if text == "" {
			t.Errorf("%s: nothing was caught, so nothing was shown", what)
		}
	}
	if !strings.Contains(d.log.String(), "delivery refused") {
		t.Error("refusals are not in the log")
	}
}
