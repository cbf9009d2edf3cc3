package normalizers

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// sns opens an SNS message posted over HTTP. The two about the subscription
// itself have nothing inside.
func (o *opener) sns(body []byte, v gjson.Result, w wrapping, kind shape) error {
	event := v.Get("Type").String()
	if event != "Notification" {
		return o.add(body, kind.provider, kind.by(), event, w)
	}
	return o.snsMessage(body, v, w, kind)
}

// snsMessage opens the Message of an SNS notification.
func (o *opener) snsMessage(envelope []byte, sns gjson.Result, w wrapping, kind shape) error {
	w = w.in("sns", kind.provider, kind.by()).at(sns.Get("MessageId").String(), sns.Get("Timestamp").String())
	message := sns.Get("Message").String()
	if err := o.spend(len(message)); err != nil {
		return err
	}
	return o.inside([]byte(message), envelope, w, kind)
}

// firehose opens the records of a Firehose delivery, which have no ids: the
// request's stands in.
func (o *opener) firehose(v gjson.Result, w wrapping, kind shape) error {
	w = w.in("firehose", kind.provider, kind.by()).at(v.Get("requestId").String(), v.Get("timestamp").String())
	return o.each(v.Get(kind.items), func(item gjson.Result) error {
		if data := item.Get("data"); data.IsObject() {
			return o.inside([]byte(data.Raw), []byte(item.Raw), w, kind)
		}
		data, err := o.decode(item.Get("data").String())
		if err != nil {
			return err
		}
		return o.inside(data, []byte(item.Raw), w, kind)
	})
}

// eventBridge opens an event: a CloudTrail record is in detail, and any other
// event is its own record.
func (o *opener) eventBridge(body []byte, v gjson.Result, w wrapping, kind shape) error {
	event := v.Get("detail-type").String()
	detail := v.Get("detail")
	if shapeOf(detail).name != "cloudtrail-record" || !o.takes("cloudtrail") {
		return o.add(body, kind.provider, kind.by(), event, w)
	}
	w = w.in("eventbridge", kind.provider, kind.by()).at(v.Get("id").String(), v.Get("time").String())
	return o.add([]byte(detail.Raw), "cloudtrail", "shape:eventbridge-cloudtrail", event, w)
}

// cloudWatchLogs opens the log events of a subscription; a control message is
// a test of the way.
func (o *opener) cloudWatchLogs(body []byte, v gjson.Result, w wrapping, kind shape) error {
	if v.Get("messageType").String() == "CONTROL_MESSAGE" {
		return o.add(body, kind.provider, kind.by(), "CONTROL_MESSAGE", w)
	}
	w = w.in("cloudwatch-logs", kind.provider, kind.by())
	return o.each(v.Get(kind.items), func(item gjson.Result) error {
		message := item.Get("message").String()
		if err := o.spend(len(message)); err != nil {
			return err
		}
		return o.inside([]byte(message), []byte(item.Raw), w.at(item.Get("id").String(), epochMillis(item.Get("timestamp"))), kind)
	})
}

// pubSub opens a push of Pub/Sub. Data may be empty: then the attributes are
// the message.
func (o *opener) pubSub(body []byte, v gjson.Result, w wrapping, kind shape) error {
	message := v.Get("message")
	id, published := message.Get("messageId"), message.Get("publishTime")
	if !id.Exists() {
		id, published = message.Get("message_id"), message.Get("publish_time")
	}
	w = w.in("pubsub", kind.provider, kind.by()).at(id.String(), published.String())
	data, err := o.decode(message.Get("data").String())
	if err != nil {
		return err
	}
	return o.inside(data, body, w, kind)
}

// cloudEvent opens an event whose data has a shape of its own, such as a log
// entry; any other event is its own record, with its attributes.
func (o *opener) cloudEvent(body []byte, v gjson.Result, w wrapping, kind shape) error {
	event := v.Get("type").String()
	inner := w.in("cloudevents", kind.provider, kind.by()).at(v.Get("id").String(), v.Get("time").String())
	if data := v.Get("data"); data.IsObject() && inner.depth < maxWrapping {
		if found := shapeOf(data); found != unknown && found.provider != Generic {
			return o.open([]byte(data.Raw), inner)
		}
	}
	if text := v.Get("data_base64"); text.Type == gjson.String && kind.provider != "cloudevents" {
		data, err := o.decode(text.Str)
		if err != nil {
			return err
		}
		return o.inside(data, body, inner, kind)
	}
	return o.add(body, kind.provider, kind.by(), event, w)
}

// epochMillis writes a time in milliseconds as RFC 3339.
func epochMillis(v gjson.Result) string {
	if t, ok := ParseTime(strconv.FormatInt(v.Int(), 10)); ok {
		return t.Format("2006-01-02T15:04:05.000Z")
	}
	return ""
}

// handshake says why a record that is not about a change but about the
// delivery path itself is ignored. The receiver answers what needs an answer.
func handshake(r *Record) (reason string, ok bool) {
	switch r.Event {
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		return "SNS subscription handshake", r.Provider == "aws" || r.Provider == "cloudtrail"
	case "s3:TestEvent":
		return "S3 test event", true
	case "CONTROL_MESSAGE":
		return "CloudWatch Logs control message", true
	case "cloudtrail-notice":
		return "CloudTrail's notice of a new log file", true
	case "Microsoft.EventGrid.SubscriptionValidationEvent", "Microsoft.EventGrid.SubscriptionDeletedEvent":
		return "Event Grid subscription handshake", true
	}
	if r.Provider == "azure" && strings.HasPrefix(r.Header.Get("Aeg-Event-Type"), "Subscription") {
		return "Event Grid subscription handshake", true
	}
	return "", false
}
