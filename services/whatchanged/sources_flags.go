package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"whatchanged/pkg/client"
)

// sourceFlags are the settings of a source on the command line.
type sourceFlags struct {
	env *Environment
	cmd *cobra.Command

	in         client.NewSource
	oidc       client.OIDC
	aws        client.AWSCredentials
	mappings   []string
	secretFile string
	newSecret  string
	awsSecret  string
	github     client.GitHubCredentials
	githubFile string
	implied    bool // in.Auth follows from other flags
}

// addSourceFlags adds the flags that sources create and update share.
func addSourceFlags(env *Environment, cmd *cobra.Command) *sourceFlags {
	f, flags := &sourceFlags{env: env, cmd: cmd}, cmd.Flags()
	flags.StringVar(&f.in.Provider, "provider", "auto", "who speaks here, see `whatchanged sources providers`; auto detects it")
	flags.StringVar(&f.in.Auth, "auth", "none", "what a request must prove beside the token: none, github_hmac, gitlab_token, gitlab_signing, "+
		"standard_webhooks, hmac, token, basic, sns, oidc (default with a secret: the provider's)")
	flags.StringVar(&f.secretFile, "secret-file", "", "file with the secret for --auth, one a line; - is standard input")
	flags.StringVar(&f.newSecret, "new-secret", "", "make a secret, use it, and write it to this new file, to be entered at the provider")
	flags.StringVar(&f.in.SecretHeader, "secret-header", "", "for token: the header with the secret (default Authorization: Bearer); it is never kept")
	flags.StringVar(&f.in.SignatureHeader, "signature-header", "", "for hmac: the header with the signature (default: the provider's)")
	flags.StringVar(&f.in.SignatureAlgorithm, "signature-algorithm", "", "for hmac: sha256 or sha512 (default: the provider's, else sha256)")
	flags.StringVar(&f.oidc.Issuer, "issuer", "", "for oidc: who makes the tokens (default Google)")
	flags.StringVar(&f.oidc.Audience, "audience", "", "for oidc: what the tokens are made for, as set at the sender")
	flags.StringSliceVar(&f.oidc.Emails, "email", nil, "for oidc: a service account that may send; may be repeated")
	flags.StringSliceVar(&f.in.Topics, "topic", nil, "for sns: ARN of a topic that may send, * allowed at its end; may be repeated (default any)")
	flags.StringSliceVar(&f.in.Networks, "network", nil, "address or network that may send, such as 192.30.252.0/22; may be repeated (default any)")
	flags.StringVar(&f.in.DefaultEnvironment, "env", "", "environment of changes that name none")
	flags.StringVar(&f.in.DefaultServiceID, "service", "", "service of changes that belong to none (svc_...)")
	flags.StringArrayVar(&f.mappings, "map", nil, "whose changes are a service's, as 'acme/api-*=svc_abc123'; may be repeated, the first match wins")
	flags.StringSliceVar(&f.in.IgnoreEvents, "ignore", nil, "kinds of events not to record, such as github.push or github.*; may be repeated")
	flags.StringSliceVar(&f.in.IgnoreBranches, "ignore-branch", nil, "branches whose changes not to record, such as 'renovate/*'; may be repeated")
	flags.StringVar(&f.aws.Region, "aws-region", "", "to read log files that a notice names: the bucket's region")
	flags.StringVar(&f.aws.AccessKeyID, "aws-key-id", "", "access key id of a user that may read them")
	flags.StringVar(&f.awsSecret, "aws-secret-file", "", "file with the secret access key; - is standard input")
	flags.StringVar(&f.aws.Endpoint, "aws-endpoint", "", "URL of another server that speaks S3 (default Amazon's)")
	flags.StringVar(&f.github.Repository, "github-repo", "", "to ask GitHub for what was never received: the repository (owner/name) whose hook sends here")
	flags.StringVar(&f.github.Organization, "github-org", "", "or the organization whose hook sends here")
	flags.Int64Var(&f.github.HookID, "github-hook", 0, "the hook's id: the number at the end of its page in GitHub's settings")
	flags.Int64Var(&f.github.AppID, "github-app", 0, "or the id of the App whose hook sends here")
	flags.StringVar(&f.githubFile, "github-secret-file", "", "file with a token that may read and write webhooks, or with the App's private key; - is standard input")
	flags.StringVar(&f.github.BaseURL, "github-url", "", "URL of the API of a GitHub Enterprise Server (default github.com's)")
	return f
}

func (f *sourceFlags) has(names ...string) bool {
	for _, name := range names {
		if f.cmd.Flags().Changed(name) {
			return true
		}
	}
	return false
}

// read reads what flags refer to, and fills in what follows from the provider.
// The auth that a source has already, if any, is what its secrets are for.
func (f *sourceFlags) read(auth string) error {
	if f.secretFile != "" && f.newSecret != "" {
		return usagef("give --secret-file or --new-secret, not both")
	}
	f.in.Services = []client.ServiceMapping{}
	for _, text := range f.mappings {
		match, service, ok := strings.Cut(text, "=")
		if text == "" {
			continue // as in --map '', which clears them
		}
		if !ok || match == "" || service == "" {
			return usagef("--map %q: want 'acme/api-*=svc_abc123'", text)
		}
		f.in.Services = append(f.in.Services, client.ServiceMapping{Match: match, ServiceID: service})
	}
	if f.has("issuer", "audience", "email") {
		f.in.OIDC = &f.oidc
	}
	if err := f.readAWS(); err != nil {
		return err
	}
	if err := f.readGitHub(); err != nil {
		return err
	}
	p, known := findProvider(f.in.Provider)
	switch {
	case f.has("auth"):
		auth = f.in.Auth
	case auth == "":
		if auth = f.impliedAuth(p, known); auth == "" {
			return usagef("--auth is needed to say what the secret is for; a --provider has a default, see `whatchanged sources providers`")
		}
		f.in.Auth, f.implied = auth, true
	}
	if auth == "token" && !f.has("secret-header") && (f.implied || f.has("provider", "auth")) {
		f.in.SecretHeader = p.header
	}
	return f.readSecrets(auth)
}

// known takes what a source has already where a flag does not say it, for the
// settings that are replaced as a whole.
func (f *sourceFlags) known(s client.Source) (auth string) {
	keep := func(to *string, flag, value string) {
		if !f.has(flag) {
			*to = value
		}
	}
	keep(&f.in.Provider, "provider", s.Provider)
	if s.OIDC != nil {
		keep(&f.oidc.Issuer, "issuer", s.OIDC.Issuer)
		keep(&f.oidc.Audience, "audience", s.OIDC.Audience)
		if !f.has("email") {
			f.oidc.Emails = s.OIDC.Emails
		}
	}
	if s.AWS != nil {
		keep(&f.aws.Region, "aws-region", s.AWS.Region)
		keep(&f.aws.AccessKeyID, "aws-key-id", s.AWS.AccessKeyID)
		keep(&f.aws.Endpoint, "aws-endpoint", s.AWS.Endpoint)
	}
	if g := s.GitHub; g != nil {
		if !f.has("github-repo", "github-org", "github-app") { // one of them replaces the others
			f.github.Repository, f.github.Organization, f.github.AppID = g.Repository, g.Organization, g.AppID
		}
		if !f.has("github-hook", "github-app") {
			f.github.HookID = g.HookID
		}
		keep(&f.github.BaseURL, "github-url", g.BaseURL)
	}
	if s.Auth == "none" {
		return "" // a secret that is given now is for more than none
	}
	return s.Auth
}

// impliedAuth returns what a source checks that is not told; "" when that
// cannot be known.
func (f *sourceFlags) impliedAuth(p provider, known bool) string {
	switch {
	case f.in.OIDC != nil:
		return "oidc"
	case len(f.in.Topics) > 0:
		return "sns"
	case f.secretFile == "" && f.newSecret == "":
		return "none"
	case f.in.SignatureHeader != "":
		return "hmac"
	case f.in.SecretHeader != "":
		return "token"
	case !known || p.auth == "sns" || p.auth == "oidc":
		return ""
	default:
		return p.auth
	}
}

func (f *sourceFlags) readSecrets(auth string) error {
	if f.newSecret != "" {
		secret, err := makeSecret(auth)
		if err != nil {
			return err
		}
		if err := writeNew(f.newSecret, secret+"\n"); err != nil {
			return err
		}
		f.in.Secrets = []string{secret}
		fmt.Fprintf(f.env.Stderr, "a new secret is in %s\n", f.newSecret)
		return nil
	}
	if f.secretFile == "" {
		return nil
	}
	secrets, err := readSecrets(f.env, f.secretFile)
	f.in.Secrets = secrets
	return err
}

func (f *sourceFlags) readAWS() error {
	if !f.has("aws-region", "aws-key-id", "aws-secret-file", "aws-endpoint") {
		return nil
	}
	if f.awsSecret != "" {
		secrets, err := readSecrets(f.env, f.awsSecret)
		if err != nil {
			return err
		}
		if len(secrets) != 1 {
			return fmt.Errorf("read %s: want one line, the secret access key", f.awsSecret)
		}
		f.aws.SecretAccessKey = secrets[0]
	}
	f.in.AWS = &f.aws
	return nil
}

func (f *sourceFlags) readGitHub() error {
	if !f.has("github-repo", "github-org", "github-hook", "github-app", "github-secret-file", "github-url") {
		return nil
	}
	if f.githubFile != "" {
		secret, err := readWhole(f.env, f.githubFile)
		if err != nil {
			return err
		}
		if f.github.AppID != 0 {
			f.github.PrivateKey = secret
		} else {
			f.github.Token = strings.TrimSpace(secret)
		}
	}
	f.in.GitHub = &f.github
	return nil
}

// readWhole reads a file, or standard input.
func readWhole(env *Environment, path string) (string, error) {
	if path != "-" {
		text, err := os.ReadFile(path)
		return string(text), err
	}
	text, err := io.ReadAll(io.LimitReader(env.Stdin, 64<<10))
	return string(text), err
}

// patch returns what the flags that were given change.
func (f *sourceFlags) patch() client.SourcePatch {
	in := &f.in
	p := client.SourcePatch{OIDC: in.OIDC, AWS: in.AWS, GitHub: in.GitHub}
	take(f, &p.Provider, &in.Provider, "provider")
	take(f, &p.Auth, &in.Auth, "auth")
	take(f, &p.Secrets, &in.Secrets, "secret-file", "new-secret")
	take(f, &p.SecretHeader, &in.SecretHeader, "secret-header")
	take(f, &p.SignatureHeader, &in.SignatureHeader, "signature-header")
	take(f, &p.SignatureAlgorithm, &in.SignatureAlgorithm, "signature-algorithm")
	take(f, &p.Topics, &in.Topics, "topic")
	take(f, &p.Networks, &in.Networks, "network")
	take(f, &p.DefaultEnvironment, &in.DefaultEnvironment, "env")
	take(f, &p.DefaultServiceID, &in.DefaultServiceID, "service")
	take(f, &p.IgnoreEvents, &in.IgnoreEvents, "ignore")
	take(f, &p.IgnoreBranches, &in.IgnoreBranches, "ignore-branch")
	take(f, &p.Services, &in.Services, "map")
	if f.implied {
		p.Auth = &in.Auth
	}
	if in.SecretHeader != "" {
		p.SecretHeader = &in.SecretHeader
	}
	return p
}

// take puts a value into a patch when one of its flags was given.
func take[T any](f *sourceFlags, to **T, value *T, flags ...string) {
	if f.has(flags...) {
		*to = value
	}
}

// readSecrets reads secrets from a file, one a line.
func readSecrets(env *Environment, file string) ([]string, error) {
	text, err := readInput(env, file)
	if err != nil {
		return nil, err
	}
	var secrets []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" {
			secrets = append(secrets, line)
		}
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("read %s: no secret in it", file)
	}
	return secrets, nil
}

// makeSecret returns a fresh secret of the form that auth takes.
func makeSecret(auth string) (string, error) {
	key := make([]byte, 32)
	rand.Read(key) // never fails: see crypto/rand.Read
	switch auth {
	case "none", "sns", "oidc":
		return "", usagef("auth %s takes no secret", auth)
	case "gitlab_signing", "standard_webhooks":
		return "whsec_" + base64.StdEncoding.EncodeToString(key), nil
	case "basic":
		return "whatchanged:" + hex.EncodeToString(key), nil
	default:
		return hex.EncodeToString(key), nil
	}
}

// writeNew writes a file that only its owner can read, and none that exists.
func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: to use the secret in it, say --secret-file", path)
	}
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
