package bus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// reconnectSlowest is the longest pause before all servers are tried once more.
const reconnectSlowest = 2 * time.Second

// dialPatiently waits for servers that are started at the same moment as we
// are. What they refuse, they refuse again: that is an error at once.
func (b *Bus) dialPatiently(ctx context.Context) (*nats.Conn, error) {
	for try := 1; ; try++ {
		nc, err := b.dial()
		if err == nil || !away(err) {
			return nc, err
		}
		b.log.Warn("the bus cannot be reached yet", "error", err)
		if pause(ctx, min(backoff(try), reconnectSlowest)) != nil {
			return nil, err
		}
	}
}

// away reports whether a server was not there. One that ends a handshake was.
func away(err error) bool {
	var network *net.OpError
	if errors.As(err, &network) {
		return network.Op != "remote error"
	}
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout)
}

func (b *Bus) dial() (*nats.Conn, error) {
	log := b.log
	opts := []nats.Option{
		nats.Name("whatchanged " + b.cfg.Name),
		nats.Timeout(5 * time.Second),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(reconnectDelay), // after all servers were tried
		nats.IgnoreAuthErrorAbort(),               // a credential that is renewed late is no reason to give up
		nats.ReconnectBufSize(-1),                 // what cannot be sent now is an error now; all who send try again
		nats.PingInterval(5 * time.Second),        // a connection that swallows everything is left after three
		nats.MaxPingsOutstanding(2),
		nats.CustomInboxPrefix(InboxPrefix(b.user)),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("bus disconnected", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("bus reconnected") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.metrics.asyncErrors.Inc()
			if errors.Is(err, nats.ErrPermissionViolation) {
				b.refused(err)
				return
			}
			log.Warn("bus connection error", "error", err)
		}),
	}
	if b.embedded != nil {
		opts = append(opts, nats.InProcessServer(b.embedded))
	}
	opts = append(opts, b.cfg.identity()...)
	opts = append(opts, b.cfg.encryption()...)
	nc, err := nats.Connect(b.cfg.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the bus: %w%s", err, advice(err))
	}
	return nc, nil
}

// reconnectDelay grows from 0.1 s to 2 s, with jitter, so that a server that
// comes back does not meet everybody at once.
func reconnectDelay(attempts int) time.Duration {
	d := min(100*time.Millisecond<<min(max(attempts, 1)-1, 5), reconnectSlowest)
	return d/2 + rand.N(d/2+1) //nolint:gosec // not to come all at once is no secret
}

// identity says who we are.
func (c *Config) identity() []nats.Option {
	switch {
	case c.CredentialsFile != "":
		return []nats.Option{nats.UserCredentials(c.CredentialsFile)}
	case c.NkeyFile != "":
		opt, err := nats.NkeyOptionFromSeed(c.NkeyFile)
		if err != nil {
			return []nats.Option{failed(fmt.Errorf("read nkey_file: %w", err))}
		}
		return []nats.Option{opt}
	case c.PasswordFile != "":
		return []nats.Option{readable(c.PasswordFile), nats.UserInfoHandler(func() (string, string) { return c.User, secretIn(c.PasswordFile) })}
	case c.User != "":
		return []nats.Option{nats.UserInfo(c.User, c.Password.Reveal())}
	case c.TokenFile != "":
		return []nats.Option{readable(c.TokenFile), nats.TokenHandler(func() string { return secretIn(c.TokenFile) })}
	default: // or in the URL
		return nil
	}
}

// encryption says whom we trust, and how we show that it is us.
func (c *Config) encryption() []nats.Option {
	var opts []nats.Option
	if c.ServerName != "" {
		opts = append(opts, nats.Secure(&tls.Config{ServerName: c.ServerName, MinVersion: tls.VersionTLS12}))
	}
	if c.CAFile != "" {
		opts = append(opts, nats.RootCAs(c.CAFile))
	}
	if c.CertFile != "" {
		opts = append(opts, nats.ClientCert(c.CertFile, c.KeyFile))
	}
	return opts
}

// readable fails the connection for a file that cannot be read now. One that
// cannot be read later is a wrong password then, and tried again.
func readable(path string) nats.Option {
	return func(*nats.Options) error {
		_, err := os.ReadFile(path)
		return err
	}
}

func secretIn(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func failed(err error) nats.Option { return func(*nats.Options) error { return err } }

// advice says what to do about a connection that was refused.
func advice(err error) string {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return ": the servers do not know this user, or not with this password, token or key: compare bus.user and bus.password_file, " +
			"bus.nkey_file, bus.credentials_file or bus.token_file with the users in the servers' accounts.conf"
	case errors.As(err, &authority):
		return ": set bus.ca_file to the authority that signed the servers' certificates"
	case errors.As(err, &name):
		return ": set bus.server_name to a name in the servers' certificates, or give them one that has this host"
	case errors.As(err, &invalid):
		return ": renew the servers' certificates, and look at this machine's clock"
	case errors.Is(err, nats.ErrSecureConnWanted), errors.Is(err, nats.ErrSecureConnRequired):
		return ": say tls:// in bus.url, and bus.ca_file"
	case strings.Contains(err.Error(), "certificate required"), strings.Contains(err.Error(), "bad certificate"),
		strings.Contains(err.Error(), "unknown certificate authority"): // alerts have no types
		return ": the servers want a certificate of ours that they can check: set bus.cert_file and bus.key_file"
	default:
		return ""
	}
}
