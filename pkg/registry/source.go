package registry

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"whatchanged/pkg/problem"
)

var (
	headerForm   = regexp.MustCompile(`^[A-Za-z0-9-]{1,100}$`)
	providerForm = regexp.MustCompile(`^[a-z0-9_]{0,32}$`)
	topicForm    = regexp.MustCompile(`^arn:aws[a-z-]{0,20}:sns:[a-z0-9-]{1,40}:[0-9]{12}:([A-Za-z0-9_.-]{1,256}\*?|\*)$`)
	regionForm   = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	accessForm   = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,128}$`)
)

// Signature returns where a sender puts the HMAC of what it sends, and how it
// is made (sha256 or sha512), for AuthHMAC: what the source says, else what its
// pinned provider does. The header is empty when neither is known.
func (s *Source) Signature() (header, algorithm string) {
	header, algorithm = s.SignatureHeader, s.SignatureAlgorithm
	if header == "" {
		own := providerSignature(s.Provider)
		header = own.header
		if algorithm == "" {
			algorithm = own.algorithm
		}
	}
	if algorithm == "" {
		algorithm = "sha256"
	}
	return header, algorithm
}

type signature struct{ header, algorithm string }

// providerSignature returns the HMAC that a provider's own settings make.
func providerSignature(provider string) signature {
	switch provider {
	case "github":
		return signature{"X-Hub-Signature-256", "sha256"}
	case "gitea":
		return signature{"X-Gitea-Signature", "sha256"}
	case "forgejo":
		return signature{"X-Forgejo-Signature", "sha256"}
	case "gogs":
		return signature{"X-Gogs-Signature", "sha256"}
	case "bitbucket":
		return signature{"X-Hub-Signature", "sha256"}
	case "pagerduty":
		return signature{"X-PagerDuty-Signature", "sha256"}
	case "terraform":
		return signature{"X-TFE-Notification-Signature", "sha512"}
	case "launchdarkly":
		return signature{"X-LD-Signature", "sha256"}
	case "sentry":
		return signature{"Sentry-Hook-Signature", "sha256"}
	case "grafana":
		return signature{"X-Grafana-Alerting-Signature", "sha256"}
	case "flux":
		return signature{"X-Signature", "sha256"}
	case "circleci":
		return signature{"Circleci-Signature", "sha256"}
	default:
		return signature{}
	}
}

// normalize brings the source to the one form in which it is kept. It changes
// nothing that s shares with others.
func (s *Source) normalize() {
	if s.Provider == "auto" {
		s.Provider = ""
	}
	if s.Auth == "" {
		s.Auth = AuthNone
	}
	if s.OIDC != nil && s.OIDC.Issuer == "" {
		with := *s.OIDC
		with.Issuer = GoogleIssuer
		s.OIDC = &with
	}
	if len(s.Networks) > 0 {
		s.Networks = slices.Clone(s.Networks)
		for i, text := range s.Networks {
			if prefix, err := parseNetwork(text); err == nil {
				s.Networks[i] = prefix.String()
			}
		}
	}
}

func (s *Source) validate() error {
	return firstFault(
		line("name", s.Name, maxName, true),
		s.checkAuth(),
		s.checkSignature(),
		s.checkOIDC(),
		s.checkTopics(),
		s.checkNetworks(),
		s.checkAWS(),
		s.checkGitHub(),
		line("default_environment", s.DefaultEnvironment, maxName, false),
		lines("ignore_events", s.IgnoreEvents),
		lines("ignore_branches", s.IgnoreBranches),
		s.checkServices(),
	)
}

func (s *Source) checkAuth() error {
	switch {
	case !slices.Contains(Auths(), s.Auth):
		return problem.Invalid("auth", "one of "+strings.Join(Auths(), ", "))
	case NeedsSecret(s.Auth) && len(s.Secrets) == 0:
		return problem.Invalid("secrets", "auth "+s.Auth+" needs a secret")
	case NeedsSecret(s.Auth) && !slices.ContainsFunc(s.Secrets, func(known SourceSecret) bool { return known.Until.IsZero() }):
		return problem.Invalid("secrets", "all secrets that are left would end: add another first")
	case s.Auth == AuthNone && len(s.Secrets) > 0:
		return problem.Invalid("auth", "a secret was given, but auth is none: nothing would be checked")
	case !NeedsSecret(s.Auth) && len(s.Secrets) > 0:
		return problem.Invalid("secrets", "auth "+s.Auth+" takes no secret: leave secrets out")
	case len(s.Secrets) > maxSecrets:
		return tooManySecrets()
	case !providerForm.MatchString(s.Provider):
		return problem.Invalid("provider", "auto, or a provider's name such as github")
	case s.SecretHeader != "" && !headerForm.MatchString(s.SecretHeader):
		return problem.Invalid("secret_header", "not the name of an HTTP header")
	}
	return nil
}

// names reports whether the source gives changes to the service of that id.
func (s *Source) names(serviceID string) bool {
	return s.DefaultServiceID == serviceID ||
		slices.ContainsFunc(s.Services, func(m ServiceMapping) bool { return m.ServiceID == serviceID })
}

func (s *Source) checkSignature() error {
	if s.Auth != AuthHMAC {
		return firstFault(
			without("signature_header", s.SignatureHeader != "", AuthHMAC),
			without("signature_algorithm", s.SignatureAlgorithm != "", AuthHMAC))
	}
	header, algorithm := s.Signature()
	switch {
	case header == "":
		return problem.Invalid("signature_header", "auth hmac needs the name of the header that carries the signature, such as X-Signature, or a provider whose header is known, such as gitea")
	case !headerForm.MatchString(header):
		return problem.Invalid("signature_header", "not the name of an HTTP header")
	case algorithm == "sha1":
		return problem.Invalid("signature_algorithm", "sha1 is not safe: make the sender use sha256 or sha512")
	case algorithm != "sha256" && algorithm != "sha512":
		return problem.Invalid("signature_algorithm", "one of sha256, sha512")
	}
	return nil
}

func (s *Source) checkOIDC() error {
	if s.Auth != AuthOIDC {
		return without("oidc", s.OIDC != nil, AuthOIDC)
	}
	if s.OIDC == nil || s.OIDC.Audience == "" {
		return problem.Invalid("oidc", "auth oidc needs oidc.audience: what the sender's tokens are made for, as set there")
	}
	issuer, err := url.Parse(s.OIDC.Issuer)
	if err != nil || issuer.Scheme != "https" || issuer.Host == "" || issuer.User != nil || issuer.RawQuery != "" || issuer.Fragment != "" {
		return problem.Invalid("oidc", "oidc.issuer is an https URL, such as "+GoogleIssuer)
	}
	// Google makes a token for any audience for whoever has any service account
	// of theirs: there it is the address that tells who sent it.
	if s.OIDC.Issuer == GoogleIssuer && len(s.OIDC.Emails) == 0 {
		return problem.Invalid("oidc", "with Google as the issuer, oidc.emails is required: the service account that pushes, name@project.iam.gserviceaccount.com")
	}
	for _, email := range s.OIDC.Emails {
		if name, host, ok := strings.Cut(email, "@"); !ok || name == "" || host == "" || strings.ContainsAny(email, "* ") {
			return problem.Invalid("oidc", "oidc.emails are whole addresses of service accounts, without patterns")
		}
	}
	return firstFault(
		line("oidc", s.OIDC.Issuer, maxName, true),
		line("oidc", s.OIDC.Audience, 2*maxName, true),
		lines("oidc", s.OIDC.Emails))
}

func (s *Source) checkTopics() error {
	if s.Auth != AuthSNS {
		return without("topics", len(s.Topics) > 0, AuthSNS)
	}
	for _, topic := range s.Topics {
		if !topicForm.MatchString(topic) {
			return problem.Invalid("topics", "each is the ARN of an SNS topic, arn:aws:sns:us-east-1:123456789012:changes, with * at most at its end")
		}
	}
	return lines("topics", s.Topics)
}

func (s *Source) checkNetworks() error {
	for _, text := range s.Networks {
		if _, err := parseNetwork(text); err != nil {
			return problem.Invalid("networks", "each is an address or a network in CIDR form, such as 192.30.252.0/22 or 2606:50c0::/32")
		}
	}
	return lines("networks", s.Networks)
}

func (s *Source) checkServices() error {
	if len(s.Services) > maxListEntries {
		return problem.Invalid("services", fmt.Sprintf("services has at most %d entries", maxListEntries))
	}
	for _, m := range s.Services {
		if err := line("services", m.Match, 2*maxName, true); err != nil {
			return problem.Invalid("services", "match is a repository, a resource or a pattern such as acme/api-*")
		}
	}
	return nil
}

func (s *Source) checkAWS() error {
	a := s.AWS
	if a == nil {
		return nil
	}
	switch {
	case !regionForm.MatchString(a.Region):
		return problem.Invalid("aws", "aws.region is the bucket's, such as eu-central-1")
	case strings.HasPrefix(a.AccessKeyID, "ASIA"):
		return problem.Invalid("aws", "aws.access_key_id is of temporary credentials, which end soon: make an access key (AKIA...) for a user that may only read the bucket")
	case !accessForm.MatchString(a.AccessKeyID):
		return problem.Invalid("aws", "aws.access_key_id is an access key's id, such as AKIAIOSFODNN7EXAMPLE")
	case len(a.SecretAccessKey) == 0:
		return problem.Invalid("aws", "aws.secret_access_key is needed with aws.access_key_id")
	}
	if a.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(a.Endpoint)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return problem.Invalid("aws", "aws.endpoint is the URL of a server that speaks S3, such as https://s3.example.com; leave it out for Amazon's")
	}
	return line("aws", a.Endpoint, maxName, true)
}

// without refuses a setting that the source's auth would not look at: whoever
// set it believes that it is checked.
func without(field string, given bool, auth string) error {
	if !given {
		return nil
	}
	return problem.Invalid(field, field+" is checked with auth "+auth+" only: choose that, or leave "+field+" out")
}

// parseNetwork reads a network, or a single address as the network of itself.
func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap()
		return addr.Prefix(addr.BitLen())
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if prefix.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%s: write it as IPv4", text)
	}
	return prefix.Masked(), nil
}
