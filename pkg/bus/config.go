package bus

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"whatchanged/pkg/auth"
)

// Config says where the bus is and how much it may hold.
type Config struct {
	// URL is where the servers are (nats:// or tls://, several with commas);
	// empty starts a server inside this process.
	URL string
	// Name tells this publisher from others on the same bus; it must stay the
	// same from start to start. Empty is the host's name.
	Name string
	// Dir holds the embedded server's data.
	Dir string
	// MaxBytes is how many bytes the stream DELIVERIES may hold; the other
	// streams follow from it. 0 is 10 GiB or half of the free space, the smaller.
	MaxBytes int64
	// DiskReserve is the free space, in bytes, below which the embedded bus refuses new
	// deliveries. 0 is 2 GiB or 5 % of the volume, the larger.
	DiskReserve int64
	// Replicas is how many servers of a cluster keep each message. 0 leaves
	// what is there, and makes 3 on a cluster or 1 on a single server.
	Replicas int
	// PlacementCluster and PlacementTags say which cluster, and servers with
	// which tags, keep the streams. Empty leaves what is there.
	PlacementCluster string
	PlacementTags    []string
	// CredentialsFile has the user's JWT and key for the servers.
	CredentialsFile string
	// NkeyFile has the seed of the user's nkey.
	NkeyFile string
	// User is who we are to the servers, with Password or what is in PasswordFile.
	User string
	// Password is the user's; PasswordFile keeps it out of the environment.
	Password auth.Secret
	// PasswordFile has the user's password; it is read at each connect.
	PasswordFile string
	// TokenFile has a token, where the servers want one; it is read at each connect.
	TokenFile string
	// CAFile has the authorities that the servers' certificates are checked with.
	CAFile string
	// CertFile is this client's own certificate.
	CertFile string
	// KeyFile is the key of CertFile.
	KeyFile string
	// ServerName is the name that the servers' certificates must have; empty is
	// the host in the URL.
	ServerName string
	// QueueBytes bounds the bytes that wait to be committed; beyond them a
	// delivery is refused at once.
	QueueBytes int
	// QueueRecords bounds the deliveries that wait to be committed.
	QueueRecords int
}

// DefaultConfig returns the settings of a bus inside the process.
func DefaultConfig() Config {
	return Config{Dir: "data/bus", QueueBytes: 64 << 20, QueueRecords: 20_000}
}

// Validate reports every fault of the settings at once.
func (c Config) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(c.URL == "" && c.Dir == "", "dir: an embedded bus needs a directory")
	fault(c.MaxBytes < 0, "max_bytes: %d is negative", c.MaxBytes)
	fault(c.MaxBytes > 0 && c.MaxBytes < minMaxBytes, "max_bytes: %d is less than %d", c.MaxBytes, minMaxBytes)
	fault(c.DiskReserve < 0, "disk_reserve: %d is negative", c.DiskReserve)
	fault(c.Replicas < 0 || c.Replicas > 5, "replicas: %d is not between 0 and 5", c.Replicas)
	fault(c.URL == "" && c.Replicas > 1, "replicas: an embedded bus has one")
	fault(c.URL == "" && (c.PlacementCluster != "" || len(c.PlacementTags) > 0), "placement_cluster and placement_tags: an embedded bus has one server")
	ways := 0
	for _, way := range []string{c.CredentialsFile, c.NkeyFile, c.User, c.TokenFile} {
		if way != "" {
			ways++
		}
	}
	fault(ways > 1, "credentials_file, nkey_file, user and token_file: one of them says who we are")
	fault(c.User != "" && (c.Password == "") == (c.PasswordFile == ""), "user: it needs either password or password_file")
	fault(c.User == "" && (c.Password != "" || c.PasswordFile != ""), "password and password_file: they need user")
	fault((c.CertFile == "") != (c.KeyFile == ""), "cert_file and key_file: one needs the other")
	fault(c.QueueBytes < 0 || c.QueueRecords < 0, "queue_bytes and queue_records: negative")
	for u := range strings.SplitSeq(c.URL, ",") {
		ok := c.URL == "" || strings.HasPrefix(u, "nats://") || strings.HasPrefix(u, "tls://")
		fault(!ok, "url: want nats:// or tls://")
	}
	return errors.Join(faults...)
}

// filled returns the settings with a value for everything left open.
func (c Config) filled() Config {
	def := DefaultConfig()
	c.QueueBytes = cmp.Or(c.QueueBytes, def.QueueBytes)
	c.QueueRecords = cmp.Or(c.QueueRecords, def.QueueRecords)
	if c.Name == "" {
		c.Name, _ = os.Hostname() // without one the name stays empty, which is a name too
	}
	return c
}
