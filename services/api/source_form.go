package api

import (
	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

// newSource returns the source that a request describes.
func (a *API) newSource(org string, b *client.NewSource) (registry.Source, error) {
	s := registry.Source{
		Org: org, Name: b.Name, Provider: b.Provider,
		Auth: b.Auth, SecretHeader: b.SecretHeader,
		SignatureHeader: b.SignatureHeader, SignatureAlgorithm: b.SignatureAlgorithm,
		OIDC: oidcOf(b.OIDC), Topics: b.Topics, Networks: b.Networks,
		DefaultEnvironment: b.DefaultEnvironment, DefaultServiceID: b.DefaultServiceID,
		IgnoreEvents: b.IgnoreEvents, IgnoreBranches: b.IgnoreBranches, Services: mappingsOf(b.Services),
	}
	if s.Auth == "" {
		s.Auth = registry.AuthNone
	}
	if err := s.SetSecrets(a.Sealer, secretsOf(b.Secrets)...); err != nil {
		return s, err
	}
	if err := a.setGitHub(&s, b.GitHub); err != nil {
		return s, err
	}
	return s, a.setAWS(&s, b.AWS)
}

// patchSource changes what a request names. The source is a copy, but what its
// pointers and lists show is not: they are replaced, never written to.
func (a *API) patchSource(s *registry.Source, b *client.SourcePatch) error {
	if b.Auth != nil && *b.Auth != s.Auth {
		// What one kind checks is of no use to another.
		s.Auth, s.Secrets = *b.Auth, nil
		s.SignatureHeader, s.SignatureAlgorithm, s.OIDC, s.Topics = "", "", nil, nil
	}
	set(&s.Name, b.Name)
	set(&s.Provider, b.Provider)
	set(&s.SecretHeader, b.SecretHeader)
	set(&s.SignatureHeader, b.SignatureHeader)
	set(&s.SignatureAlgorithm, b.SignatureAlgorithm)
	if b.OIDC != nil {
		s.OIDC = oidcOf(b.OIDC)
	}
	set(&s.Topics, b.Topics)
	set(&s.Networks, b.Networks)
	set(&s.DefaultEnvironment, b.DefaultEnvironment)
	set(&s.DefaultServiceID, b.DefaultServiceID)
	set(&s.IgnoreEvents, b.IgnoreEvents)
	set(&s.IgnoreBranches, b.IgnoreBranches)
	if b.Services != nil {
		s.Services = mappingsOf(*b.Services)
	}
	set(&s.Disabled, b.Disabled)
	if b.Secrets != nil {
		if err := s.SetSecrets(a.Sealer, secretsOf(*b.Secrets)...); err != nil {
			return err
		}
	}
	if err := a.setGitHub(s, b.GitHub); err != nil {
		return err
	}
	return a.setAWS(s, b.AWS)
}

// setAWS takes credentials as they are given: none leaves them, empty ones
// remove them, and without a secret the one that belongs to the key id stays.
func (a *API) setAWS(s *registry.Source, in *client.AWSCredentials) error {
	if in == nil {
		return nil
	}
	before := s.AWS
	if *in == (client.AWSCredentials{}) {
		s.AWS = nil
		return nil
	}
	s.AWS = &registry.AWS{Region: in.Region, AccessKeyID: in.AccessKeyID, Endpoint: in.Endpoint}
	if in.SecretAccessKey != "" {
		return s.SetAWSSecret(a.Sealer, auth.Secret(in.SecretAccessKey))
	}
	if before == nil || before.AccessKeyID != in.AccessKeyID {
		return problem.Invalid("aws", "aws.secret_access_key is needed with a new aws.access_key_id")
	}
	s.AWS.SecretAccessKey = before.SecretAccessKey
	return nil
}

// setGitHub is setAWS for GitHub's. A token is kept only for the server that it
// was given for.
func (a *API) setGitHub(s *registry.Source, in *client.GitHubCredentials) error {
	if in == nil {
		return nil
	}
	before := s.GitHub
	if *in == (client.GitHubCredentials{}) {
		s.GitHub = nil
		return nil
	}
	s.GitHub = &registry.GitHub{
		Repository: in.Repository, Organization: in.Organization, HookID: in.HookID, AppID: in.AppID, BaseURL: in.BaseURL,
	}
	secret := in.Token
	switch {
	case in.AppID != 0 && in.Token != "":
		return problem.Invalid("github", "github.token is for the hook of a repository or an organization; an App has a private_key")
	case in.AppID == 0 && in.PrivateKey != "":
		return problem.Invalid("github", "github.private_key goes with github.app_id")
	case in.AppID != 0:
		secret = in.PrivateKey
	}
	if secret != "" {
		return s.SetGitHubSecret(a.Sealer, auth.Secret(secret))
	}
	if before == nil || before.AppID != in.AppID || before.BaseURL != in.BaseURL {
		return problem.Invalid("github", "github.token, or private_key, is needed with another server or App")
	}
	s.GitHub.Secret = before.Secret
	return nil
}

func secretsOf(texts []string) []auth.Secret {
	all := make([]auth.Secret, len(texts))
	for i, text := range texts {
		all[i] = auth.Secret(text)
	}
	return all
}

func oidcOf(in *client.OIDC) *registry.OIDC {
	if in == nil {
		return nil
	}
	return &registry.OIDC{Issuer: in.Issuer, Audience: in.Audience, Emails: in.Emails}
}

func mappingsOf(in []client.ServiceMapping) []registry.ServiceMapping {
	var all []registry.ServiceMapping
	for _, m := range in {
		all = append(all, registry.ServiceMapping{Match: m.Match, ServiceID: m.ServiceID})
	}
	return all
}

// sourceForm shows a source without what must not be shown.
func sourceForm(s *registry.Source) client.Source {
	out := client.Source{
		ID: s.ID, Name: s.Name, Provider: s.Provider,
		Auth: s.Auth, Secrets: make([]client.SecretState, len(s.Secrets)), SecretHeader: s.SecretHeader,
		SignatureHeader: s.SignatureHeader, SignatureAlgorithm: s.SignatureAlgorithm, Topics: s.Topics, Networks: s.Networks,
		DefaultEnvironment: s.DefaultEnvironment, DefaultServiceID: s.DefaultServiceID,
		IgnoreEvents: s.IgnoreEvents, IgnoreBranches: s.IgnoreBranches,
		Disabled: s.Disabled, CreatedAt: s.CreatedAt, RotatedAt: s.RotatedAt, OldTokenUntil: s.OldTokenUntil,
	}
	if out.Provider == "" {
		out.Provider = "auto"
	}
	for i, secret := range s.Secrets {
		out.Secrets[i] = client.SecretState{ID: secret.ID(), SetAt: secret.SetAt, Until: secret.Until}
	}
	if s.OIDC != nil {
		out.OIDC = &client.OIDC{Issuer: s.OIDC.Issuer, Audience: s.OIDC.Audience, Emails: s.OIDC.Emails}
	}
	for _, m := range s.Services {
		out.Services = append(out.Services, client.ServiceMapping{Match: m.Match, ServiceID: m.ServiceID})
	}
	if g := s.GitHub; g != nil {
		out.GitHub = &client.GitHubState{
			Repository: g.Repository, Organization: g.Organization, HookID: g.HookID, AppID: g.AppID, BaseURL: g.BaseURL,
		}
	}
	if s.AWS != nil {
		out.AWS = &client.AWSState{Region: s.AWS.Region, AccessKeyID: s.AWS.AccessKeyID, Endpoint: s.AWS.Endpoint}
	}
	return out
}
