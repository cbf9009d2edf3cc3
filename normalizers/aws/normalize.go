// Package aws makes changes of what AWS sends besides CloudTrail: EventBridge's
// native events, CloudWatch alarms, and messages of SNS, Firehose and
// CloudWatch Logs with something in them that nobody knows by its shape.
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

// Normalizer reads AWS's records.
type Normalizer struct{}

// New returns the normalizer.
func New() Normalizer { return Normalizer{} }

// Provider returns "aws".
func (Normalizer) Provider() string { return "aws" }

// Version counts the changes of what this normalizer makes of the same record.
func (Normalizer) Version() int { return 1 }

// Normalize makes at most one change of a record.
func (Normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	if err := normalizers.CheckJSON(r.JSON); err != nil {
		return normalizers.Result{}, fmt.Errorf("read AWS record: %w", err)
	}
	v := gjson.ParseBytes(r.JSON)
	switch {
	case v.Get("detail-type").Exists() && v.Get("source").Exists():
		return fromEvent(v), nil
	case v.Get("AlarmName").Exists() && v.Get("NewStateValue").Exists():
		return fromAlarm(v, r), nil
	case v.Get("s3.bucket").Exists():
		return normalizers.Ignore("data event: objects are not configuration"), nil
	case v.Get("TopicArn").Exists() && v.Get("Message").Exists():
		return fromTopic(v, r)
	case v.Get("Sns.TopicArn").Exists():
		return fromTopic(v.Get("Sns"), r)
	case v.Get("message").Exists() && strings.Contains(r.Envelope, "cloudwatch-logs"):
		return normalizers.Ignore("log line"), nil
	case v.Get("data").Type == gjson.String && strings.HasSuffix(r.Envelope, "firehose"):
		return fromFirehose(v, r)
	case v.Get("messageType").String() == "DATA_MESSAGE", v.Get("data.messageType").String() == "DATA_MESSAGE":
		return normalizers.Ignore("log lines"), nil
	}
	return generic.New().Normalize(r)
}

// fromEvent makes a change of an EventBridge event that is not CloudTrail's.
func fromEvent(v gjson.Result) normalizers.Result {
	detailType := v.Get("detail-type").String()
	k := kindOf(detailType)
	if k.ignore != "" {
		return normalizers.Ignore(k.ignore)
	}
	detail := v.Get("detail")
	source := strings.TrimPrefix(v.Get("source").String(), "aws.")
	id := find(detail, k.id)
	if id == "" {
		id = v.Get("resources.0").String()
	}
	state := find(detail, k.state)
	c := change.Change{
		Type:          orOther(k.typ),
		Action:        source + "." + strings.ReplaceAll(detailType, " ", ""),
		Status:        states[strings.ToUpper(state)],
		Account:       v.Get("account").String(),
		Region:        v.Get("region").String(),
		ExternalID:    v.Get("id").String(),
		CorrelationID: find(detail, k.correlate),
		Version:       find(detail, k.version),
		ChangedBy:     find(detail, k.by),
		PipelineURL:   link(find(detail, k.link)),
		Resource:      change.Resource{ID: id, Name: orElse(find(detail, k.name), afterLast(id)), Type: source},
	}
	if c.Resource.ID == "" {
		c.Resource.ID = c.Resource.Name
	}
	if c.ChangedBy != "" {
		c.Actor = change.Actor{ID: c.ChangedBy, Name: c.ChangedBy, Type: "user"}
	}
	reason := strings.ToLower(detail.Get("reason").String() + " " + state)
	if strings.Contains(reason, "rollback") || strings.Contains(reason, "rolling back") {
		c.Type = change.Rollback
		c.RiskHints = append(c.RiskHints, normalizers.HintRollback)
	}
	if c.Status == change.Failed {
		c.RiskHints = append(c.RiskHints, normalizers.HintFailed)
	}
	if t, ok := normalizers.ParseTime(v.Get("time").String()); ok {
		c.OccurredAt = change.At(t)
	}
	if env, ok := normalizers.Environment(c.Resource.Name, detail.Get("deploymentGroup").String()); ok {
		c.Environment = env
		c.RiskHints = append(c.RiskHints, normalizers.HintEnvInferred)
	}
	switch severity := detail.Get("severity").Float(); { // GuardDuty's, from 1 to 10
	case detailType != "GuardDuty Finding":
	case severity >= 7:
		c.Risk = change.High
	case severity >= 4:
		c.Risk = change.Medium
	}
	c.Summary = said(detailType, c.Resource.Name, state, find(detail, k.title))
	var m normalizers.Meta
	m.Set("detail-type", detailType)
	m.Set("source", v.Get("source").String())
	m.Set("resources", redact.JSON(v.Get("resources")))
	m.Set("detail", redact.JSON(detail))
	c.Metadata = m.JSON()
	key := ""
	if c.ExternalID != "" {
		key = "eventbridge|" + c.ExternalID
	}
	return normalizers.One(c, key)
}

// said is the event in a line: "CodePipeline Pipeline Execution State Change:
// shop STARTED".
func said(detailType, name, state, title string) string {
	s := detailType + ":"
	for _, part := range []string{name, state, title} {
		if part != "" && !strings.Contains(s, part) {
			s += " " + part
		}
	}
	return strings.TrimSuffix(s, ":")
}

func kindOf(detailType string) eventKind {
	for _, k := range eventKinds {
		before, star := strings.CutSuffix(k.detailType, "*")
		if detailType == k.detailType || star && strings.HasPrefix(detailType, before) {
			return k
		}
	}
	return eventKind{}
}

// fromAlarm makes a change of an alarm as CloudWatch posts it to SNS.
func fromAlarm(v gjson.Result, r normalizers.Record) normalizers.Result {
	name, state := v.Get("AlarmName").String(), v.Get("NewStateValue").String()
	c := change.Change{
		Type:          change.Incident,
		Action:        "alarm." + strings.ToLower(state),
		Status:        states[strings.ToUpper(state)],
		Summary:       "Alarm " + name + ": " + state,
		Description:   v.Get("NewStateReason").String(),
		Account:       v.Get("AWSAccountId").String(),
		Region:        v.Get("Region").String(), // "EU (Ireland)": the ARN has its name
		CorrelationID: orElse(v.Get("AlarmArn").String(), name),
		ExternalID:    r.EnvelopeID,
		Actor:         change.Actor{ID: "cloudwatch", Name: "CloudWatch", Type: "alerting"},
		ChangedBy:     "CloudWatch",
		Resource:      change.Resource{Type: "cloudwatch.alarm", ID: orElse(v.Get("AlarmArn").String(), name), Name: name},
		Metadata:      redact.JSON(v),
	}
	if arn := strings.Split(v.Get("AlarmArn").String(), ":"); len(arn) > 4 {
		c.Region = arn[3]
	}
	when := v.Get("StateChangeTime").String()
	if t, ok := normalizers.ParseTime(orElse(when, r.EnvelopeTime)); ok {
		c.OccurredAt = change.At(t)
	}
	return normalizers.One(c, "alarm|"+c.CorrelationID+"|"+state+"|"+when)
}

// fromTopic takes an SNS message that holds nothing known by its shape: any
// JSON goes the generic way, and text becomes the summary.
func fromTopic(v gjson.Result, r normalizers.Record) (normalizers.Result, error) {
	switch v.Get("Type").String() {
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		return normalizers.Ignore("SNS subscription handshake"), nil
	}
	res, isJSON, err := fromText([]byte(v.Get("Message").String()), r)
	if err != nil {
		return res, err
	}
	topic := v.Get("TopicArn").String()
	arn := strings.Split(topic, ":")
	id := v.Get("MessageId").String()
	for i := range res.Drafts {
		d := &res.Drafts[i]
		if subject := v.Get("Subject").String(); subject != "" && !isJSON {
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
		m.Set("MessageAttributes", redact.JSON(v.Get("MessageAttributes")))
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
func fromFirehose(v gjson.Result, r normalizers.Record) (normalizers.Result, error) {
	text := v.Get("data").String()
	data, notBase64 := base64.StdEncoding.DecodeString(text)
	if notBase64 != nil {
		data = []byte(text)
	}
	if len(data) == 0 {
		return normalizers.Ignore("empty record"), nil
	}
	res, _, err := fromText(data, r)
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

// fromText makes changes of a message: JSON objects the generic way, or one
// with the text as its summary.
func fromText(message []byte, r normalizers.Record) (res normalizers.Result, isJSON bool, err error) {
	if text := strings.TrimSpace(string(message)); strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		if normalizers.CheckJSON([]byte(text)) == nil {
			r.JSON = []byte(text)
			res, err = generic.New().Normalize(r)
			return res, true, err
		}
	}
	c := change.Change{Type: change.Other, Action: "message"}
	if !utf8.Valid(message) || strings.ContainsFunc(string(message), unprintable) {
		c.Summary = fmt.Sprintf("A message of %d bytes that is not text", len(message))
	} else {
		c.Summary = normalizers.Truncate(string(message), 2*change.MaxSummary)
		c.Type = normalizers.Upgrade(change.Other, c.Summary)
	}
	return normalizers.One(c, ""), false, nil
}

func unprintable(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' }

// find returns the text of the first path that holds some.
func find(v gjson.Result, paths string) string {
	for path := range strings.FieldsSeq(paths) {
		if s := v.Get(path); s.Type == gjson.String || s.Type == gjson.Number {
			if text := strings.TrimSpace(s.String()); text != "" {
				return text
			}
		}
	}
	return ""
}

func orOther(t change.Type) change.Type {
	if t == "" {
		return change.Other
	}
	return t
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

func link(s string) string {
	if strings.HasPrefix(s, "https://") {
		return s
	}
	return ""
}

// afterLast is the last part of an ARN: what people call the thing.
func afterLast(arn string) string { return arn[strings.LastIndexAny(arn, "/:")+1:] }
