package signin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"whatchanged/pkg/auth"
)

// Decision 8: the highest role that a group or a verified address gives.
func TestRole_TheHighestCounts(t *testing.T) {
	roles := []string{"sre=power_user", "cn=ops,dc=acme=site_admin", "Jane@acme.example=site_admin", "dev=member"}
	f := func(what string, c Config, email, groups, want string) {
		t.Helper()
		c.Issuer, c.ClientID, c.Org = "https://idp.example", "x", "default"
		p, err := New(c, "https://x.example/auth/callback")
		if err != nil {
			t.Fatal(err)
		}
		if got := p.role(email, strings.Fields(groups)); got != want {
			t.Errorf("%s: %q in %q is %q, want %q", what, email, groups, got, want)
		}
	}
	domain := Config{Domains: []string{"acme.example"}, Roles: roles, DefaultRole: auth.Member}
	f("default", domain, "joe@acme.example", "", auth.Member)
	f("case", domain, "joe@ACME.example", "", auth.Member)
	f("group", domain, "joe@acme.example", "dev sre", auth.PowerUser)
	f("group with =", domain, "joe@acme.example", "cn=ops,dc=acme", auth.SiteAdmin)
	f("address", domain, "jane@acme.example", "", auth.SiteAdmin)
	f("groups are told by their exact name", domain, "joe@acme.example", "SRE", auth.Member)
	f("not in the domain, whatever the group", domain, "joe@evil.example", "sre", "")
	noDefault := domain
	noDefault.DefaultRole = ""
	f("no default", noDefault, "joe@acme.example", "", "")
	f("no default, group", noDefault, "joe@acme.example", "dev", auth.Member)
	groups := Config{Roles: roles, DefaultRole: auth.Member}
	f("any domain, group", groups, "joe@evil.example", "sre", auth.PowerUser)
	f("any domain, no group", groups, "joe@evil.example", "", "")
	f("no address is nobody's address", groups, "", "", "")
}

func TestConfig_NamesWhatIsWrong(t *testing.T) {
	good := func() Config {
		c := DefaultConfig()
		c.Issuer, c.ClientID, c.Domains = "https://idp.example", "x", []string{"acme.example"}
		return c
	}
	if err := good().Validate(); err != nil {
		t.Error(err)
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("off: %v", err)
	}
	f := func(edit func(*Config), want string) {
		t.Helper()
		c := good()
		edit(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%v, want something about %s", err, want)
		}
	}
	f(func(c *Config) { c.Issuer = "http://idp.example" }, "issuer")
	f(func(c *Config) { c.Issuer = "idp.example" }, "issuer")
	f(func(c *Config) { c.ClientID = "" }, "client_id")
	f(func(c *Config) { c.ClientSecret, c.ClientSecretFile = "geheim", "/x" }, "client_secret")
	f(func(c *Config) { c.Org = "" }, "org")
	f(func(c *Config) { c.Domains = []string{"*.acme.example"} }, "domains")
	f(func(c *Config) { c.Domains = []string{"@acme.example"} }, "domains")
	f(func(c *Config) { c.Roles = []string{"sre=king"} }, "roles")
	f(func(c *Config) { c.Roles = []string{"=member"} }, "roles")
	f(func(c *Config) { c.DefaultRole = "king" }, "default_role")
	f(func(c *Config) { c.Domains = nil }, "everybody")
}

func TestNew_ReadsTheSecretFromItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Issuer, c.ClientID, c.Domains, c.ClientSecretFile = "https://idp.example", "x", []string{"acme.example"}, path
	p, err := New(c, "https://x.example/auth/callback")
	if err != nil || p.secret.Reveal() != "geheim" {
		t.Errorf("%v", err)
	}
	c.ClientSecretFile = path + "-none"
	if _, err := New(c, "https://x.example/auth/callback"); err == nil {
		t.Error("a missing file was taken for no secret")
	}
	if p, err := New(DefaultConfig(), ""); p != nil || err != nil {
		t.Errorf("off: %v %v", p, err)
	}
}

func TestClean_IsOneLineOfALengthThatIsKept(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := clean(in); got != want {
			t.Errorf("%q is cleaned to %q, want %q", in, got, want)
		}
	}
	f(" Jane\r\n\x00Doe\xff ", "Jane Doe")
	f(strings.Repeat("é", 300), strings.Repeat("é", 200))
}
