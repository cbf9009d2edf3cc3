package cloudtrail

import (
	"whatchanged/normalizers"
	"whatchanged/normalizers/aws/compact"
)

// metadata keeps, under CloudTrail's own names, what has no field of its own.
func (r *record) metadata(rec normalizers.Record) []byte {
	m := compact.New(512 + len(r.identity.all.Raw) + len(r.request.Raw))
	m.Text("eventSource", r.eventSource)
	m.Text("eventName", r.eventName)
	m.Text("eventType", r.eventType)
	m.Text("eventVersion", r.eventVersion)
	m.Text("eventCategory", r.eventCategory)
	if r.managementEvent.IsBool() {
		m.Raw("managementEvent", []byte(r.managementEvent.Raw))
	}
	if r.readOnly.IsBool() {
		m.Raw("readOnly", []byte(r.readOnly.Raw))
	}
	m.Text("sourceIPAddress", r.sourceIP)
	m.Text("userAgent", r.userAgent)
	m.Text("vpcEndpointId", r.vpcEndpoint)
	if r.sharedEventID != "" { // else it is the correlation id
		m.Text("requestID", r.requestID)
	}
	old, now := r.values()
	m.Raw("old_value", old)
	m.Raw("new_value", now)
	m.Text("addendum", r.addendumReason)
	m.Safe("userIdentity", r.identity.all)
	m.Safe("requestParameters", r.request)
	m.Safe("serviceEventDetails", r.serviceDetails)
	m.Safe("resources", r.resources)
	if r.console() {
		m.Text("via", "console")
	}
	m.Text("detail-type", rec.Event)
	m.Text("envelopeId", rec.EnvelopeID)
	return m.JSON()
}
