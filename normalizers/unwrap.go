package normalizers

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/pkg/change"
)

// Limits of one delivery.
const (
	MaxRecords  = 50_000
	maxOpened   = 64 << 20 // bytes of everything decompressed or decoded
	maxWrapping = 4        // envelopes in envelopes
)

// Unwrap opens a delivery's envelopes and says, for each record inside, who
// speaks and how that was seen. A provider pinned by the source wins over
// whatever the request looks like. An error wraps change.ErrMalformed.
func Unwrap(d *change.Delivery) ([]Record, error) {
	// Only the API's own deliveries come from a key; a webhook's headers are its sender's.
	if face := d.Header.Get(FaceHeader); face != "" && d.Provider == apiProvider && strings.HasPrefix(d.SourceID, "key_") {
		o := opener{header: d.Header}
		err := o.requestOfAPI(face, d.Body)
		return o.records, err
	}
	body, err := Content(d.Header, d.Body, maxOpened)
	if err != nil {
		return nil, err
	}
	o := opener{header: d.Header, pinned: d.Provider, budget: maxOpened}
	if err := o.request(body); err != nil {
		return nil, err
	}
	return o.records, nil
}

// opener collects a delivery's records.
type opener struct {
	header  http.Header
	pinned  string
	budget  int // bytes that may still be decompressed
	records []Record
}

// wrapping is what the envelopes so far have told.
type wrapping struct {
	path  string
	depth int
	id    string
	time  string
	// carrier is who delivers what nobody recognises inside, and by how that
	// was seen.
	carrier, by string
}

// in returns the wrapping inside one more envelope.
func (w wrapping) in(envelope, carrier, by string) wrapping {
	if w.path != "" {
		envelope = w.path + "/" + envelope
	}
	w.path = envelope
	w.depth++
	w.carrier, w.by = carrier, by
	return w
}

// at returns the wrapping with an envelope's own id and time.
func (w wrapping) at(id, when string) wrapping {
	if id != "" {
		w.id = id
	}
	if when != "" {
		w.time = when
	}
	return w
}

// request opens the body of the request itself.
func (o *opener) request(body []byte) error {
	h := o.header
	if provider, by, ok := detectHeader(h); ok && o.takes(provider) {
		return o.add(body, provider, by, h.Get(eventHeaders[provider]), wrapping{})
	}
	w := wrapping{}
	if provider, by, ok := detectCarrier(h); ok {
		w.carrier, w.by = provider, by
	}
	switch {
	case h.Get("X-Amz-Sns-Rawdelivery") == "true":
		w = w.in("sns", w.carrier, w.by).at(h.Get("X-Amz-Sns-Message-Id"), "")
	case h.Get("X-Goog-Pubsub-Message-Id") != "":
		w = w.in("pubsub", w.carrier, w.by).at(h.Get("X-Goog-Pubsub-Message-Id"), h.Get("X-Goog-Pubsub-Publish-Time"))
	case h.Get("Ce-Specversion") != "":
		w = w.in("cloudevents", w.carrier, w.by).at(h.Get("Ce-Id"), h.Get("Ce-Time"))
	}
	return o.open(body, w)
}

// takes reports whether the source takes what provider says.
func (o *opener) takes(provider string) bool {
	return o.pinned == "" || sameFamily(o.pinned, provider)
}

// open looks at the shape of JSON, and inside where it is an envelope.
func (o *opener) open(body []byte, w wrapping) error {
	v := gjson.ParseBytes(body)
	kind := shapeOf(v)
	if kind == unknown || !o.takes(kind.provider) {
		return o.addUnknown(body, v, w)
	}
	if w.depth >= maxWrapping {
		return o.add(body, kind.provider, kind.by(), "", w)
	}
	switch kind.name {
	case "sns":
		return o.sns(body, v, w, kind)
	case "firehose":
		return o.firehose(v, w, kind)
	case "eventbridge":
		return o.eventBridge(body, v, w, kind)
	case "cloudwatch-logs":
		return o.cloudWatchLogs(body, v, w, kind)
	case "awslogs":
		inside, err := o.decode(v.Get("awslogs.data").Str)
		if err != nil {
			return err
		}
		return o.inside(inside, body, w.in("awslogs", kind.provider, kind.by()), kind)
	case "sns-records":
		return o.each(v.Get(kind.items), func(item gjson.Result) error {
			return o.snsMessage([]byte(item.Raw), item.Get("Sns"), w, kind)
		})
	case "pubsub":
		return o.pubSub(body, v, w, kind)
	case "cloudevents":
		return o.cloudEvent(body, v, w, kind)
	case "azure-alert", "azure-common-alert", "azure-devops":
		return o.add(body, kind.provider, kind.by(), v.Get("eventType").String(), w)
	case "eventgrid-event":
		return o.add(body, kind.provider, kind.by(), v.Get("eventType").String(), w)
	}
	if kind.items == "" {
		return o.add(body, kind.provider, kind.by(), eventOf(kind, v), w)
	}
	return o.batch(v, w, kind)
}

// eventOf is the word for the kind of event where the shape has one.
func eventOf(kind shape, v gjson.Result) string {
	switch kind.name {
	case "s3-test":
		return "s3:TestEvent"
	case "cloudtrail-notice":
		return "cloudtrail-notice"
	case "cdevents":
		return v.Get("context.type").String()
	case "buildkite":
		return v.Get("event").String()
	case "circleci":
		return v.Get("type").String()
	case "pagerduty":
		return v.Get("event.event_type").String()
	case "harness":
		return v.Get("trigger").String()
	case "github_audit_log", "github-audit-log":
		return v.Get("action").String()
	}
	return ""
}

// addUnknown adds what has no shape of its own: the carrier speaks, else
// nobody known.
func (o *opener) addUnknown(body []byte, v gjson.Result, w wrapping) error {
	if w.carrier != "" && o.takes(w.carrier) {
		return o.add(body, w.carrier, w.by, o.header.Get("Ce-Type"), w)
	}
	if o.pinned != "" {
		return o.add(body, o.pinned, "source", o.header.Get(eventHeaders[o.pinned]), w)
	}
	event := ""
	if o.header.Get("Webhook-Id") != "" { // Standard Webhooks: {"type","timestamp","data"}
		event = v.Get("type").String()
		w = w.at(o.header.Get("Webhook-Id"), v.Get("timestamp").String())
	}
	return o.add(body, Generic, unknown.by(), event, w)
}

// add adds one record.
func (o *opener) add(body []byte, provider, by, event string, w wrapping) error {
	if len(o.records) >= MaxRecords {
		return fmt.Errorf("%w: more than %d records in a delivery", change.ErrMalformed, MaxRecords)
	}
	if !o.takes(provider) {
		provider, by = o.pinned, "source"
	}
	o.records = append(o.records, Record{
		Provider:     provider,
		DetectedBy:   by,
		Event:        event,
		Header:       o.header,
		JSON:         body,
		Index:        len(o.records),
		Envelope:     w.path,
		EnvelopeID:   w.id,
		EnvelopeTime: w.time,
	})
	return nil
}

// each calls do for every item until one fails.
func (o *opener) each(items gjson.Result, do func(gjson.Result) error) error {
	var err error
	items.ForEach(func(_, item gjson.Result) bool {
		err = do(item)
		return err == nil
	})
	return err
}

// batch adds the items of a list that one provider made. An item that looks
// like somebody else's is somebody else's, and an envelope is opened.
func (o *opener) batch(v gjson.Result, w wrapping, kind shape) error {
	items := v.Get(kind.items)
	if items.IsObject() { // one item, wrapped as such
		return o.open([]byte(items.Raw), w.in(kind.name, kind.provider, kind.by()))
	}
	if kind.name == mixedList {
		w = w.in(kind.name, "", "")
	} else {
		w = w.in(kind.name, kind.provider, kind.by())
	}
	return o.each(items, func(item gjson.Result) error {
		inner := shapeOf(item)
		switch {
		case kind.name == mixedList:
			return o.open([]byte(item.Raw), w)
		case inner.name == "cloudevents":
			return o.cloudEvent([]byte(item.Raw), item, w, shape{inner.provider, kind.name, ""})
		case inner != unknown && (inner.provider != kind.provider || isEnvelope(inner.name)):
			return o.open([]byte(item.Raw), w)
		}
		event := ""
		if inner.name == "eventgrid-event" {
			event = item.Get("eventType").String()
		}
		return o.add([]byte(item.Raw), kind.provider, kind.by(), event, w)
	})
}

// isEnvelope reports whether a shape is a message around another one.
func isEnvelope(name string) bool {
	switch name {
	case "sns", "firehose", "eventbridge", "cloudwatch-logs", "awslogs", "sns-records", "pubsub", "cloudevents", mixedList:
		return true
	}
	return false
}

// inside opens what an envelope held; when that is not JSON, the envelope
// itself is the record.
func (o *opener) inside(inside, envelope []byte, w wrapping, kind shape) error {
	inside, err := o.gunzipped(inside)
	if err != nil {
		return err
	}
	text := bytes.TrimSpace(inside)
	if len(text) == 0 || (text[0] != '{' && text[0] != '[') || CheckJSON(text) != nil {
		return o.add(envelope, kind.provider, kind.by(), "", w)
	}
	if shapeOf(gjson.ParseBytes(text)) == unknown {
		// Nobody we know: the envelope says more about it than it does itself.
		return o.add(envelope, kind.provider, kind.by(), "", w)
	}
	return o.open(text, w)
}

// decode decodes base64, and gzip inside it.
func (o *opener) decode(text string) ([]byte, error) {
	if err := o.spend(len(text)); err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		b, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	}
	if err != nil {
		return nil, nil // not base64: the envelope is the record
	}
	return b, nil
}

// gunzipped undoes gzip where there is some.
func (o *opener) gunzipped(b []byte) ([]byte, error) {
	for range maxWrapping {
		if len(b) < 3 || b[0] != 0x1f || b[1] != 0x8b || b[2] != 8 {
			break
		}
		out, err := gunzip(b, o.budget)
		if err != nil {
			return nil, err
		}
		if err := o.spend(len(out)); err != nil {
			return nil, err
		}
		b = out
	}
	return b, nil
}

func (o *opener) spend(n int) error {
	if o.budget -= n; o.budget < 0 {
		return ErrTooLarge
	}
	return nil
}
