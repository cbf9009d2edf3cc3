package receiver

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"whatchanged/normalizers"
	"whatchanged/normalizers/aws"
	"whatchanged/pkg/limit"
	"whatchanged/pkg/problem"
)

const (
	snsTypeHeader = "X-Amz-Sns-Message-Type"
	snsIDHeader   = "X-Amz-Sns-Message-Id"
	snsRawHeader  = "X-Amz-Sns-Rawdelivery"

	// maxMessage is more than SNS puts into a message.
	maxMessage = 1 << 20
	// maxCertificates bounds those that are kept; SNS has one a region at a time.
	maxCertificates = 64
)

// snsCertificates fetches the certificates with which SNS signs, and keeps
// them: a URL always serves the same one.
type snsCertificates struct {
	outside *outside
	fetches singleflight.Group

	mu   sync.Mutex
	kept limit.Generations[string, *x509.Certificate]
}

func newSNSCertificates(o *outside) *snsCertificates {
	return &snsCertificates{outside: o, kept: limit.Generations[string, *x509.Certificate]{Max: maxCertificates}}
}

// at returns the certificate that is served at url, one of SNS's.
func (c *snsCertificates) at(ctx context.Context, url string) (*x509.Certificate, error) {
	if cert, ok := c.known(url); ok {
		return cert, nil
	}
	got, err, _ := c.fetches.Do(url, func() (any, error) {
		text, _, err := c.outside.get(ctx, url)
		if err != nil {
			return nil, err
		}
		cert, err := aws.ParseCertificate(text)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.kept.Put(url, cert)
		return cert, nil
	})
	if err != nil {
		return nil, fmt.Errorf("fetch the certificate of SNS: %w", err)
	}
	return got.(*x509.Certificate), nil
}

func (c *snsCertificates) known(url string) (*x509.Certificate, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept.Get(url)
}

// snsMessage returns the message that SNS signed and posted with these headers,
// for one of the topics.
func (c *snsCertificates) message(ctx context.Context, h http.Header, body []byte, topics []string, now time.Time) (*aws.Message, error) {
	if h.Get(snsRawHeader) == "true" {
		return nil, problem.New(problem.Unauthenticated, "signature_missing", "a message with raw delivery is not signed: turn raw message delivery off, or choose another authentication")
	}
	text, err := normalizers.Content(h, body, maxMessage)
	if err != nil {
		return nil, problem.New(problem.Unauthenticated, "signature_missing", "this is not a message of Amazon SNS, and this source takes no other")
	}
	m, err := aws.ParseMessage(text)
	if err != nil {
		return nil, problem.New(problem.Unauthenticated, "signature_missing", "this is not a message that Amazon SNS signed, and this source takes no other")
	}
	if id := h[snsIDHeader]; len(id) > 1 || len(id) == 1 && id[0] != m.MessageID {
		return nil, problem.New(problem.Unauthenticated, "bad_signature", "the header names another message than the one that is signed")
	}
	url, err := m.CertificateURL()
	if err != nil {
		return nil, problem.New(problem.Unauthenticated, "bad_signature", "SigningCertURL is not one of Amazon SNS")
	}
	cert, err := c.at(ctx, url)
	if err != nil {
		return nil, problem.BusyFor(5*time.Second, "certificate_unreachable", "the certificate of Amazon SNS cannot be fetched at the moment", err)
	}
	switch err := m.Verify(cert, now); {
	case errors.Is(err, aws.ErrBadTime):
		return nil, problem.New(problem.Unauthenticated, "stale_signature", "the message's Timestamp is more than an hour off: check the clock")
	case errors.Is(err, aws.ErrCertificate):
		return nil, problem.New(problem.Unauthenticated, "bad_signature", "the certificate of the signature is not valid now: check the clock")
	case err != nil:
		return nil, problem.New(problem.Unauthenticated, "bad_signature", "the signature of the message does not match")
	}
	if !aws.TopicAllowed(topics, m.TopicARN) {
		return nil, problem.New(problem.Forbidden, "topic_not_allowed", "this source does not take messages of this topic: add its ARN to the source's topics")
	}
	return m, nil
}

// confirm visits the URL that confirms a subscription.
func (c *snsCertificates) confirm(ctx context.Context, url string) error {
	if _, _, err := c.outside.get(ctx, url); err != nil {
		return problem.BusyFor(5*time.Second, "confirmation_failed", "the subscription cannot be confirmed at the moment", fmt.Errorf("confirm a subscription of SNS: %w", err))
	}
	return nil
}

// onlySigned drops the headers that SNS does not send: nobody signed them, and
// they could make the message look like somebody else's.
func onlySigned(h http.Header) {
	for name := range h {
		if !strings.HasPrefix(name, "X-Amz-Sns-") && !strings.HasPrefix(name, "Content-") && name != "User-Agent" {
			delete(h, name)
		}
	}
}
