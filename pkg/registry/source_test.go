package registry

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

const aSigningSecret = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q="

func newSealer(t *testing.T) *auth.Sealer {
	t.Helper()
	sealer, err := auth.OpenSealer(filepath.Join(t.TempDir(), "k"), "", false)
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

// one is a secret, for what does not open it.
var one = []SourceSecret{{Sealed: auth.Sealed{1}}}

func TestSource_WhatCannotBeCheckedIsRefusedByItsField(t *testing.T) {
	r, _ := openBootstrapped(t)
	f := func(field, says string, s Source) {
		t.Helper()
		s.Org, s.Name = DefaultOrg, "x"
		_, _, err := r.CreateSource(t.Context(), s)
		if got := problem.From(err); got.Field != field || !strings.Contains(got.Message, says) {
			t.Errorf("field %q, want %q: %v", got.Field, field, err)
		}
	}
	f("auth", "nothing would be checked", Source{Secrets: one})
	f("secrets", "needs a secret", Source{Auth: AuthToken})
	f("secrets", "takes no secret", Source{Auth: AuthSNS, Secrets: one})
	f("secrets", "would end", Source{Auth: AuthToken, Secrets: []SourceSecret{{Sealed: auth.Sealed{1}, Until: change.At(time.Now().Add(time.Hour))}}})

	f("signature_header", "needs the name", Source{Auth: AuthHMAC, Secrets: one})
	f("signature_header", "needs the name", Source{Auth: AuthHMAC, Secrets: one, Provider: "gitlab"})
	f("signature_header", "not the name", Source{Auth: AuthHMAC, Secrets: one, SignatureHeader: "X Y"})
	f("signature_header", "auth hmac only", Source{SignatureHeader: "X-Signature"})
	f("signature_algorithm", "sha1 is not safe", Source{Auth: AuthHMAC, Secrets: one, SignatureHeader: "X-S", SignatureAlgorithm: "sha1"})
	f("signature_algorithm", "sha256, sha512", Source{Auth: AuthHMAC, Secrets: one, Provider: "gitea", SignatureAlgorithm: "md5"})
	f("signature_algorithm", "auth hmac only", Source{Auth: AuthGitHubHMAC, Secrets: one, SignatureAlgorithm: "sha512"})

	f("oidc", "needs oidc.audience", Source{Auth: AuthOIDC})
	f("oidc", "needs oidc.audience", Source{Auth: AuthOIDC, OIDC: &OIDC{Emails: []string{"a@b.c"}}})
	f("oidc", "https", Source{Auth: AuthOIDC, OIDC: &OIDC{Issuer: "http://issuer.example", Audience: "a"}})
	f("oidc", "https", Source{Auth: AuthOIDC, OIDC: &OIDC{Issuer: "https://u:p@issuer.example", Audience: "a"}})
	f("oidc", "https", Source{Auth: AuthOIDC, OIDC: &OIDC{Issuer: "issuer", Audience: "a"}})
	f("oidc", "emails is required", Source{Auth: AuthOIDC, OIDC: &OIDC{Audience: "a"}})
	f("oidc", "whole addresses", Source{Auth: AuthOIDC, OIDC: &OIDC{Audience: "a", Emails: []string{"*@p.iam.gserviceaccount.com"}}})
	f("oidc", "auth oidc only", Source{OIDC: &OIDC{Audience: "a"}})

	f("topics", "auth sns only", Source{Topics: []string{"arn:aws:sns:us-east-1:123456789012:x"}})
	for _, topic := range []string{"", "*", "x", "arn:aws:sns:us-east-1:*", "arn:aws:sns:us-east-1:123456789012:*x", "arn:aws:sqs:us-east-1:123456789012:x"} {
		f("topics", "ARN", Source{Auth: AuthSNS, Topics: []string{topic}})
	}
	for _, network := range []string{"", "x", "10.0.0.0/33", "::ffff:10.0.0.0/104", "10.0.0.0/8,"} {
		f("networks", "CIDR", Source{Networks: []string{network}})
	}
	f("ignore_branches", "required", Source{IgnoreBranches: []string{""}})
	f("ignore_branches", "one line", Source{IgnoreBranches: []string{"a\nb"}})
	f("services", "match is", Source{Services: []ServiceMapping{{ServiceID: "svc_x"}}})
	f("services", `no service "svc_none", to which "acme/*"`, Source{Services: []ServiceMapping{{"acme/*", "svc_none"}}})

	aws := AWS{Region: "eu-central-1", AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: auth.Sealed{1}}
	with := func(edit func(*AWS)) Source { a := aws; edit(&a); return Source{AWS: &a} }
	f("aws", "region", with(func(a *AWS) { a.Region = "" }))
	f("aws", "temporary", with(func(a *AWS) { a.AccessKeyID = "ASIAIOSFODNN7EXAMPLE" }))
	f("aws", "access_key_id", with(func(a *AWS) { a.AccessKeyID = "" }))
	f("aws", "secret_access_key", with(func(a *AWS) { a.SecretAccessKey = nil }))
	for _, endpoint := range []string{"s3.example.com", "ftp://s3.example.com", "https://k:s@s3.example.com", "https://s3.example.com/bucket", "https://"} {
		f("aws", "speaks S3", with(func(a *AWS) { a.Endpoint = endpoint }))
	}
}

func TestSource_IsKeptInOneForm(t *testing.T) {
	r, _ := openBootstrapped(t)
	oidc := &OIDC{Audience: "whatchanged", Emails: []string{"push@acme.iam.gserviceaccount.com"}}
	networks := []string{"10.1.2.3", "10.1.2.3/8", "2001:db8::1", "::ffff:10.0.0.1"}
	s, _, err := r.CreateSource(t.Context(), Source{Org: DefaultOrg, Name: "pubsub", Auth: AuthOIDC, OIDC: oidc, Networks: networks})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"10.1.2.3/32", "10.0.0.0/8", "2001:db8::1/128", "10.0.0.1/32"}, s.Networks); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
	if s.OIDC.Issuer != GoogleIssuer {
		t.Errorf("issuer %q", s.OIDC.Issuer)
	}
	if oidc.Issuer != "" || networks[0] != "10.1.2.3" {
		t.Error("what the caller gave was changed under its hands")
	}
}

func TestSource_StoredBeforeSecretsHadTimesIsReadable(t *testing.T) {
	sealer := newSealer(t)
	sealed, _ := json.Marshal(sealer.Seal("o", "the secret"))
	old := `{"id":"src_1","org":"o","name":"x","auth":"github_hmac","secrets":[` + string(sealed) + `],"created_at":"2026-01-01T00:00:00.000Z"}`
	var s Source
	if err := json.Unmarshal([]byte(old), &s); err != nil {
		t.Fatal(err)
	}
	got, err := s.OpenSecrets(sealer)
	if err != nil || len(got) != 1 || got[0].Reveal() != "the secret" {
		t.Errorf("opened %d secrets, %v", len(got), err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again Source
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, again); diff != "" {
		t.Errorf("written and read (-before +after):\n%s", diff)
	}
}

func TestSignature_IsTheProvidersOwnUnlessTheSourceSays(t *testing.T) {
	f := func(s Source, want string) {
		t.Helper()
		header, algorithm := s.Signature()
		if got := header + " " + algorithm; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(Source{Provider: "gitea"}, "X-Gitea-Signature sha256")
	f(Source{Provider: "terraform"}, "X-TFE-Notification-Signature sha512")
	f(Source{Provider: "terraform", SignatureAlgorithm: "sha256"}, "X-TFE-Notification-Signature sha256")
	f(Source{Provider: "gitea", SignatureHeader: "X-Mine"}, "X-Mine sha256")
	f(Source{SignatureHeader: "X-Mine", SignatureAlgorithm: "sha512"}, "X-Mine sha512")
	f(Source{}, " sha256")
}

func TestSecrets_HaveTheFormOfTheirKind(t *testing.T) {
	sealer := newSealer(t)
	f := func(kind, secret string, want bool) {
		t.Helper()
		s := Source{Org: DefaultOrg, Auth: kind}
		err := s.SetSecrets(sealer, auth.Secret(secret))
		if (err == nil) != want {
			t.Errorf("%s %q: %v", kind, secret, err)
		}
		if secret != "" && err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	f(AuthHMAC, "long enough", true)
	f(AuthHMAC, "shrt-ab", false)
	f(AuthHMAC, strings.Repeat("x", 1025), false)
	f(AuthStandardWebhooks, aSigningSecret, true)
	f(AuthStandardWebhooks, "long enough", false)
	f(AuthStandardWebhooks, "whsec_c2hvcnQ=", false)
	f(AuthBasic, "user:password", true)
	f(AuthBasic, "user:pass:word", true)
	f(AuthBasic, "user-password", false)
	f(AuthBasic, ":password-only", false)
	f(AuthBasic, "username-long:short", false)
	f(AuthToken, "long-enough", true)
	f(AuthToken, "long\nenough", false)
	f(AuthToken, " long enough", false)
	f(AuthGitLabToken, "lång-enough", false)
	f(AuthSNS, "long-enough", false)
	f(AuthOIDC, "long-enough", false)
	f(AuthNone, "long-enough", false)
}

func TestSecrets_OverlapDuringARotation(t *testing.T) {
	r, _ := openBootstrapped(t)
	sealer := newSealer(t)
	s := Source{Org: DefaultOrg, Name: "x", Auth: AuthToken}
	if err := s.SetSecrets(sealer, "the-first-secret"); err != nil {
		t.Fatal(err)
	}
	s, _, err := r.CreateSource(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	first := s.Secrets[0]
	if first.SetAt.IsZero() || first.ID() == "" {
		t.Errorf("secret %+v", first)
	}
	add := func(secret auth.Secret, until time.Time) {
		t.Helper()
		s, err = r.UpdateSource(t.Context(), DefaultOrg, s.ID, func(s *Source) error {
			var oldUntil change.Time
			if !until.IsZero() {
				oldUntil = change.At(until)
			}
			return s.AddSecret(sealer, secret, oldUntil)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	good := func(want ...auth.Secret) {
		t.Helper()
		got, _ := r.Source(DefaultOrg, s.ID)
		opened, err := got.OpenSecrets(sealer)
		if diff := cmp.Diff(want, opened); diff != "" || err != nil {
			t.Errorf("%d good secrets, want %d, %v", len(opened), len(want), err)
		}
	}
	add("the-second-secret", time.Time{})
	good("the-first-secret", "the-second-secret")
	if kept := s.Secrets[0]; !cmp.Equal(kept, first) {
		t.Errorf("the first secret became %+v", kept)
	}
	add("the-third-secret", time.Now().Add(time.Hour))
	good("the-first-secret", "the-second-secret", "the-third-secret")

	// The one without an end cannot go while only ending ones are left.
	_, err = r.UpdateSource(t.Context(), DefaultOrg, s.ID, func(s *Source) error {
		s.RemoveSecret(s.Secrets[2].ID())
		return nil
	})
	if problem.From(err).Field != "secrets" {
		t.Errorf("remove the last: %v", err)
	}
	add("the-fourth-secret", time.Now().Add(-time.Second)) // at once
	good("the-fourth-secret")
	if removed := s.RemoveSecret("sec_unknown"); removed {
		t.Error("removed what is not there")
	}
}

func TestEndSecrets_GivesTheSourceANewVersion(t *testing.T) {
	r, _ := openBootstrapped(t)
	sealer := newSealer(t)
	s := Source{Org: DefaultOrg, Name: "x", Auth: AuthToken}
	if err := s.SetSecrets(sealer, "the-first-secret"); err != nil {
		t.Fatal(err)
	}
	if err := s.AddSecret(sealer, "the-second-secret", change.At(time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	s, _, err := r.CreateSource(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := r.Source(DefaultOrg, s.ID)
	r.endSecrets(t.Context())
	if after, _ := r.Source(DefaultOrg, s.ID); after != before {
		t.Error("a new version although nothing ended")
	}
	r.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	r.endSecrets(t.Context())
	after, _ := r.Source(DefaultOrg, s.ID)
	if len(after.Secrets) != 1 || after.Secrets[0].ID() != s.Secrets[1].ID() || after.Secrets[0].SetAt != s.Secrets[1].SetAt {
		t.Errorf("left: %+v", after.Secrets)
	}
}

func TestAWS_SecretIsSealedForTheOrg(t *testing.T) {
	r, _ := openBootstrapped(t)
	sealer := newSealer(t)
	s := Source{Org: DefaultOrg, Name: "trail", AWS: &AWS{Region: "eu-central-1", AccessKeyID: "AKIAIOSFODNN7EXAMPLE", Endpoint: "http://127.0.0.1:9000"}}
	if err := s.SetAWSSecret(sealer, "short"); problem.From(err).Field != "aws" {
		t.Errorf("short: %v", err)
	}
	if err := s.SetAWSSecret(sealer, "wJalrXUtnFEMI/K7MDENG"); err != nil {
		t.Fatal(err)
	}
	made, _, err := r.CreateSource(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	kept, _ := r.Source(DefaultOrg, made.ID)
	if got, err := kept.OpenAWS(sealer); err != nil || got.Reveal() != "wJalrXUtnFEMI/K7MDENG" {
		t.Errorf("opened %q, %v", got.Reveal(), err)
	}
	if text, _ := json.Marshal(kept); strings.Contains(string(text), "wJalr") {
		t.Error("the stored form shows the secret")
	}
	if !r.HasSecrets() {
		t.Error("the master key is needed, and nothing says so")
	}
	moved := *kept
	moved.Org = "other"
	if _, err := moved.OpenAWS(sealer); err == nil {
		t.Error("another org can open it")
	}
	if got, err := (&Source{}).OpenAWS(sealer); got != "" || err != nil {
		t.Errorf("without credentials: %q, %v", got, err)
	}
}

func TestFindMapped_TakesTheFirstThatMatches(t *testing.T) {
	r, _ := openBootstrapped(t)
	for _, id := range []string{"svc_a", "svc_b", "svc_c"} {
		if _, err := r.CreateService(t.Context(), Service{ID: id, Org: DefaultOrg, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	s, _, err := r.CreateSource(t.Context(), Source{Org: DefaultOrg, Name: "x", Services: []ServiceMapping{
		{"acme/api-legacy", "svc_c"}, {"acme/api-*", "svc_a"}, {"acme/api-web", "svc_b"}, {"Arn:aws:ecs:*:service/shop", "svc_b"}, {"acme/*", "svc_c"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	f := func(repository string, res change.Resource, want string) {
		t.Helper()
		got, ok := r.FindMapped(DefaultOrg, s.ID, repository, res)
		if got.ID != want || got.Name != want || ok != (want != "") {
			t.Errorf("%q %v: %v, want %q", repository, res, got, want)
		}
	}
	f("acme/api-legacy", change.Resource{}, "svc_c")
	f("ACME/Api-web", change.Resource{}, "svc_a") // the pattern stands before the name
	f("acme/other", change.Resource{}, "svc_c")
	f("acme/other", change.Resource{ID: "arn:aws:ecs:eu-west-1:1:service/shop"}, "svc_b")
	f("", change.Resource{Name: "acme/api-x"}, "svc_a")
	f("other/x", change.Resource{}, "")
	f("", change.Resource{}, "")
	if _, ok := r.FindMapped("other", s.ID, "acme/api-x", change.Resource{}); ok {
		t.Error("another org's mapping was used")
	}
	if _, ok := r.FindMapped(DefaultOrg, "src_none", "acme/api-x", change.Resource{}); ok {
		t.Error("an unknown source has a mapping")
	}
	if _, err := r.UpdateSource(t.Context(), DefaultOrg, s.ID, func(s *Source) error { s.Services = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	f("acme/api-x", change.Resource{}, "")
}

func TestDeleteService_IsRefusedWhileASourceNamesIt(t *testing.T) {
	r, _ := openBootstrapped(t)
	for _, id := range []string{"svc_a", "svc_b"} {
		if _, err := r.CreateService(t.Context(), Service{ID: id, Org: DefaultOrg, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	s, _, err := r.CreateSource(t.Context(), Source{
		Org: DefaultOrg, Name: "x", DefaultServiceID: "svc_a", Services: []ServiceMapping{{"acme/*", "svc_b"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"svc_a", "svc_b"} {
		err := r.DeleteService(t.Context(), DefaultOrg, id)
		if e := problem.From(err); e.Reason != "service_in_use" || e.Kind != problem.Conflict || !strings.Contains(e.Message, s.ID) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := r.DeleteSource(t.Context(), DefaultOrg, s.ID); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"svc_a", "svc_b"} {
		if err := r.DeleteService(t.Context(), DefaultOrg, id); err != nil {
			t.Errorf("%s, named by nobody: %v", id, err)
		}
	}
}
