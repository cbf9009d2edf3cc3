package receiver

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/aws"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

// A handshake is what a sender asks once, before it delivers: whether this
// place wants its deliveries at all. Handshakes carry no secrets, so those that
// only ask us are answered whatever the source demands, and no more is done:
// what was not proved is not recorded. SNS wants to be called in return; that
// is done only for what its own signature covers.

// maxHandshake is the largest body that is looked at for a handshake whose
// headers a proxy may have dropped.
const maxHandshake = 8 << 10

const (
	gridHeader        = "Aeg-Event-Type"
	gridValidation    = "Microsoft.EventGrid.SubscriptionValidationEvent"
	maxValidationCode = 512
)

// originForm is what a CloudEvents sender may call itself: a name in DNS.
var originForm = regexp.MustCompile(`^[A-Za-z0-9.:_-]{1,255}$`)

// asksConsent reports whether a request is the OPTIONS with which a sender of
// CloudEvents asks whether it may deliver.
func asksConsent(r *http.Request) bool {
	return r.Method == http.MethodOptions && originForm.MatchString(r.Header.Get("Webhook-Request-Origin"))
}

// consent grants what was asked for. The callback URL that may stand beside it
// is never called.
func (rc *Receiver) consent(w http.ResponseWriter, r *http.Request) {
	rc.metrics.handshakes.WithLabelValues("cloudevents").Inc()
	h := w.Header()
	h.Set("Webhook-Allowed-Origin", r.Header.Get("Webhook-Request-Origin"))
	h.Set("Webhook-Allowed-Rate", strconv.Itoa(60*rc.cfg.SourceRate)) // requests a minute
	h.Set("Allow", "POST, OPTIONS")
	h["Cache-Control"] = noStore
}

// validate answers Event Grid's question whether it may deliver, and reports
// whether that was asked.
func (rc *Receiver) validate(source *registry.Source, in incoming, s *scratch) bool {
	if !speaks(source, "azure") || !asksValidation(in) {
		return false
	}
	text, err := normalizers.Content(in.header, in.body, maxHandshake)
	if err != nil {
		return false
	}
	events := gjson.ParseBytes(text)
	if !events.IsArray() || events.Get("#").Int() != 1 {
		return false
	}
	event := events.Get("0")
	code := event.Get("data.validationCode")
	if !strings.EqualFold(event.Get("eventType").String(), gridValidation) || code.Type != gjson.String || code.Str == "" || len(code.Str) > maxValidationCode {
		return false
	}
	rc.metrics.handshakes.WithLabelValues("eventgrid").Inc()
	quoted, _ := json.Marshal(code.Str) // a string
	s.answer = append(append(append(s.answer[:0], `{"validationResponse":`...), quoted...), "}\n"...)
	return true
}

func asksValidation(in incoming) bool {
	if kind, ok := in.header[gridHeader]; ok {
		return strings.EqualFold(kind[0], "SubscriptionValidation")
	}
	return len(in.body) <= maxHandshake && firstByte(in.body) == '[' && bytes.Contains(in.body, []byte("SubscriptionValidationEvent"))
}

// subscription returns the URL at which SNS has to be told that a subscription
// is wanted, "" when that was not asked. Whatever the source demands, SNS must
// have signed the message that names it.
func (rc *Receiver) subscription(ctx context.Context, source *registry.Source, in incoming) (string, error) {
	if !asksSubscription(in) || source.Auth != registry.AuthSNS && !speaks(source, "aws") {
		return "", nil
	}
	text, err := normalizers.Content(in.header, in.body, maxHandshake)
	if err != nil {
		return "", nil
	}
	if m, err := aws.ParseMessage(text); err != nil || !m.Confirms() {
		return "", nil
	}
	m, err := rc.certificates.message(ctx, in.header, in.body, source.Topics, in.now)
	if err != nil {
		return "", err
	}
	url, err := m.ConfirmURL()
	if err != nil {
		return "", problem.New(problem.Unauthenticated, "bad_subscribe_url", "SubscribeURL does not confirm this topic at Amazon SNS")
	}
	return url, nil
}

func asksSubscription(in incoming) bool {
	if kind, ok := in.header[snsTypeHeader]; ok {
		return kind[0] == "SubscriptionConfirmation"
	}
	return len(in.body) <= maxHandshake && firstByte(in.body) == '{' && bytes.Contains(in.body, []byte("SubscribeURL"))
}

// speaks reports whether a source takes what a provider delivers.
func speaks(source *registry.Source, provider string) bool {
	return source.Provider == "" || source.Provider == provider || provider == "aws" && source.Provider == "cloudtrail"
}

func firstByte(body []byte) byte {
	for _, c := range body {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c
		}
	}
	return 0
}
