package cloudtrail

import (
	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
)

// metadata keeps, under CloudTrail's own names, what has no field of its own.
func (r *record) metadata(rec normalizers.Record) []byte {
	m := object{make([]byte, 0, 512+len(r.identity.all.Raw)+len(r.request.Raw))}
	m.text("eventSource", r.eventSource)
	m.text("eventName", r.eventName)
	m.text("eventType", r.eventType)
	m.text("eventVersion", r.eventVersion)
	m.text("eventCategory", r.eventCategory)
	if r.managementEvent.IsBool() {
		m.raw("managementEvent", []byte(r.managementEvent.Raw))
	}
	if r.readOnly.IsBool() {
		m.raw("readOnly", []byte(r.readOnly.Raw))
	}
	m.text("sourceIPAddress", r.sourceIP)
	m.text("userAgent", r.userAgent)
	m.text("vpcEndpointId", r.vpcEndpoint)
	if r.sharedEventID != "" { // else it is the correlation id
		m.text("requestID", r.requestID)
	}
	old, now := r.values()
	m.raw("old_value", old)
	m.raw("new_value", now)
	m.text("addendum", r.addendumReason)
	m.safe("userIdentity", r.identity.all)
	m.safe("requestParameters", r.request)
	m.safe("serviceEventDetails", r.serviceDetails)
	m.safe("resources", r.resources)
	if r.console() {
		m.text("via", "console")
	}
	m.text("detail-type", rec.Event)
	m.text("envelopeId", rec.EnvelopeID)
	return append(m.buf, '}')
}

// object is JSON being written from parts that are compact already; a log file
// has a thousand of them.
type object struct{ buf []byte }

func (o *object) key(name string) {
	o.buf = append(o.buf, "{,"[min(len(o.buf), 1)], '"')
	o.buf = append(append(o.buf, name...), '"', ':')
}

func (o *object) text(name, value string) {
	if value != "" {
		o.key(name)
		o.buf = normalizers.AppendString(o.buf, value)
	}
}

func (o *object) raw(name string, value []byte) {
	if len(value) > 0 {
		o.key(name)
		o.buf = append(o.buf, value...)
	}
}

// safe adds a copy of v without what may be secret.
func (o *object) safe(name string, v gjson.Result) {
	if v.Exists() && v.Raw != `""` {
		o.raw(name, redact.JSON(v))
	}
}
