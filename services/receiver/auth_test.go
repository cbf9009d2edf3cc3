package receiver_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/registry"
)

func sum(newHash func() hash.Hash, secret, body string) []byte {
	mac := hmac.New(newHash, []byte(secret))
	mac.Write([]byte(body))
	return mac.Sum(nil)
}

// refused posts to a source and checks what comes of it; "" is accepted.
func (d *door) refused(t *testing.T, token, what, body, reason string, headers ...string) {
	t.Helper()
	got := d.post(token, body, headers...)
	want := http.StatusUnauthorized
	if reason == "" {
		want = http.StatusOK
	}
	if got.status != want || got.reason() != reason {
		t.Errorf("%s: %v, want %d %s", what, got, want, reason)
	}
	if want == http.StatusUnauthorized && got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("%s: 401 without WWW-Authenticate", what)
	}
}

func TestHMAC_OfEveryProviderThatHasItsOwnHeader(t *testing.T) {
	d := openDoor(t)
	const secret = "a-long-secret"
	hexed := hex.EncodeToString(sum(sha256.New, secret, good))
	hex512 := hex.EncodeToString(sum(sha512.New, secret, good))
	for _, c := range []struct {
		source registry.Source
		header string
	}{
		{registry.Source{Provider: "gitea"}, "X-Gitea-Signature: " + hexed},
		{registry.Source{Provider: "forgejo"}, "X-Forgejo-Signature: " + hexed},
		{registry.Source{Provider: "gogs"}, "X-Gogs-Signature: " + hexed},
		{registry.Source{Provider: "bitbucket"}, "X-Hub-Signature: sha256=" + hexed},
		{registry.Source{Provider: "pagerduty"}, "X-PagerDuty-Signature: v1=" + strings.Repeat("0", 64) + ",v1=" + hexed},
		{registry.Source{Provider: "terraform"}, "X-TFE-Notification-Signature: " + hex512},
		{registry.Source{Provider: "launchdarkly"}, "X-LD-Signature: " + hexed},
		{registry.Source{Provider: "sentry"}, "Sentry-Hook-Signature: " + hexed},
		{registry.Source{Provider: "grafana"}, "X-Grafana-Alerting-Signature: " + hexed},
		{registry.Source{SignatureHeader: "X-Our-Signature"}, "X-Our-Signature: " + base64.StdEncoding.EncodeToString(sum(sha256.New, secret, good))},
		{registry.Source{SignatureHeader: "X-Our-Signature", SignatureAlgorithm: "sha512"}, "X-Our-Signature: sha512=" + hex512},
	} {
		c.source.Auth = registry.AuthHMAC
		_, token := d.create(c.source, "the-new-secret", secret)
		name, _, _ := strings.Cut(c.header, ": ")
		d.refused(t, token, "right, "+name, good, "", c.header)
		d.refused(t, token, "missing, "+name, good, "signature_missing")
		d.refused(t, token, "over other bytes, "+name, good+" ", "bad_signature", c.header)
		d.refused(t, token, "cut, "+name, good, "bad_signature", c.header[:len(c.header)-1])
		d.refused(t, token, "twice, "+name, good, "bad_signature", c.header, c.header)
		d.refused(t, token, "sha1, "+name, good, "bad_signature", name+": sha1="+strings.Repeat("0", 40))
		d.refused(t, token, "GitHub's header for "+name, good, "signature_missing", githubSignature(secret, good))
	}
}

func TestToken_InAHeaderOrAsABearer(t *testing.T) {
	d := openDoor(t)
	_, firehose := d.create(registry.Source{Auth: registry.AuthToken, SecretHeader: "X-Amz-Firehose-Access-Key"}, "new-secret", "old-secret")
	d.refused(t, firehose, "right", good, "", "X-Amz-Firehose-Access-Key: new-secret")
	d.refused(t, firehose, "the other", good, "", "X-Amz-Firehose-Access-Key: old-secret")
	d.refused(t, firehose, "missing", good, "signature_missing")
	d.refused(t, firehose, "wrong", good, "bad_signature", "X-Amz-Firehose-Access-Key: new-secreT")
	d.refused(t, firehose, "shorter", good, "bad_signature", "X-Amz-Firehose-Access-Key: new-secre")
	d.refused(t, firehose, "empty", good, "bad_signature", "X-Amz-Firehose-Access-Key:")
	d.refused(t, firehose, "twice", good, "bad_signature", "X-Amz-Firehose-Access-Key: new-secret", "X-Amz-Firehose-Access-Key: new-secret")
	d.refused(t, firehose, "as a bearer", good, "signature_missing", "Authorization: Bearer new-secret")
	d.refused(t, firehose, "in the query", good, "signature_missing")

	_, bearer := d.source(registry.AuthToken, "new-secret", "old-secret")
	d.refused(t, bearer, "right", good, "", "Authorization: Bearer new-secret")
	d.refused(t, bearer, "the other, in another case", good, "", "Authorization: bearer old-secret")
	d.refused(t, bearer, "missing", good, "signature_missing")
	d.refused(t, bearer, "without its scheme", good, "signature_missing", "Authorization: new-secret")
	d.refused(t, bearer, "Basic", good, "signature_missing", "Authorization: Basic new-secret")
	d.refused(t, bearer, "wrong", good, "bad_signature", "Authorization: Bearer new-secret2")
	d.refused(t, bearer, "twice", good, "bad_signature", "Authorization: Bearer new-secret", "Authorization: Bearer new-secret")
}

func TestBasic_ChallengesAndTakesUserAndPassword(t *testing.T) {
	d := openDoor(t)
	_, token := d.source(registry.AuthBasic, "devops:new-password", "devops:old-password")
	basic := func(text string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(text))
	}
	d.refused(t, token, "right", good, "", basic("devops:new-password"))
	d.refused(t, token, "the other", good, "", basic("devops:old-password"))
	d.refused(t, token, "missing", good, "signature_missing")
	d.refused(t, token, "wrong password", good, "bad_signature", basic("devops:other-password"))
	d.refused(t, token, "wrong user", good, "bad_signature", basic("dev:new-password"))
	d.refused(t, token, "parts put together otherwise", good, "bad_signature", basic("devops:new-password:"))
	d.refused(t, token, "not base64", good, "signature_missing", "Authorization: Basic !!!")
	d.refused(t, token, "a bearer", good, "signature_missing", "Authorization: Bearer devops:new-password")
	d.refused(t, token, "twice", good, "bad_signature", basic("devops:new-password"), basic("devops:new-password"))
	if got := d.post(token, good).header["Www-Authenticate"]; len(got) != 1 || !strings.HasPrefix(got[0], "Basic ") {
		t.Errorf("challenge %q", got)
	}
}

func TestStandardWebhooks_FromAnyone(t *testing.T) {
	d := openDoor(t)
	const other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	_, token := d.source(registry.AuthStandardWebhooks, signingToken, other)
	now := strconv.FormatInt(time.Now().Unix(), 10)
	d.refused(t, token, "right", good, "", signedHeaders(signingToken, "msg_1", now, good)...)
	d.refused(t, token, "the other", good, "", signedHeaders(other, "msg_2", now, good)...)
	d.refused(t, token, "missing", good, "signature_missing")
	d.refused(t, token, "over other bytes", good, "bad_signature", signedHeaders(other, "msg_2", now, good+" ")...)
	d.refused(t, token, "old", good, "stale_signature", signedHeaders(other, "msg_2", strconv.FormatInt(time.Now().Unix()-310, 10), good)...)
}

// A secret that ends does so without anybody touching the source.
func TestSecrets_EndAtTheirTime(t *testing.T) {
	d := openDoor(t)
	s, token := d.source(registry.AuthToken, "old-secret")
	var newSecret auth.Secret = "new-secret"
	_, err := d.registry.UpdateSource(t.Context(), s.Org, s.ID, func(s *registry.Source) error {
		return s.AddSecret(d.sealer, newSecret, change.At(time.Now().Add(300*time.Millisecond)))
	})
	if err != nil {
		t.Fatal(err)
	}
	d.refused(t, token, "the new one", good, "", "Authorization: Bearer new-secret")
	eventually(t, "the old secret is refused", func() bool {
		return d.post(token, good, "Authorization: Bearer old-secret").status == http.StatusUnauthorized
	})
	d.refused(t, token, "the new one, later", good, "", "Authorization: Bearer new-secret")
}
