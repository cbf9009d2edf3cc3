// Package fetcher takes in what providers keep for us to collect: a notice names
// a log file in a bucket, and the file becomes a delivery of the same source,
// as if it had been posted. It decides nothing about what is in it.
package fetcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
)

// Account is how a source reads its buckets.
type Account struct {
	Region      string
	AccessKeyID string
	Secret      auth.Secret
	Endpoint    string // http(s)://host[:port] of what speaks S3; empty is Amazon's
}

// Accounts returns the account of a source; false when it has none (any more).
type Accounts func(org, sourceID string) (Account, bool, error)

// Committer makes deliveries durable.
type Committer interface {
	Commit(context.Context, *change.Delivery) (bus.Position, error)
}

// Deps is what the service needs; all of it is required.
type Deps struct {
	Bus       *bus.Bus
	Committer Committer
	Accounts  Accounts
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

// Config bounds what is fetched.
type Config struct {
	// MaxObject is the most bytes of an object as it lies in the bucket.
	MaxObject int
	// MaxBody is the most bytes of a delivery's body, decompressed. A larger log
	// file is split between its records.
	MaxBody int
	// MaxOpened is the most bytes that a log file may have once decompressed.
	MaxOpened int64
	// Timeout is the most time for one log file.
	Timeout time.Duration
	// Workers is how many log files are fetched at the same time.
	Workers int
}

// DefaultConfig returns limits that all log files of CloudTrail are within.
func DefaultConfig() Config {
	return Config{MaxObject: 25 << 20, MaxBody: 25 << 20, MaxOpened: 512 << 20, Timeout: 2 * time.Minute, Workers: 4}
}

// Validate reports every fault of the settings at once.
func (c Config) Validate() error {
	if c.MaxObject < 1 || c.MaxBody < 1 || c.MaxOpened < 1 || c.Timeout <= 0 || c.Workers < 1 {
		return errors.New("fetcher: every limit must be positive")
	}
	return nil
}

// Fetcher is the fetcher service.
type Fetcher struct {
	Deps
	cfg       Config
	transport http.RoundTripper
	metrics   *metrics
}

// New returns the service.
func New(deps Deps, cfg Config) (*Fetcher, error) {
	if deps.Bus == nil || deps.Committer == nil || deps.Accounts == nil || deps.Log == nil || deps.Metrics == nil {
		return nil, errors.New("fetcher: a dependency is missing")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	transport, err := minio.DefaultTransport(true)
	if err != nil {
		return nil, fmt.Errorf("make the transport to S3: %w", err)
	}
	transport.DisableCompression = true // a gzip object is to come as it is
	return &Fetcher{Deps: deps, cfg: cfg, transport: transport, metrics: newMetrics(deps.Metrics)}, nil
}

// Run fetches until ctx ends.
func (f *Fetcher) Run(ctx context.Context) error {
	return f.Bus.ConsumeFetches(ctx, f.cfg.Workers, f.Handle)
}

// Handle fetches one log file and commits it. A repeat is harmless: the
// deliveries have the object's name as their identity. An error that wraps
// change.ErrMalformed means that trying again cannot help.
func (f *Fetcher) Handle(ctx context.Context, file bus.LogFile) error {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	begin := time.Now()
	err := f.handle(ctx, file)
	f.metrics.files.WithLabelValues(outcomeOf(err)).Inc()
	if err == nil {
		f.metrics.seconds.Observe(time.Since(begin).Seconds())
	}
	return err
}

func (f *Fetcher) handle(ctx context.Context, file bus.LogFile) error {
	account, ok, err := f.Accounts(file.Org, file.SourceID)
	if err != nil {
		return fmt.Errorf("open the source's AWS credentials: %w", err)
	}
	if !ok {
		return fmt.Errorf("%w: %w", change.ErrMalformed, errNoAccount)
	}
	object, err := f.download(ctx, account, file)
	if err != nil {
		return err
	}
	f.metrics.bytes.Add(float64(len(object)))
	return f.deliver(ctx, file, object)
}

// client is made for each file: accounts change, and making one costs nothing.
func (f *Fetcher) client(account Account, region string) (*minio.Core, error) {
	host, secure := "s3.amazonaws.com", true
	lookup := minio.BucketLookupAuto
	if account.Endpoint != "" {
		u, err := url.Parse(account.Endpoint)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("%w: the source's endpoint is no URL", change.ErrMalformed)
		}
		host, secure, lookup = u.Host, u.Scheme == "https", minio.BucketLookupPath
	} else if strings.HasPrefix(account.Region, "cn-") {
		host += ".cn"
	}
	if region == "" || account.Endpoint != "" {
		region = account.Region
	}
	core, err := minio.NewCore(host, &minio.Options{
		Creds:  credentials.NewStaticV4(account.AccessKeyID, account.Secret.Reveal(), ""),
		Secure: secure, Region: region, Transport: f.transport, BucketLookup: lookup,
		MaxRetries: 1, // the queue tries again, later and for longer
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", change.ErrMalformed, err)
	}
	return core, nil
}
