package api_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
)

// Everything that can be set comes back, but what is secret.
func TestSources_EverySettingIsKeptAndSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, id := range []string{"svc_shop", "svc_other"} {
		if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	const secret, awsSecret = "zebra-the-secret", "zebra/of/aws/0123456789"
	f := func(in client.NewSource, want client.Source) {
		t.Helper()
		in.Name, want.Name = "x", "x"
		made, err := s.admin.CreateSource(t.Context(), in)
		if err != nil {
			t.Error(err)
			return
		}
		got := s.call("GET", "/api/v1/sources/"+made.ID, "")
		if strings.Contains(got.Body, "zebra") {
			t.Errorf("a secret is shown: %s", got.Body)
		}
		read, err := s.admin.Source(t.Context(), made.ID)
		ignore := cmpopts.IgnoreFields(client.Source{}, "ID", "CreatedAt", "Secrets")
		if diff := cmp.Diff(want, read, ignore, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if len(read.Secrets) != len(in.Secrets) {
			t.Errorf("%d secrets, want %d", len(read.Secrets), len(in.Secrets))
		}
		for _, known := range read.Secrets {
			if known.ID == "" || time.Since(known.SetAt.Time) > time.Minute {
				t.Errorf("secret %+v", known)
			}
		}
	}
	f(client.NewSource{}, client.Source{Provider: "auto", Auth: "none"})
	f(client.NewSource{Auth: "hmac", Provider: "gitea", Secrets: []string{secret, secret + "2"}},
		client.Source{Provider: "gitea", Auth: "hmac"})
	f(client.NewSource{Auth: "hmac", SignatureHeader: "X-Sig", SignatureAlgorithm: "sha512", Secrets: []string{secret}},
		client.Source{Provider: "auto", Auth: "hmac", SignatureHeader: "X-Sig", SignatureAlgorithm: "sha512"})
	f(client.NewSource{Auth: "token", SecretHeader: "X-Amz-Firehose-Access-Key", Secrets: []string{secret}, Networks: []string{"192.0.2.7"}},
		client.Source{Provider: "auto", Auth: "token", SecretHeader: "X-Amz-Firehose-Access-Key", Networks: []string{"192.0.2.7/32"}})
	f(client.NewSource{Auth: "basic", Secrets: []string{"hooks:" + secret}}, client.Source{Provider: "auto", Auth: "basic"})
	f(client.NewSource{Auth: "standard_webhooks", Secrets: []string{"whsec_emVicmF6ZWJyYXplYnJhemVicmF6ZWJyYXplYnJh"}},
		client.Source{Provider: "auto", Auth: "standard_webhooks"})
	f(client.NewSource{
		Auth: "sns", Topics: []string{"arn:aws:sns:us-east-1:123456789012:*"},
		AWS: &client.AWSCredentials{Region: "us-east-1", AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: awsSecret, Endpoint: "http://127.0.0.1:9000"},
	}, client.Source{
		Provider: "auto", Auth: "sns", Topics: []string{"arn:aws:sns:us-east-1:123456789012:*"},
		AWS: &client.AWSState{Region: "us-east-1", AccessKeyID: "AKIAIOSFODNN7EXAMPLE", Endpoint: "http://127.0.0.1:9000"},
	})
	oidc := client.OIDC{Audience: "whatchanged", Emails: []string{"push@acme.iam.gserviceaccount.com"}}
	known := oidc
	known.Issuer = registry.GoogleIssuer
	f(client.NewSource{Auth: "oidc", OIDC: &oidc}, client.Source{Provider: "auto", Auth: "oidc", OIDC: &known})
	f(client.NewSource{
		DefaultEnvironment: "staging", DefaultServiceID: "svc_other", IgnoreEvents: []string{"github.star"}, IgnoreBranches: []string{"renovate/*"},
		Services: []client.ServiceMapping{{Match: "acme/shop-*", ServiceID: "svc_shop"}},
	}, client.Source{
		Provider: "auto", Auth: "none", DefaultEnvironment: "staging", DefaultServiceID: "svc_other",
		IgnoreEvents: []string{"github.star"}, IgnoreBranches: []string{"renovate/*"},
		Services: []client.ServiceMapping{{Match: "acme/shop-*", ServiceID: "svc_shop"}},
	})
}

// A refusal names the field and says what to do, and never shows a secret.
func TestSources_RefusalsNameTheField(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := func(body, field, says string) {
		t.Helper()
		got := s.call("POST", "/api/v1/sources", `{"name": "x", `+body+`}`)
		if got.Status != http.StatusBadRequest || got.json(t)["field"] != field || !strings.Contains(got.Body, says) || strings.Contains(got.Body, "zebra") {
			t.Errorf("%s: %d %s, want field %s, %q", body, got.Status, got.Body, field, says)
		}
	}
	f(`"auth": "magic"`, "auth", "")
	f(`"auth": "hmac", "secrets": ["zebra-secret"]`, "signature_header", "X-Signature")
	f(`"auth": "hmac", "provider": "gitea", "secrets": ["zebra"]`, "secrets", "8 to 1024")
	f(`"auth": "basic", "secrets": ["zebra-secret"]`, "secrets", "user:password")
	f(`"auth": "gitlab_signing", "secrets": ["zebra-secret"]`, "secrets", "whsec_")
	f(`"auth": "token"`, "secrets", "needs a secret")
	f(`"auth": "sns", "topics": ["changes"]`, "topics", "ARN")
	f(`"topics": ["arn:aws:sns:us-east-1:123456789012:x"]`, "topics", "auth sns")
	f(`"auth": "oidc"`, "oidc", "audience")
	f(`"auth": "oidc", "oidc": {"audience": "a"}`, "oidc", "emails")
	f(`"auth": "oidc", "oidc": {"audience": "a", "issuer": "http://x"}`, "oidc", "https")
	f(`"networks": ["office"]`, "networks", "CIDR")
	f(`"signature_algorithm": "sha1"`, "signature_algorithm", "")
	f(`"services": [{"match": "a/*", "service_id": "svc_none"}]`, "services", "svc_none")
	f(`"aws": {"region": "eu-central-1", "access_key_id": "AKIAIOSFODNN7EXAMPLE"}`, "aws", "secret_access_key")
	f(`"aws": {"region": "eu-central-1", "access_key_id": "ASIAIOSFODNN7EXAMPLE", "secret_access_key": "zebra-0123456789"}`, "aws", "temporary")
}

func TestSources_APatchChangesWhatItNames(t *testing.T) {
	t.Parallel()
	s := start(t)
	made, err := s.admin.CreateSource(t.Context(), client.NewSource{
		Name: "x", Auth: "hmac", SignatureHeader: "X-Sig", Secrets: []string{"the-first-secret"},
		AWS: &client.AWSCredentials{Region: "us-east-1", AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "of-aws-0123456789"},
	})
	if err != nil {
		t.Fatal(err)
	}
	f := func(body string, want func(client.Source) any) {
		t.Helper()
		before, err := s.admin.Source(t.Context(), made.ID)
		if err != nil {
			t.Fatal(err)
		}
		got := s.call("PATCH", "/api/v1/sources/"+made.ID, body)
		after, err := s.admin.Source(t.Context(), made.ID)
		if err != nil || got.Status != http.StatusOK {
			t.Fatalf("%s: %d %s %v", body, got.Status, got.Body, err)
		}
		if cmp.Equal(before, after) {
			t.Errorf("%s changed nothing", body)
		}
		if ok := want(after); ok != true {
			t.Errorf("%s: %v in %+v", body, ok, after)
		}
	}
	f(`{"networks": ["10.0.0.0/8"]}`, func(a client.Source) any { return len(a.Networks) == 1 && a.SignatureHeader == "X-Sig" })
	f(`{"networks": []}`, func(a client.Source) any { return len(a.Networks) == 0 && len(a.Secrets) == 1 })
	f(`{"ignore_branches": ["a/*", "b"]}`, func(a client.Source) any { return len(a.IgnoreBranches) == 2 && a.AWS != nil })
	f(`{"aws": {"region": "eu-west-1", "access_key_id": "AKIAIOSFODNN7EXAMPLE"}}`, func(a client.Source) any { return a.AWS.Region == "eu-west-1" })
	if kept, _ := s.registry.Source(orgName, made.ID); true {
		if secret, err := kept.OpenAWS(s.deps.Sealer); err != nil || secret.Reveal() != "of-aws-0123456789" {
			t.Errorf("the secret did not stay with its key: %v", err)
		}
	}
	other := s.call("PATCH", "/api/v1/sources/"+made.ID, `{"aws": {"region": "eu-west-1", "access_key_id": "AKIAOTHER"}}`)
	if other.Status != http.StatusBadRequest || other.json(t)["field"] != "aws" {
		t.Errorf("another key with the secret of the first: %d %s", other.Status, other.Body)
	}
	f(`{"aws": {}}`, func(a client.Source) any { return a.AWS == nil })
	f(`{"auth": "token", "secrets": ["another-secret"]}`, func(a client.Source) any { return a.SignatureHeader == "" && len(a.Secrets) == 1 })
	f(`{"auth": "oidc", "oidc": {"issuer": "https://issuer.example", "audience": "a"}}`, func(a client.Source) any { return len(a.Secrets) == 0 && a.OIDC != nil })
	f(`{"auth": "none"}`, func(a client.Source) any { return a.OIDC == nil })
}

// A secret is changed without a moment in which neither side's is good.
func TestSources_SecretsOverlap(t *testing.T) {
	t.Parallel()
	s := start(t)
	made, err := s.admin.CreateSource(t.Context(), client.NewSource{Name: "x", Auth: "github_hmac", Secrets: []string{"the-first-secret"}})
	if err != nil {
		t.Fatal(err)
	}
	good := func(want ...string) {
		t.Helper()
		kept, _ := s.registry.Source(orgName, made.ID)
		opened, err := kept.OpenSecrets(s.deps.Sealer)
		var got []string
		for _, secret := range opened {
			got = append(got, secret.Reveal())
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	both, err := s.admin.AddSecret(t.Context(), made.ID, "the-second-secret")
	if err != nil || len(both.Secrets) != 2 || both.Secrets[0].ID != made.Secrets[0].ID || !both.Secrets[0].Until.IsZero() {
		t.Fatalf("%+v %v", both, err)
	}
	good("the-first-secret", "the-second-secret")
	if err := s.admin.RemoveSecret(t.Context(), made.ID, both.Secrets[0].ID); err != nil {
		t.Fatal(err)
	}
	good("the-second-secret")
	if err := s.admin.RemoveSecret(t.Context(), made.ID, both.Secrets[0].ID); problemOf(err).Status != http.StatusNotFound {
		t.Errorf("removed twice: %v", err)
	}
	if err := s.admin.RemoveSecret(t.Context(), made.ID, both.Secrets[1].ID); problemOf(err).Field != "secrets" {
		t.Errorf("removed the last: %v", err)
	}
	ending, err := s.admin.AddSecretWithin(t.Context(), made.ID, "the-third-secret", time.Hour)
	if err != nil || len(ending.Secrets) != 2 || !ending.Secrets[1].Until.IsZero() {
		t.Fatalf("%+v %v", ending, err)
	}
	if left := time.Until(ending.Secrets[0].Until.Time); left < 59*time.Minute || left > time.Hour {
		t.Errorf("the old secret ends in %s", left)
	}
	good("the-second-secret", "the-third-secret")
	if _, err := s.admin.AddSecretWithin(t.Context(), made.ID, "the-fourth-secret", 0); err != nil {
		t.Fatal(err)
	}
	good("the-fourth-secret")
	if _, err := s.admin.AddSecretWithin(t.Context(), made.ID, "the-fifth-secret", 31*24*time.Hour); problemOf(err).Field != "overlap" {
		t.Errorf("an overlap of 31 days: %v", err)
	}
	if _, err := s.admin.AddSecret(t.Context(), made.ID, "short"); problemOf(err).Field != "secrets" {
		t.Errorf("a short secret: %v", err)
	}
}

func TestServices_InUseStay(t *testing.T) {
	t.Parallel()
	s := start(t)
	if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: "svc_shop", Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.admin.CreateSource(t.Context(), client.NewSource{Name: "x", DefaultServiceID: "svc_shop"}); err != nil {
		t.Fatal(err)
	}
	if err := s.admin.DeleteService(t.Context(), "svc_shop"); problemOf(err).Reason != "service_in_use" {
		t.Errorf("deleted: %v", err)
	}
}

// The document lists every way that the registry knows.
func TestSources_DocumentKnowsEveryAuth(t *testing.T) {
	want := strings.Join(registry.Auths(), ",")
	for _, of := range []reflect.Type{reflect.TypeFor[client.NewSource](), reflect.TypeFor[client.SourcePatch]()} {
		field, _ := of.FieldByName("Auth")
		if got := field.Tag.Get("enum"); got != want {
			t.Errorf("%s: %s, want %s", of, got, want)
		}
	}
}
