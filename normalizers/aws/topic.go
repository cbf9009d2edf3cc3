package aws

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/generic"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// fromTopic takes an SNS message that holds nothing known by its shape: what
// AWS's services write themselves, any other JSON the generic way, and text
// becomes the summary.
func (n Normalizer) fromTopic(v gjson.Result, r normalizers.Record) (normalizers.Result, error) {
	switch v.Get("Type").String() {
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		return normalizers.Ignore("SNS subscription handshake"), nil
	}
	res, isJSON, err := n.fromText([]byte(v.Get("Message").String()), r)
	if err != nil {
		return res, err
	}
	topic := v.Get("TopicArn").String()
	arn := strings.Split(topic, ":")
	id := v.Get("MessageId").String()
	for i := range res.Drafts {
		d := &res.Drafts[i]
		if subject := v.Get("Subject").String(); subject != "" && d.Action == plainMessage {
			d.Description = d.Summary
			d.Summary = subject
			d.Type = normalizers.Upgrade(d.Type, subject)
		}
		d.ExternalID = orElse(d.ExternalID, id)
		if d.Resource == (change.Resource{}) {
			d.Resource = change.Resource{Type: "sns.topic", ID: topic, Name: arn[len(arn)-1]}
		}
		if len(arn) >= 6 {
			d.Region, d.Account = orElse(d.Region, arn[3]), orElse(d.Account, arn[4])
		}
		if t, ok := normalizers.ParseTime(v.Get("Timestamp").String()); ok && d.OccurredAt.IsZero() {
			d.OccurredAt = change.At(t)
		}
		var m normalizers.Meta
		for _, name := range []string{"Type", "MessageId", "TopicArn", "Subject", "Timestamp"} {
			m.Set(name, v.Get(name).String())
		}
		m.SetRaw("MessageAttributes", redact.Raw(v.Get("MessageAttributes")))
		m.Set("message_is_json", isJSON)
		m.Set("message", d.Metadata)
		d.Metadata = m.JSON()
		if id != "" && d.Key == "" {
			d.Key = fmt.Sprintf("sns|%s|%s|%d", topic, id, i)
		}
	}
	return res, nil
}

// fromFirehose takes a record of Firehose with nothing known inside.
func (n Normalizer) fromFirehose(v gjson.Result, r normalizers.Record) (normalizers.Result, error) {
	text := v.Get("data").String()
	data, notBase64 := base64.StdEncoding.DecodeString(text)
	if notBase64 != nil {
		data = []byte(text)
	}
	if len(data) == 0 {
		return normalizers.Ignore("empty record"), nil
	}
	res, _, err := n.fromText(data, r)
	if err != nil {
		return res, err
	}
	for i := range res.Drafts {
		d := &res.Drafts[i]
		d.ExternalID = orElse(d.ExternalID, r.EnvelopeID)
		if t, ok := normalizers.ParseTime(r.EnvelopeTime); ok && d.OccurredAt.IsZero() {
			d.OccurredAt = change.At(t)
		}
		if d.Key == "" && r.EnvelopeID != "" {
			d.Key = fmt.Sprintf("firehose|%s|%d|%d", r.EnvelopeID, r.Index, i)
		}
	}
	return res, nil
}

// plainMessage is the action of text that nobody knows.
const plainMessage = "message"

// fromText makes changes of a message: what a service of AWS wrote, other JSON
// objects the generic way, or one with the text as its summary.
func (n Normalizer) fromText(message []byte, r normalizers.Record) (res normalizers.Result, isJSON bool, err error) {
	text := strings.TrimSpace(string(message))
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		if normalizers.CheckJSON([]byte(text)) == nil {
			r.JSON = []byte(text)
			if res, ok, err := n.fromNotice(gjson.Parse(text), r); ok {
				return res, true, err
			}
			res, err = generic.New().Normalize(r)
			return res, true, err
		}
	}
	if res, ok := fromStackNotice(text); ok {
		return res, false, nil
	}
	c := change.Change{Type: change.Other, Action: plainMessage}
	if !utf8.Valid(message) || strings.ContainsFunc(text, unprintable) {
		c.Summary = fmt.Sprintf("A message of %d bytes that is not text", len(message))
	} else {
		c.Summary = normalizers.Truncate(text, 2*change.MaxSummary)
		c.Type = normalizers.Upgrade(change.Other, c.Summary)
	}
	return normalizers.One(c, ""), false, nil
}

func unprintable(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' }
