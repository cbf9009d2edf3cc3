package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/cobra"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
)

// parseSource reads flags as sources create does, and update when the source
// is given.
func parseSource(t *testing.T, before *client.Source, given ...string) (*sourceFlags, error) {
	t.Helper()
	cmd := &cobra.Command{Use: "x"}
	f := addSourceFlags(&Environment{Stdin: strings.NewReader("from-standard-input\n"), Stderr: &bytes.Buffer{}}, cmd)
	if err := cmd.ParseFlags(given); err != nil {
		t.Fatal(err)
	}
	existing := ""
	if before != nil {
		existing = f.known(*before)
	}
	return f, f.read(existing)
}

func TestSourceFlags_WhatFollowsFromTheProvider(t *testing.T) {
	f := func(given string, want client.NewSource) {
		t.Helper()
		got, err := parseSource(t, nil, strings.Fields(given)...)
		if err != nil {
			t.Errorf("%s: %v", given, err)
			return
		}
		if diff := cmp.Diff(want, got.in, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", given, diff)
		}
	}
	secrets := []string{"from-standard-input"}
	f("", client.NewSource{Provider: "auto", Auth: "none"})
	f("--provider github", client.NewSource{Provider: "github", Auth: "none"})
	f("--provider github --secret-file -", client.NewSource{Provider: "github", Auth: "github_hmac", Secrets: secrets})
	f("--provider gitea --secret-file -", client.NewSource{Provider: "gitea", Auth: "hmac", Secrets: secrets})
	f("--provider gitlab --secret-file -", client.NewSource{Provider: "gitlab", Auth: "gitlab_token", Secrets: secrets})
	f("--provider azure --secret-file -", client.NewSource{Provider: "azure", Auth: "token", SecretHeader: "X-Webhook-Secret", Secrets: secrets})
	f("--provider azure --secret-file - --secret-header X-Mine", client.NewSource{Provider: "azure", Auth: "token", SecretHeader: "X-Mine", Secrets: secrets})
	f("--provider azure --secret-file - --auth basic", client.NewSource{Provider: "azure", Auth: "basic", Secrets: secrets})
	f("--secret-file - --signature-header X-Sig", client.NewSource{Provider: "auto", Auth: "hmac", SignatureHeader: "X-Sig", Secrets: secrets})
	f("--topic arn:aws:sns:us-east-1:123456789012:x", client.NewSource{Provider: "auto", Auth: "sns", Topics: []string{"arn:aws:sns:us-east-1:123456789012:x"}})
	f("--audience a --email e@x.y", client.NewSource{Provider: "auto", Auth: "oidc", OIDC: &client.OIDC{Audience: "a", Emails: []string{"e@x.y"}}})
	f("--map acme/*=svc_a --ignore-branch a/*,b --network 10.0.0.0/8", client.NewSource{
		Provider: "auto", Auth: "none", Services: []client.ServiceMapping{{Match: "acme/*", ServiceID: "svc_a"}},
		IgnoreBranches: []string{"a/*", "b"}, Networks: []string{"10.0.0.0/8"},
	})
	f("--aws-region us-east-1 --aws-key-id AKIA --aws-secret-file -", client.NewSource{
		Provider: "auto", Auth: "none", AWS: &client.AWSCredentials{Region: "us-east-1", AccessKeyID: "AKIA", SecretAccessKey: "from-standard-input"},
	})

	for given, says := range map[string]string{
		"--secret-file -":                     "--auth is needed",
		"--provider gcp --secret-file -":      "--auth is needed",
		"--secret-file - --new-secret x":      "not both",
		"--map acme":                          "want 'acme/api-*=svc_abc123'",
		"--auth none --new-secret /none/file": "takes no secret",
	} {
		if _, err := parseSource(t, nil, strings.Fields(given)...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", given, err, says)
		}
	}
}

func TestSourceFlags_APatchHasWhatWasGiven(t *testing.T) {
	none := client.Source{Provider: "auto", Auth: "none"}
	f := func(before client.Source, given []string, want client.SourcePatch) {
		t.Helper()
		got, err := parseSource(t, &before, given...)
		if err != nil {
			t.Errorf("%s: %v", given, err)
			return
		}
		if diff := cmp.Diff(want, got.patch(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", given, diff)
		}
	}
	gitea, hmac, secrets, prod, header := "gitea", "hmac", []string{"from-standard-input"}, "production", "X-Webhook-Secret"
	token, stay := "token", "none"
	f(client.Source{Auth: "hmac", Provider: "gitea"}, []string{"--env", "production"}, client.SourcePatch{DefaultEnvironment: &prod})
	f(client.Source{Auth: "hmac", Provider: "gitea"}, []string{"--secret-file", "-"}, client.SourcePatch{Secrets: &secrets})
	f(none, []string{"--provider", "gitea", "--secret-file", "-"}, client.SourcePatch{Provider: &gitea, Auth: &hmac, Secrets: &secrets})
	f(client.Source{Auth: "none", Provider: "azure"}, []string{"--secret-file", "-"}, client.SourcePatch{Auth: &token, Secrets: &secrets, SecretHeader: &header})
	f(none, []string{"--network", "", "--map", ""}, client.SourcePatch{Auth: &stay, Networks: &[]string{}, Services: &[]client.ServiceMapping{}})
	f(client.Source{Auth: "oidc", OIDC: &client.OIDC{Issuer: "i", Audience: "a", Emails: []string{"e"}}}, []string{"--audience", "b"},
		client.SourcePatch{OIDC: &client.OIDC{Issuer: "i", Audience: "b", Emails: []string{"e"}}})
	f(client.Source{Auth: "sns", AWS: &client.AWSState{Region: "r", AccessKeyID: "k"}}, []string{"--aws-region", "s"},
		client.SourcePatch{AWS: &client.AWSCredentials{Region: "s", AccessKeyID: "k"}})
	if got, _ := parseSource(t, &none, "--network", ""); got.patch().Networks == nil || *got.patch().Networks == nil {
		t.Error("an emptied list is sent as null, which changes nothing")
	}
}

// What sources create makes for a provider is what the registry takes.
func TestProviders_SecretsThatAreMadeAreTaken(t *testing.T) {
	sealer, err := auth.OpenSealer(filepath.Join(t.TempDir(), "k"), "", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range providers() {
		if !slices.Contains(registry.Auths(), p.auth) || p.title == "" || strings.Count(p.steps, "\n") != 1 {
			t.Errorf("%s: %+v", p.name, p)
		}
		if _, err := os.Stat("../../docs/providers/" + p.page); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		if p.auth == "hmac" {
			if header, _ := (&registry.Source{Provider: p.name}).Signature(); header == "" {
				t.Errorf("%s signs in a header that is not known", p.name)
			}
		}
	}
	for _, kind := range registry.Auths() {
		if !registry.NeedsSecret(kind) {
			continue
		}
		path := filepath.Join(t.TempDir(), "secret")
		f := sourceFlags{env: &Environment{Stderr: &bytes.Buffer{}}, newSecret: path}
		if err := f.readSecrets(kind); err != nil {
			t.Fatal(err)
		}
		s := registry.Source{Org: "o", Auth: kind}
		if err := s.SetSecrets(sealer, auth.Secret(f.in.Secrets[0])); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		again, err := readSecrets(f.env, path)
		if info, _ := os.Stat(path); err != nil || !slices.Equal(again, f.in.Secrets) || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: kept as %v, %v", kind, info.Mode(), err)
		}
		if err := f.readSecrets(kind); err == nil || !strings.Contains(err.Error(), "exists") {
			t.Errorf("%s: the file was written over: %v", kind, err)
		}
	}
}

// Every command that the help of sources and the documents show names flags
// that exist.
func TestSources_ExamplesParse(t *testing.T) {
	env := &Environment{Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}}
	parent, _, err := newRoot(env).Find([]string{"sources"})
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range append(parent.Commands(), parent) {
		checkCommands(t, cmd.CommandPath(), cmd.Example)
	}
	pages, err := filepath.Glob("../../docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../../README.md", "../../docs/authentication.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		checkCommands(t, page, string(text))
	}
}

var (
	sourcesCommand = regexp.MustCompile(`\bwhatchanged sources [^` + "`" + `\n]*`)
	shellWord      = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"]+)+`)
	shellEnd       = regexp.MustCompile(`^([|<>#].*|&&)$`)
)

func checkCommands(t *testing.T, where, text string) {
	t.Helper()
	env := &Environment{Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}}
	for _, line := range sourcesCommand.FindAllString(strings.ReplaceAll(text, "\\\n", " "), -1) {
		words := shellWord.FindAllString(line, -1)
		for i, w := range words {
			words[i] = strings.NewReplacer("'", "", `"`, "").Replace(w)
			if strings.HasSuffix(w, ")") { // of $(...)
				words = append(words[:i], strings.TrimSuffix(words[i], ")"))
				break
			}
		}
		if i := slices.IndexFunc(words, shellEnd.MatchString); i >= 0 {
			words = words[:i]
		}
		cmd, rest, err := newRoot(env).Find(words[1:])
		switch {
		case err != nil:
			t.Errorf("%s: %s: %v", where, line, err)
		case cmd.Name() == "sources": // spoken of as a whole
		default:
			if err := cmd.ParseFlags(rest); err != nil {
				t.Errorf("%s: %s: %v", where, line, err)
			}
			// In prose a command is often named without what it is for.
			if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil && len(rest) > 0 {
				t.Errorf("%s: %s: %v", where, line, err)
			}
		}
	}
}
