package receiver_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"whatchanged/pkg/registry"
)

const (
	pushEmail    = "push@acme.iam.gserviceaccount.com"
	pushAudience = "https://changes.acme.example/MARKER0audience"
)

// google issues tokens as Google does, with keys of its own.
type google struct {
	tb     testing.TB
	others *others
	issuer string
	keys   map[string]*rsa.PrivateKey
}

func openGoogle(tb testing.TB, issuer string) *google {
	tb.Helper()
	host := strings.TrimPrefix(issuer, "https://")
	g := &google{tb: tb, issuer: issuer, others: openOthers(tb, host), keys: map[string]*rsa.PrivateKey{}}
	g.others.serve(host+"/.well-known/openid-configuration", text(fmt.Sprintf(`{"issuer":%q,"jwks_uri":"https://%s/certs"}`, issuer, host)))
	g.newKey("one")
	return g
}

// newKey makes a key and publishes it beside the others.
func (g *google) newKey(id string) {
	g.tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		g.tb.Fatal(err)
	}
	g.keys[id] = key
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	for id, key := range g.keys {
		set.Keys = append(set.Keys, map[string]string{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": id,
			"n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
		})
	}
	b, err := json.Marshal(set)
	if err != nil {
		g.tb.Fatal(err)
	}
	g.others.serve(strings.TrimPrefix(g.issuer, "https://")+"/certs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=19800, must-revalidate")
		_, _ = w.Write(b)
	})
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// unsigned returns the part of a token that is signed.
func (g *google) unsigned(header, claims map[string]any) string {
	g.tb.Helper()
	all := map[string]any{
		"iss": g.issuer, "aud": pushAudience, "email": pushEmail, "email_verified": true, "sub": "113774264463038321964",
		"iat": time.Now().Add(-30 * time.Minute).Unix(), "exp": time.Now().Add(30 * time.Minute).Unix(),
	}
	maps.Copy(all, claims)
	h, err := json.Marshal(header)
	if err != nil {
		g.tb.Fatal(err)
	}
	c, err := json.Marshal(all)
	if err != nil {
		g.tb.Fatal(err)
	}
	return encode(h) + "." + encode(c)
}

// token returns a token signed with a key of that id.
func (g *google) token(id string, claims map[string]any) string {
	g.tb.Helper()
	return g.sign(g.keys[id], g.unsigned(map[string]any{"alg": "RS256", "typ": "JWT", "kid": id}, claims))
}

func (g *google) sign(key *rsa.PrivateKey, text string) string {
	g.tb.Helper()
	sum := sha256.Sum256([]byte(text))
	sent, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		g.tb.Fatal(err)
	}
	return text + "." + encode(sent)
}

// push is what Pub/Sub sends, wrapped: a log entry in base64.
func push(data string) string {
	return `{"message":{"data":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `","messageId":"1","message_id":"1","publishTime":"2026-03-30T15:00:00Z"},"subscription":"projects/acme/subscriptions/changes"}`
}

func TestOIDC_TakesTokensThatWereMadeForTheSource(t *testing.T) {
	g := openGoogle(t, registry.GoogleIssuer)
	d := openDoor(t, func(s *settings) { s.client = g.others.client })
	_, source := d.create(registry.Source{Auth: registry.AuthOIDC, OIDC: &registry.OIDC{Audience: pushAudience, Emails: []string{"other@x.example", pushEmail}}})
	body := push(`{"logName":"x"}`)
	f := func(what, token string, status int, reason string, headers ...string) {
		t.Helper()
		if token != "" {
			headers = append(headers, "Authorization: Bearer "+token)
		}
		got := d.post(source, body, headers...)
		if got.status != status || got.reason() != reason {
			t.Errorf("%s: %v, want %d %s", what, got, status, reason)
		}
		if said := got.String() + fmt.Sprint(got.header); token != "" && strings.Contains(said, token) || strings.Contains(said, "MARKER0audience") {
			t.Errorf("%s: the answer quotes the token: %s", what, said)
		}
	}
	good := g.token("one", nil)
	f("good", good, 200, "")
	f("again", good, 200, "")
	f("issuer without its scheme, as Google writes it too", g.token("one", map[string]any{"iss": "accounts.google.com"}), 200, "")
	f("one of several audiences", g.token("one", map[string]any{"aud": []string{"x", pushAudience}}), 200, "")
	f("unwrapped", good, 200, "", "x-goog-pubsub-message-id: 1", "x-goog-pubsub-subscription-name: projects/acme/subscriptions/changes")
	f("none", "", 401, "signature_missing")
	f("Basic", "", 401, "signature_missing", "Authorization: Basic eDp5")
	f("empty", "", 401, "signature_missing", "Authorization: Bearer ")
	f("two", good, 401, "bad_signature", "Authorization: Bearer "+good)
	f("nonsense", "abc", 401, "bad_token")
	f("changed", strings.Replace(good, ".", ".A", 1), 401, "bad_token")
	f("cut", good[:len(good)-2], 401, "bad_token")
	f("C28 expired", g.token("one", map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), 401, "token_expired")
	f("no end", g.token("one", map[string]any{"exp": nil}), 401, "bad_token")
	f("not yet", g.token("one", map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), 401, "bad_token")
	f("C28 audience", g.token("one", map[string]any{"aud": pushAudience + "x"}), 401, "wrong_audience")
	f("issuer", g.token("one", map[string]any{"iss": "https://evil.example"}), 401, "wrong_issuer")
	f("email", g.token("one", map[string]any{"email": "evil@x.example"}), 401, "wrong_email")
	f("no email", g.token("one", map[string]any{"email": nil}), 401, "wrong_email")
	f("email in another case", g.token("one", map[string]any{"email": strings.ToUpper(pushEmail)}), 401, "wrong_email")
	f("email not verified", g.token("one", map[string]any{"email_verified": false}), 401, "wrong_email")
	f("C28 alg none", g.unsigned(map[string]any{"alg": "none", "kid": "one"}, nil)+".", 401, "bad_token")
	mac := hmac.New(sha256.New, g.keys["one"].N.Bytes())
	confused := g.unsigned(map[string]any{"alg": "HS256", "kid": "one"}, nil)
	mac.Write([]byte(confused))
	f("C28 alg confusion", confused+"."+encode(mac.Sum(nil)), 401, "bad_token")
	f("C28 kid as a path", g.sign(g.keys["one"], g.unsigned(map[string]any{"alg": "RS256", "kid": "../../etc/passwd"}, nil)), 401, "bad_token")
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f("another's key by the same id", g.sign(stranger, g.unsigned(map[string]any{"alg": "RS256", "kid": "one"}, nil)), 401, "bad_token")
	if n := g.others.count("accounts.google.com/certs"); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	if log := d.log.String(); strings.Contains(log, good) || strings.Contains(log, "MARKER0audience") || strings.Contains(log, pushEmail) {
		t.Error("the log quotes a token")
	}
}

func TestOIDC_WithoutTheIssuersKeysNobodyIsRefusedForGood(t *testing.T) {
	const issuer = "https://issuer.example"
	g := openGoogle(t, issuer)
	g.others.serve("issuer.example/certs", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	d := openDoor(t, func(s *settings) { s.client = g.others.client })
	_, source := d.create(registry.Source{Auth: registry.AuthOIDC, OIDC: &registry.OIDC{Issuer: issuer, Audience: pushAudience}})
	for range 3 {
		got := d.post(source, push("{}"), "Authorization: Bearer "+g.token("one", nil))
		if got.status != 503 || got.reason() != "keys_unreachable" || got.header.Get("Retry-After") == "" {
			t.Errorf("answer %v", got)
		}
	}
	if n := g.others.count("issuer.example/certs"); n != 1 {
		t.Errorf("the keys were asked for %d times in a moment", n)
	}
}

func TestOIDC_AnyAccountOfAnOwnIssuerIsTaken(t *testing.T) {
	const issuer = "https://issuer.example"
	g := openGoogle(t, issuer)
	d := openDoor(t, func(s *settings) { s.client = g.others.client })
	_, source := d.create(registry.Source{Auth: registry.AuthOIDC, OIDC: &registry.OIDC{Issuer: issuer, Audience: pushAudience}})
	d.post(source, push("{}"), "Authorization: Bearer "+g.token("one", map[string]any{"email": nil})).accepted(t)
}
