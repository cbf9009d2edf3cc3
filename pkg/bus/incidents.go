package bus

import (
	"encoding/json"

	"whatchanged/pkg/change"
)

// See frame.proto for the fields.

func appendIncident(b []byte, r *change.IncidentReport) []byte {
	b = putID(b, 1, r.ID)
	b = putID(b, 2, r.Key)
	b = putString(b, 3, r.Org)
	b = putTime(b, 4, r.At)
	b = putTime(b, 5, r.StartedAt)
	b = putString(b, 6, r.Status)
	b = putString(b, 7, r.Title)
	b = putString(b, 8, r.Description)
	b = putString(b, 9, r.Severity)
	b = putString(b, 10, r.ServiceID)
	b = putString(b, 11, r.ServiceName)
	b = putString(b, 12, r.Environment)
	b = putString(b, 13, r.Source)
	b = putString(b, 14, r.ExternalID)
	b = putString(b, 15, r.URL)
	b = putString(b, 16, r.ChangedBy)
	if r.Actor != (change.Actor{}) {
		b = putMessage(b, 17, func(b []byte) []byte { return appendActor(b, &r.Actor) })
	}
	b = putBytes(b, 18, r.Metadata)
	b = putBytes(b, 19, r.Kept)
	b = putTime(b, 20, r.CreatedAt)
	if p := &r.Provenance; *p != (change.Provenance{}) {
		b = putMessage(b, 21, func(b []byte) []byte { return appendProvenance(b, p) })
	}
	return b
}

func readIncident(s *scan, r *change.IncidentReport) {
	for s.next() {
		switch s.num {
		case 1:
			r.ID = s.id()
		case 2:
			r.Key = s.id()
		case 3:
			r.Org = s.str()
		case 4:
			r.At = s.time()
		case 5:
			r.StartedAt = s.time()
		case 6:
			r.Status = change.IncidentStatus(s.str())
		case 7:
			r.Title = s.str()
		case 8:
			r.Description = s.str()
		case 9:
			r.Severity = change.Risk(s.str())
		case 10:
			r.ServiceID = s.str()
		case 11:
			r.ServiceName = s.str()
		case 12:
			r.Environment = s.str()
		case 13:
			r.Source = s.str()
		case 14:
			r.ExternalID = s.str()
		case 15:
			r.URL = s.str()
		case 16:
			r.ChangedBy = s.str()
		case 17:
			s.message(func(s *scan) { readActor(s, &r.Actor) })
		case 18:
			r.Metadata = json.RawMessage(s.bytes())
		case 19:
			r.Kept = json.RawMessage(s.bytes())
		case 20:
			r.CreatedAt = s.time()
		case 21:
			s.message(func(s *scan) { readProvenance(s, &r.Provenance) })
		}
	}
}
