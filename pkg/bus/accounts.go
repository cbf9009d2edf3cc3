package bus

import (
	"fmt"
	"io"
	"strings"
)

// The ways in which the servers can know a user.
const (
	AuthPassword = "password"
	AuthNkey     = "nkey"
)

// Account and the servers' own, in what WriteAccounts writes.
const (
	Account       = "WHATCHANGED"
	systemAccount = "SYS"
	systemUser    = "system"
)

// WriteAccounts writes the part of a nats-server's configuration that says who
// may do what: users with nothing more than they need. What they prove
// themselves with is not in it: it names variables of the server's environment.
func WriteAccounts(w io.Writer, auth string, users []string) error {
	c := confWriter{w: w}
	c.line(0, "# Who may do what. Printed by `whatchanged nats permissions`; do not edit it,")
	c.line(0, "# print it again with each new version, and reload the servers.")
	c.line(0, "#")
	switch auth {
	case AuthPassword:
		c.line(0, "# Each password comes from the server's environment, best as a bcrypt hash that")
		c.line(0, "# begins with $2a$ (`nats server passwd`; htpasswd -B prints $2y$, which the server")
		c.line(0, "# cannot read: write $2a$ there). Quote one that is only digits.")
	case AuthNkey:
		c.line(0, "# Each public key (U...) comes from the server's environment; the seeds stay with")
		c.line(0, "# the services (`nk -gen user`).")
	default:
		return fmt.Errorf("no way to know a user: %q", auth)
	}
	c.line(0, "")
	c.line(0, "accounts {")
	c.line(1, Account+" {")
	c.line(2, "jetstream: enabled")
	c.line(2, "# What the servers say of themselves: versions, and whether they fsync.")
	c.line(2, "imports: [ { service: { account: %s, subject: %q } } ]", systemAccount, allJSZ)
	c.line(2, "users: [")
	for _, user := range users {
		p, ok := PermissionsOf(user)
		if !ok {
			return fmt.Errorf("no such user: %q", user)
		}
		c.line(3, "{")
		c.line(4, "%s", credential(auth, user))
		c.line(4, "permissions {")
		c.line(5, "publish {")
		c.list(6, "allow", p.Publish)
		c.list(6, "deny", p.DenyPublish)
		c.line(5, "}")
		c.line(5, "subscribe {")
		c.list(6, "allow", p.Subscribe)
		c.line(5, "}")
		c.line(4, "}")
		c.line(3, "}")
	}
	c.line(2, "]")
	c.line(1, "}")
	c.line(1, "%s {", systemAccount)
	c.line(2, "# For the operators of the servers, and nobody else.")
	c.line(2, "users: [ { %s } ]", credential(auth, systemUser))
	c.line(2, "exports: [ { service: %q, response: stream, accounts: [%s] } ]", allJSZ, Account)
	c.line(1, "}")
	c.line(0, "}")
	c.line(0, "system_account: %s", systemAccount)
	return c.err
}

// credential names a user and the variable with what proves it.
func credential(auth, user string) string {
	name := "$NATS_" + strings.ToUpper(user) + "_" + strings.ToUpper(auth)
	if auth == AuthNkey {
		return "nkey: " + name
	}
	return fmt.Sprintf("user: %s, password: %s", user, name)
}

// confWriter writes lines, and keeps the first error.
type confWriter struct {
	w   io.Writer
	err error
}

func (c *confWriter) line(depth int, format string, args ...any) {
	if c.err == nil {
		text := strings.Repeat("  ", depth) + fmt.Sprintf(format, args...)
		_, c.err = fmt.Fprintln(c.w, strings.TrimRight(text, " "))
	}
}

func (c *confWriter) list(depth int, name string, subjects []string) {
	if len(subjects) == 0 {
		return
	}
	c.line(depth, "%s: [", name)
	for _, s := range subjects {
		c.line(depth+1, "%q", s)
	}
	c.line(depth, "]")
}
