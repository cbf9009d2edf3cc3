package receiver_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/registry/registrytest"
	"whatchanged/services/receiver"
)

// counting notes how often a handler answers.
type counting struct {
	*httptest.ResponseRecorder
	answers int
}

func (c *counting) WriteHeader(status int) {
	c.answers++
	c.ResponseRecorder.WriteHeader(status)
}

func (c *counting) Write(b []byte) (int, error) {
	if c.answers == 0 {
		c.WriteHeader(http.StatusOK)
	}
	return c.ResponseRecorder.Write(b)
}

// FuzzReceiver posts anything to sources of every kind: there is exactly one
// answer, it is never our fault, and it is JSON that does not quote the secret.
func FuzzReceiver(f *testing.F) {
	const secret = "fuzzsecret0123456789"
	theBus := bustest.New(f)
	reg, boot := registrytest.New(f, theBus.KV(bus.BucketRegistry))
	sealer, err := auth.OpenSealer(filepath.Join(f.TempDir(), "k"), "", false)
	if err != nil {
		f.Fatal(err)
	}
	tokens := []string{boot.SourceToken.Reveal()}
	for kind, secret := range map[string]auth.Secret{
		registry.AuthGitHubHMAC: secret, registry.AuthGitLabToken: secret, registry.AuthGitLabSigning: signingToken,
		registry.AuthStandardWebhooks: signingToken, registry.AuthHMAC: secret, registry.AuthToken: secret, registry.AuthBasic: "user:" + secret,
	} {
		s := registry.Source{Org: registry.DefaultOrg, Name: kind, Auth: kind}
		if kind == registry.AuthHMAC {
			s.SignatureHeader = "X-Gitlab-Token"
		}
		if err := s.SetSecrets(sealer, secret); err != nil {
			f.Fatal(err)
		}
		_, token, err := reg.CreateSource(f.Context(), s)
		if err != nil {
			f.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	cfg := receiver.DefaultConfig()
	cfg.MaxBody, cfg.FailureRate, cfg.SourceRate = 1<<20, 1<<30, 1<<30
	rc, err := receiver.New(receiver.Deps{
		Registry: reg, Committer: instant{}, Sealer: sealer, Log: slog.New(slog.DiscardHandler),
	}, cfg)
	if err != nil {
		f.Fatal(err)
	}
	signature := strings.TrimPrefix(githubSignature(secret, good), "X-Hub-Signature-256: ")
	f.Add("application/json", "", signature, "", "", "", []byte(good))
	f.Add("application/x-www-form-urlencoded", "", "sha256=", "id", "1744578123", "v1,Q/Xs0AQ=", []byte("payload=%7B%22zen%22%3A%22hi%22%7D"))
	f.Add("application/x-www-form-urlencoded; charset=utf-8", "", "", "", "", "", []byte("payload=%7B&payload=%zz&&=;"))
	f.Add("", "gzip", "", "", "-1", "v1,", []byte(gzipped(good)))
	f.Add("", "deflate, gzip", "", "a.b", "0x1", "v1a,x v1,y", []byte(gzipped(deflated(good))))
	f.Add("multipart/form-data; boundary=x", "", "", "", "", "", []byte("--x--"))
	f.Add("application/json; charset=\"utf-16\"", "identity", "sha256=zz", "", "", "", []byte{0xff, 0xfe})
	f.Add("text/plain", "", "Basic dXNlcjp4", "", "SubscriptionConfirmation", "", []byte(`{"Type":"SubscriptionConfirmation","MessageId":"m","TopicArn":"t","Timestamp":"t","Signature":"s","SigningCertURL":"https://x"}`))
	f.Add("application/json", "", "Bearer x", "SubscriptionValidation", "", "\xff\"", []byte(validationEvent))
	f.Fuzz(func(t *testing.T, contentType, encoding, hub, id, stamp, signatures string, body []byte) {
		for _, token := range tokens {
			r := httptest.NewRequest(http.MethodPost, receiver.Prefix+token, strings.NewReader(string(body)))
			for name, value := range map[string]string{
				"Content-Type": contentType, "Content-Encoding": encoding, "X-Hub-Signature-256": hub, "X-Gitlab-Token": hub,
				"Authorization": hub, "Aeg-Event-Type": id, "X-Amz-Sns-Message-Type": stamp, "X-Amz-Firehose-Request-Id": signatures,
				"Webhook-Id": id, "Webhook-Timestamp": stamp, "Webhook-Signature": signatures,
			} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			w := &counting{ResponseRecorder: httptest.NewRecorder()}
			rc.ServeHTTP(w, r)
			answer := w.Body.String()
			if w.answers != 1 || w.Code >= 500 || w.Code/100 == 3 {
				t.Errorf("%d answers, status %d: %s", w.answers, w.Code, answer)
			}
			if !json.Valid([]byte(answer)) || !utf8.ValidString(answer) || strings.Contains(answer, secret) || strings.Contains(answer, token) {
				t.Errorf("answer %q", answer)
			}
		}
	})
}
