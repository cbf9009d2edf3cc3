package aws

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // version 1 of the signatures of SNS is this
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/tidwall/gjson"
)

// Why a request is not a message that SNS signed.
var (
	ErrNotSNS       = errors.New("not a message of SNS")
	ErrBadURL       = errors.New("a URL in the message is not one of SNS")
	ErrBadSignature = errors.New("the signature does not match")
	ErrBadTime      = errors.New("the message is older than an hour")
	ErrCertificate  = errors.New("not a certificate that can be used")
)

// How old a message of SNS may be: its retries end after an hour. The rest is
// for clocks that differ.
const (
	maxAge   = time.Hour + 5*time.Minute
	maxAhead = 5 * time.Minute
)

// Message is what SNS posts: a notification, or one of the two messages about
// the subscription itself. Its texts are those that were signed.
type Message struct {
	Type         string
	MessageID    string
	TopicARN     string
	Subject      string
	Message      string
	Timestamp    string
	Token        string
	SubscribeURL string

	hasSubject       bool
	signature        string
	signatureVersion string
	certificateURL   string
}

// Confirms reports whether the message asks to confirm a subscription.
func (m *Message) Confirms() bool { return m.Type == "SubscriptionConfirmation" }

// ParseMessage reads the JSON that SNS posts. A name that stands there twice,
// also in another case, is refused: what is signed would be one value and what
// is read later could be the other.
func ParseMessage(body []byte) (*Message, error) {
	m := &Message{}
	fields := map[string]*string{
		"type": &m.Type, "messageid": &m.MessageID, "topicarn": &m.TopicARN, "subject": &m.Subject, "message": &m.Message,
		"timestamp": &m.Timestamp, "token": &m.Token, "subscribeurl": &m.SubscribeURL,
		"signature": &m.signature, "signatureversion": &m.signatureVersion, "signingcerturl": &m.certificateURL,
	}
	root := gjson.ParseBytes(body)
	if !root.IsObject() {
		return nil, ErrNotSNS
	}
	seen := make(map[string]bool, len(fields))
	var fault error
	root.ForEach(func(key, value gjson.Result) bool {
		name := strings.ToLower(key.String())
		field := fields[name]
		switch {
		case strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }):
			fault = fmt.Errorf("%w: a name is not ASCII", ErrNotSNS) // some letters fold to ASCII
		case field == nil: // UnsubscribeURL, MessageAttributes: not signed, not used
		case seen[name]:
			fault = fmt.Errorf("%w: %s stands there twice", ErrNotSNS, name)
		case value.Type == gjson.String:
			*field = value.Str
		case value.Type != gjson.Null:
			fault = fmt.Errorf("%w: %s is not a text", ErrNotSNS, name)
		}
		if field != nil {
			seen[name] = true
			m.hasSubject = m.hasSubject || name == "subject" && value.Type == gjson.String
		}
		return fault == nil
	})
	if fault != nil {
		return nil, fault
	}
	switch m.Type {
	case "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation":
	default:
		return nil, fmt.Errorf("%w: its type is none of SNS's", ErrNotSNS)
	}
	if m.MessageID == "" || m.TopicARN == "" || m.Timestamp == "" || m.signature == "" || m.certificateURL == "" {
		return nil, fmt.Errorf("%w: what is signed is not complete", ErrNotSNS)
	}
	return m, nil
}

// snsHost are the hosts that SNS serves certificates and confirmations from.
// Anything wider, such as every host below amazonaws.com, has places that
// anybody can write to.
var snsHost = regexp.MustCompile(`^sns\.[a-zA-Z0-9-]{3,}\.amazonaws\.com(\.cn)?$`)

// CertificateURL returns where the certificate of the message's signature is.
func (m *Message) CertificateURL() (string, error) {
	u, err := snsURL(m.certificateURL)
	if err != nil {
		return "", err
	}
	if u.RawQuery != "" || !strings.HasSuffix(u.Path, ".pem") {
		return "", fmt.Errorf("%w: the certificate's", ErrBadURL)
	}
	return u.String(), nil
}

// ConfirmURL returns the URL that confirms the subscription when it is visited.
// The message must have been verified before.
func (m *Message) ConfirmURL() (string, error) {
	u, err := snsURL(m.SubscribeURL)
	if err != nil {
		return "", err
	}
	q := u.Query()
	if q.Get("Action") != "ConfirmSubscription" || q.Get("TopicArn") != m.TopicARN {
		return "", fmt.Errorf("%w: it does not confirm this topic", ErrBadURL)
	}
	return u.String(), nil
}

func snsURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Opaque != "" || u.Fragment != "" || !snsHost.MatchString(u.Host) {
		return nil, ErrBadURL
	}
	return u, nil
}

// ParseCertificate reads the certificate that SNS serves.
func ParseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%w: no PEM", ErrCertificate)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if _, ok := cert.PublicKey.(*rsa.PublicKey); !ok {
		return nil, fmt.Errorf("%w: its key is not RSA", ErrCertificate)
	}
	return cert, nil
}

// Verify checks that the certificate's key signed the message, and that both
// are of now. That the certificate is SNS's own follows from where it was
// fetched: see CertificateURL.
func (m *Message) Verify(cert *x509.Certificate, now time.Time) error {
	if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return fmt.Errorf("%w: it is not valid now", ErrCertificate)
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return ErrCertificate
	}
	sent, err := base64.StdEncoding.DecodeString(m.signature)
	if err != nil {
		return ErrBadSignature
	}
	signed := m.signed()
	switch m.signatureVersion {
	case "1": // the default of a topic
		sum := sha1.Sum(signed) //nolint:gosec // see the import
		err = rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], sent)
	case "2":
		sum := sha256.Sum256(signed)
		err = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sent)
	default:
		return fmt.Errorf("%w: its version is neither 1 nor 2", ErrBadSignature)
	}
	if err != nil {
		return ErrBadSignature
	}
	sentAt, err := time.Parse(time.RFC3339, m.Timestamp)
	if age := now.Sub(sentAt); err != nil || age > maxAge || age < -maxAhead {
		return ErrBadTime
	}
	return nil
}

// signed returns the text that is signed, each name and value on a line.
func (m *Message) signed() []byte {
	var b []byte
	add := func(name, value string) {
		b = append(append(append(append(b, name...), '\n'), value...), '\n')
	}
	add("Message", m.Message)
	add("MessageId", m.MessageID)
	if m.Type == "Notification" {
		if m.hasSubject {
			add("Subject", m.Subject)
		}
	} else {
		add("SubscribeURL", m.SubscribeURL)
	}
	add("Timestamp", m.Timestamp)
	if m.Type != "Notification" {
		add("Token", m.Token)
	}
	add("TopicArn", m.TopicARN)
	add("Type", m.Type)
	return b
}

// TopicAllowed reports whether a topic is one of those listed; * at the end of
// an entry stands for anything. An empty list allows every topic.
func TopicAllowed(list []string, arn string) bool {
	for _, one := range list {
		if start, ok := strings.CutSuffix(one, "*"); ok && strings.HasPrefix(arn, start) || one == arn {
			return true
		}
	}
	return len(list) == 0
}
