package client

import "whatchanged/pkg/change"

// Source is one configured entry point for webhooks.
type Source struct {
	ID       string `json:"id" example:"src_3k9x"`
	Name     string `json:"name" example:"GitHub, acme"`
	Provider string `json:"provider" doc:"Who speaks here; auto detects it" example:"github"`

	Auth               string        `json:"auth" doc:"How a request proves who sent it, beside the token" example:"github_hmac"`
	Secrets            []SecretState `json:"secrets" doc:"The secrets that are set, any of which may match; they are never shown" nullable:"false"`
	SecretHeader       string        `json:"secret_header,omitempty" doc:"A header that carries a secret, and is never kept"`
	SignatureHeader    string        `json:"signature_header,omitempty" doc:"For hmac: the header with the signature"`
	SignatureAlgorithm string        `json:"signature_algorithm,omitempty" doc:"For hmac"`
	OIDC               *OIDC         `json:"oidc,omitempty" doc:"For oidc: whose tokens are taken"`
	Topics             []string      `json:"topics,omitempty" doc:"For sns: the topics that are taken" nullable:"false"`
	Networks           []string      `json:"networks,omitempty" doc:"Where deliveries may come from; empty: anywhere" nullable:"false"`

	DefaultEnvironment string           `json:"default_environment,omitempty"`
	DefaultServiceID   string           `json:"default_service_id,omitempty"`
	IgnoreEvents       []string         `json:"ignore_events,omitempty" nullable:"false" example:"[\"github.push\"]"`
	IgnoreBranches     []string         `json:"ignore_branches,omitempty" nullable:"false" example:"[\"renovate/*\"]"`
	Services           []ServiceMapping `json:"services,omitempty" doc:"Which service a change is about; the first match wins, before the services' own" nullable:"false"`
	AWS                *AWSState        `json:"aws,omitempty" doc:"With what log files are read that a notice names"`
	GitHub             *GitHubState     `json:"github,omitempty" doc:"How GitHub is asked for what was never received"`

	Disabled      bool        `json:"disabled"`
	CreatedAt     change.Time `json:"created_at"`
	RotatedAt     change.Time `json:"rotated_at,omitzero"`
	OldTokenUntil change.Time `json:"old_token_until,omitzero" doc:"Until then the token before the last rotation is good too"`
}

// SecretState is what can be known of a secret.
type SecretState struct {
	ID    string      `json:"id" example:"sec_5f2b8c6a9d3e1f70"`
	SetAt change.Time `json:"set_at,omitzero"`
	Until change.Time `json:"until,omitzero" doc:"When it ends, because another takes its place"`
}

// OIDC says whose tokens are taken, and made for what.
type OIDC struct {
	Issuer   string   `json:"issuer,omitempty" doc:"Who makes the tokens; default Google" maxLength:"200" example:"https://accounts.google.com"`
	Audience string   `json:"audience,omitempty" doc:"What the tokens are made for, as set at the sender" maxLength:"400" example:"whatchanged"`
	Emails   []string `json:"emails,omitempty" doc:"The service accounts that may send; required for Google's tokens" maxItems:"1000" nullable:"false" example:"[\"push@acme.iam.gserviceaccount.com\"]"`
}

// ServiceMapping says which service a source's changes are about.
type ServiceMapping struct {
	Match     string `json:"match" doc:"A repository, or a resource's id or name; * stands for any characters" minLength:"1" maxLength:"400" example:"acme/gateway-*"`
	ServiceID string `json:"service_id" maxLength:"64" example:"svc_abc123"`
}

// AWSState is what is shown of AWS credentials.
type AWSState struct {
	Region      string `json:"region" example:"eu-central-1"`
	AccessKeyID string `json:"access_key_id" example:"AKIAIOSFODNN7EXAMPLE"`
	Endpoint    string `json:"endpoint,omitempty"`
}

// AWSCredentials read log files from S3, or from what speaks like it.
type AWSCredentials struct {
	Region          string `json:"region,omitempty" doc:"The bucket's" maxLength:"40" example:"eu-central-1"`
	AccessKeyID     string `json:"access_key_id,omitempty" maxLength:"128" example:"AKIAIOSFODNN7EXAMPLE"`
	SecretAccessKey string `json:"secret_access_key,omitempty" doc:"May be left out of a patch that keeps access_key_id" maxLength:"1024" writeOnly:"true"`
	Endpoint        string `json:"endpoint,omitempty" doc:"URL of another server that speaks S3; default Amazon's" maxLength:"200"`
}

// GitHubState is what is shown of how GitHub is asked for what was never
// received.
type GitHubState struct {
	Repository   string `json:"repository,omitempty"`
	Organization string `json:"organization,omitempty" example:"acme"`
	HookID       int64  `json:"hook_id,omitempty" example:"109948940"`
	AppID        int64  `json:"app_id,omitempty" example:"29310"`
	BaseURL      string `json:"base_url,omitempty" example:"https://github.example.com/api/v3"`
}

// GitHubCredentials ask GitHub for what it has sent and was never received: a
// token for the hook of a repository or an organisation, or an App's key.
type GitHubCredentials struct {
	Repository   string `json:"repository,omitempty" doc:"Whose hook it is, as owner/name" maxLength:"201"`
	Organization string `json:"organization,omitempty" doc:"Whose hook it is" maxLength:"100" example:"acme"`
	HookID       int64  `json:"hook_id,omitempty" doc:"The number at the end of the hook's page in GitHub's settings" minimum:"1" example:"109948940"`
	Token        string `json:"token,omitempty" doc:"That may read and write webhooks; may be left out of a patch that keeps base_url" maxLength:"1024" writeOnly:"true" example:"github_pat_..."`
	AppID        int64  `json:"app_id,omitempty" doc:"Of a GitHub App, for its own hook" minimum:"1" example:"29310"`
	PrivateKey   string `json:"private_key,omitempty" doc:"The App's, in PEM form; may be left out of a patch that keeps app_id and base_url" maxLength:"16384" writeOnly:"true" example:"-----BEGIN RSA PRIVATE KEY-----..."`
	BaseURL      string `json:"base_url,omitempty" doc:"Of the API of a GitHub Enterprise Server; default github.com's" maxLength:"200" example:"https://github.example.com/api/v3"`
}

// RepairReport is what GitHub has sent by a source's hook and was never received.
type RepairReport struct {
	Since     change.Time       `json:"since" doc:"How far back was looked"`
	DryRun    bool              `json:"dry_run"`
	Sent      int               `json:"sent" doc:"Deliveries that GitHub has sent"`
	Pending   int               `json:"pending" doc:"Of them, those that may be on their way"`
	Asked     int               `json:"asked" doc:"Of the missing, those that GitHub was asked to send again"`
	GivenUp   int               `json:"given_up" doc:"Of the missing, those that were sent five times already"`
	Missing   []MissingDelivery `json:"missing" doc:"Those that were never received, oldest first" nullable:"false"`
	Truncated bool              `json:"truncated" doc:"Whether there was more to do than one repair does: do it again"`
	RetryAt   change.Time       `json:"retry_at,omitzero" doc:"When GitHub takes calls again, if it wants fewer"`
}

// MissingDelivery is a delivery that GitHub has sent and was never received.
type MissingDelivery struct {
	GUID   string      `json:"guid" example:"72d3162e-cc78-11e3-81ab-4c9367dc0958"`
	Event  string      `json:"event" example:"push"`
	SentAt change.Time `json:"sent_at" doc:"The last time"`
	Status int         `json:"status" doc:"What GitHub got for an answer; 0 for none" example:"502"`
	Tries  int         `json:"tries" doc:"How often it was sent"`
	Asked  bool        `json:"asked" doc:"Whether GitHub was asked to send it again now"`
}

// SourceSecret is a source with its token, shown once: when the token is made.
type SourceSecret struct {
	Source
	Token      string `json:"token" doc:"Shown once"`
	WebhookURL string `json:"webhook_url" doc:"Where to send deliveries; it holds the token"`
	// IncidentsURL is WebhookURL for what reports incidents.
	IncidentsURL string `json:"incidents_url" doc:"Where to send what reports incidents; it holds the token"`
}

// NewSource is a source to create.
type NewSource struct {
	Name     string `json:"name" minLength:"1" maxLength:"200" example:"GitHub, acme"`
	Provider string `json:"provider,omitempty" doc:"Who speaks here; default auto, which detects it" maxLength:"64" example:"github"`

	Auth               string   `json:"auth,omitempty" doc:"How a request proves who sent it, beside the token; default none" enum:"none,github_hmac,gitlab_token,gitlab_signing,standard_webhooks,hmac,token,basic,sns,oidc" example:"github_hmac"`
	Secrets            []string `json:"secrets,omitempty" doc:"Secrets for auth; any of them may match" maxItems:"8" nullable:"false" writeOnly:"true"`
	SecretHeader       string   `json:"secret_header,omitempty" doc:"A header that carries a secret, and is never kept; for auth token the one that is checked, default Authorization: Bearer" maxLength:"100"`
	SignatureHeader    string   `json:"signature_header,omitempty" doc:"For hmac: the header with the signature; default the provider's own" maxLength:"100"`
	SignatureAlgorithm string   `json:"signature_algorithm,omitempty" doc:"For hmac; default the provider's own, else sha256" enum:"sha256,sha512"`
	OIDC               *OIDC    `json:"oidc,omitempty" doc:"For oidc"`
	Topics             []string `json:"topics,omitempty" doc:"For sns: ARNs of the topics to take, with * at most at the end; default all that Amazon signed" maxItems:"1000" nullable:"false"`
	Networks           []string `json:"networks,omitempty" doc:"Addresses and networks (CIDR) that deliveries may come from; default any" maxItems:"1000" nullable:"false"`

	DefaultEnvironment string           `json:"default_environment,omitempty" maxLength:"200" example:"production"`
	DefaultServiceID   string           `json:"default_service_id,omitempty" maxLength:"64"`
	IgnoreEvents       []string         `json:"ignore_events,omitempty" doc:"Kinds of events not to record, such as github.push or github.*" maxItems:"1000" nullable:"false"`
	IgnoreBranches     []string         `json:"ignore_branches,omitempty" doc:"Branches whose changes not to record, such as renovate/*" maxItems:"1000" nullable:"false"`
	Services           []ServiceMapping `json:"services,omitempty" doc:"Which service a change is about; the first match wins, before the services' own" maxItems:"1000" nullable:"false"`
	AWS                *AWSCredentials  `json:"aws,omitempty" doc:"To read log files that a notice names"`

	GitHub *GitHubCredentials `json:"github,omitempty" doc:"To ask GitHub for what was never received"`
}

// SourcePatch changes what it names of a source. What is named is replaced,
// lists as a whole.
type SourcePatch struct {
	Name     *string `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Provider *string `json:"provider,omitempty" maxLength:"64"`

	Auth               *string   `json:"auth,omitempty" doc:"Another one forgets secrets, signature, oidc and topics, which are of the one before" enum:"none,github_hmac,gitlab_token,gitlab_signing,standard_webhooks,hmac,token,basic,sns,oidc"`
	Secrets            *[]string `json:"secrets,omitempty" doc:"Replaces all secrets, at once; to overlap, add one" maxItems:"8" writeOnly:"true"`
	SecretHeader       *string   `json:"secret_header,omitempty" maxLength:"100"`
	SignatureHeader    *string   `json:"signature_header,omitempty" maxLength:"100"`
	SignatureAlgorithm *string   `json:"signature_algorithm,omitempty" doc:"Empty: the provider's own, else sha256" enum:"sha256,sha512,"`
	OIDC               *OIDC     `json:"oidc,omitempty"`
	Topics             *[]string `json:"topics,omitempty" maxItems:"1000"`
	Networks           *[]string `json:"networks,omitempty" maxItems:"1000"`

	DefaultEnvironment *string           `json:"default_environment,omitempty" maxLength:"200"`
	DefaultServiceID   *string           `json:"default_service_id,omitempty" maxLength:"64"`
	IgnoreEvents       *[]string         `json:"ignore_events,omitempty" maxItems:"1000"`
	IgnoreBranches     *[]string         `json:"ignore_branches,omitempty" maxItems:"1000"`
	Services           *[]ServiceMapping `json:"services,omitempty" maxItems:"1000"`
	AWS                *AWSCredentials   `json:"aws,omitempty" doc:"{} removes the credentials"`

	GitHub *GitHubCredentials `json:"github,omitempty" doc:"{} removes the credentials"`

	Disabled *bool `json:"disabled,omitempty"`
}

// NewSecret is a secret to add to a source.
type NewSecret struct {
	Secret string `json:"secret" doc:"Of the form that the source's auth takes" minLength:"1" maxLength:"1024" writeOnly:"true"`
}
