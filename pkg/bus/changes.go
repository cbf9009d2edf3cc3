package bus

import (
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"whatchanged/pkg/change"
)

// See frame.proto for the fields.

// appendChangeHead appends all of a change frame but its results.
func appendChangeHead(b []byte, f *ChangeFrame) []byte {
	b = putUint(b, 1, frameVersion)
	b = putString(b, 2, f.Chain)
	b = putUint(b, 3, f.Number)
	b = putUint(b, 4, uint64(f.Run))
	b = putUint(b, 5, uint64(f.Part))
	b = putUint(b, 6, uint64(f.Parts))
	return putString(b, 7, f.Lane)
}

func appendFrameResult(b, encoded []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, 8, protowire.BytesType), encoded)
}

func appendResult(b []byte, r *change.Result) []byte {
	b = appendResultHead(b, r)
	for i := range r.Changes {
		b = putMessage(b, 17, func(b []byte) []byte { return appendChange(b, &r.Changes[i]) })
	}
	for i := range r.Incidents {
		b = putMessage(b, 18, func(b []byte) []byte { return appendIncident(b, &r.Incidents[i]) })
	}
	for _, id := range r.Removed {
		b = putID(b, 19, id)
	}
	return b
}

// appendResultHead appends all of a result but what it made and removed.
func appendResultHead(b []byte, r *change.Result) []byte {
	b = putID(b, 1, r.DeliveryID)
	b = putString(b, 2, r.Org)
	b = putString(b, 3, r.SourceID)
	b = putString(b, 4, r.Identity)
	b = putTime(b, 5, r.ReceivedAt)
	b = putTime(b, 6, r.FirstReceived)
	b = putTime(b, 7, r.NormalizedAt)
	b = putInt(b, 8, r.Place)
	b = putInt(b, 9, r.Size)
	b = putHash(b, 10, r.BodyHash)
	b = putString(b, 11, r.Outcome)
	b = putString(b, 12, r.Reason)
	b = putString(b, 13, r.Provider)
	b = putString(b, 14, r.DetectedBy)
	b = putBool(b, 15, r.Conflict)
	for _, d := range r.Dead {
		b = putMessage(b, 16, func(b []byte) []byte {
			return putString(putInt(b, 1, d.Index), 2, d.Reason)
		})
	}
	return putString(putInt(b, 20, r.Made), 31, r.TraceParent)
}

func appendChange(b []byte, c *change.Change) []byte {
	b = putID(b, 1, c.ID)
	b = putString(b, 2, c.Org)
	b = putString(b, 3, c.ServiceID)
	b = putString(b, 4, c.ServiceName)
	b = putString(b, 5, c.Type)
	b = putString(b, 6, c.Action)
	b = putString(b, 7, c.Status)
	b = putString(b, 8, c.Summary)
	b = putString(b, 9, c.Description)
	b = putString(b, 10, c.Source)
	b = putString(b, 11, c.Environment)
	b = putString(b, 12, c.Risk)
	b = putStrings(b, 13, c.RiskHints)
	b = putString(b, 14, c.ChangedBy)
	if c.Actor != (change.Actor{}) {
		b = putMessage(b, 15, func(b []byte) []byte { return appendActor(b, &c.Actor) })
	}
	if c.Resource != (change.Resource{}) {
		b = putMessage(b, 16, func(b []byte) []byte {
			b = putString(b, 1, c.Resource.Type)
			b = putString(b, 2, c.Resource.ID)
			b = putString(b, 3, c.Resource.Name)
			return putString(b, 4, c.Resource.URL)
		})
	}
	b = putString(b, 17, c.Repository)
	b = putString(b, 18, c.CommitSHA)
	b = putString(b, 19, c.CommitMessage)
	b = putString(b, 20, c.Branch)
	b = putString(b, 21, c.Version)
	b = putString(b, 22, c.PRNumber)
	b = putString(b, 23, c.PRURL)
	b = putString(b, 24, c.PipelineURL)
	b = putString(b, 25, c.Account)
	b = putString(b, 26, c.Region)
	b = putString(b, 27, c.ExternalID)
	b = putString(b, 28, c.CorrelationID)
	b = putString(b, 29, c.SessionID)
	b = putStrings(b, 30, c.Tags)
	b = putBytes(b, 31, c.Metadata)
	b = putTime(b, 32, c.OccurredAt)
	b = putTime(b, 33, c.CreatedAt)
	if p := &c.Provenance; *p != (change.Provenance{}) {
		b = putMessage(b, 34, func(b []byte) []byte { return appendProvenance(b, p) })
	}
	return b
}

func appendActor(b []byte, a *change.Actor) []byte {
	b = putString(b, 1, a.ID)
	b = putString(b, 2, a.Name)
	return putString(b, 3, a.Type)
}

func appendProvenance(b []byte, p *change.Provenance) []byte {
	b = putString(b, 1, p.SourceID)
	b = putID(b, 2, p.DeliveryID)
	b = putInt(b, 3, p.Index)
	b = putString(b, 4, p.Provider)
	b = putString(b, 5, p.Normalizer)
	b = putInt(b, 6, p.Version)
	return putString(b, 7, p.DetectedBy)
}

// putStrings keeps empty strings: the list is read back as it was.
func putStrings(b []byte, num protowire.Number, list []string) []byte {
	for _, v := range list {
		b = protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
	}
	return b
}

// decodePack reads the frames of one message; metadata aliases b.
func decodePack(b []byte) (frames []*ChangeFrame, err error) {
	left := maxChanges
	s := scan{rest: b}
	for s.next() {
		if s.num != 1 {
			continue
		}
		if len(frames) == maxDeliveries {
			return nil, fmt.Errorf("decode changes: more than %d frames", maxDeliveries)
		}
		frames = append(frames, &ChangeFrame{})
		s.message(func(s *scan) { readChangeFrame(s, frames[len(frames)-1], &left) })
	}
	if s.err == nil && len(frames) == 0 {
		s.err = errors.New("no frame")
	}
	if s.err != nil {
		return nil, fmt.Errorf("decode changes: %w", s.err)
	}
	return frames, nil
}

// readChangeFrame reads one frame; left is how many changes and dead records
// the message may still have.
func readChangeFrame(s *scan, f *ChangeFrame, left *int) {
	for s.next() {
		switch s.num {
		case 1:
			if v := s.uint(); v != frameVersion {
				s.fail(fmt.Errorf("frame version %d is not known", v))
			}
		case 2:
			f.Chain = s.str()
		case 3:
			f.Number = s.uint()
		case 4:
			f.Run = uint16(s.uint())
		case 5:
			f.Part = int(s.uint())
		case 6:
			f.Parts = int(s.uint())
		case 7:
			f.Lane = s.str()
		case 8:
			if len(f.Results) == maxDeliveries {
				s.fail(fmt.Errorf("more than %d results", maxDeliveries))
				break
			}
			f.Results = append(f.Results, change.Result{})
			s.message(func(s *scan) { readResult(s, &f.Results[len(f.Results)-1], left) })
		}
	}
}

// readResult reads one result; left is how many changes and dead records the
// message may still have.
func readResult(s *scan, r *change.Result, left *int) {
	for s.next() {
		switch s.num {
		case 1:
			r.DeliveryID = s.id()
		case 2:
			r.Org = s.str()
		case 3:
			r.SourceID = s.str()
		case 4:
			r.Identity = s.str()
		case 5:
			r.ReceivedAt = s.time()
		case 6:
			r.FirstReceived = s.time()
		case 7:
			r.NormalizedAt = s.time()
		case 8:
			r.Place = s.int()
		case 9:
			r.Size = s.int()
		case 10:
			r.BodyHash = s.hash()
		case 11:
			r.Outcome = change.Outcome(s.str())
		case 12:
			r.Reason = s.str()
		case 13:
			r.Provider = s.str()
		case 14:
			r.DetectedBy = s.str()
		case 15:
			r.Conflict = s.bool()
		case 20:
			r.Made = s.int()
		case 31:
			r.TraceParent = s.str()
		case 16, 17, 18, 19:
			if *left--; *left < 0 {
				s.fail(fmt.Errorf("more than %d changes", maxChanges))
				break
			}
			switch s.num {
			case 16:
				r.Dead = append(r.Dead, change.DeadRecord{})
				s.message(func(s *scan) { readDeadRecord(s, &r.Dead[len(r.Dead)-1]) })
			case 17:
				r.Changes = append(r.Changes, change.Change{})
				s.message(func(s *scan) { readChange(s, &r.Changes[len(r.Changes)-1]) })
			case 18:
				r.Incidents = append(r.Incidents, change.IncidentReport{})
				s.message(func(s *scan) { readIncident(s, &r.Incidents[len(r.Incidents)-1]) })
			case 19:
				r.Removed = append(r.Removed, s.id())
			}
		}
	}
}

func readDeadRecord(s *scan, d *change.DeadRecord) {
	for s.next() {
		switch s.num {
		case 1:
			d.Index = s.int()
		case 2:
			d.Reason = s.str()
		}
	}
}

func readChange(s *scan, c *change.Change) {
	for s.next() {
		switch s.num {
		case 1:
			c.ID = s.id()
		case 2:
			c.Org = s.str()
		case 3:
			c.ServiceID = s.str()
		case 4:
			c.ServiceName = s.str()
		case 5:
			c.Type = change.Type(s.str())
		case 6:
			c.Action = s.str()
		case 7:
			c.Status = change.Status(s.str())
		case 8:
			c.Summary = s.str()
		case 9:
			c.Description = s.str()
		case 10:
			c.Source = s.str()
		case 11:
			c.Environment = s.str()
		case 12:
			c.Risk = change.Risk(s.str())
		case 13:
			c.RiskHints = append(c.RiskHints, s.str())
		case 14:
			c.ChangedBy = s.str()
		case 15:
			s.message(func(s *scan) { readActor(s, &c.Actor) })
		case 16:
			s.message(func(s *scan) { readResource(s, &c.Resource) })
		case 17:
			c.Repository = s.str()
		case 18:
			c.CommitSHA = s.str()
		case 19:
			c.CommitMessage = s.str()
		case 20:
			c.Branch = s.str()
		case 21:
			c.Version = s.str()
		case 22:
			c.PRNumber = s.str()
		case 23:
			c.PRURL = s.str()
		case 24:
			c.PipelineURL = s.str()
		case 25:
			c.Account = s.str()
		case 26:
			c.Region = s.str()
		case 27:
			c.ExternalID = s.str()
		case 28:
			c.CorrelationID = s.str()
		case 29:
			c.SessionID = s.str()
		case 30:
			c.Tags = append(c.Tags, s.str())
		case 31:
			c.Metadata = json.RawMessage(s.bytes())
		case 32:
			c.OccurredAt = s.time()
		case 33:
			c.CreatedAt = s.time()
		case 34:
			s.message(func(s *scan) { readProvenance(s, &c.Provenance) })
		}
	}
}

func readActor(s *scan, a *change.Actor) {
	for s.next() {
		switch s.num {
		case 1:
			a.ID = s.str()
		case 2:
			a.Name = s.str()
		case 3:
			a.Type = s.str()
		}
	}
}

func readResource(s *scan, r *change.Resource) {
	for s.next() {
		switch s.num {
		case 1:
			r.Type = s.str()
		case 2:
			r.ID = s.str()
		case 3:
			r.Name = s.str()
		case 4:
			r.URL = s.str()
		}
	}
}

func readProvenance(s *scan, p *change.Provenance) {
	for s.next() {
		switch s.num {
		case 1:
			p.SourceID = s.str()
		case 2:
			p.DeliveryID = s.id()
		case 3:
			p.Index = s.int()
		case 4:
			p.Provider = s.str()
		case 5:
			p.Normalizer = s.str()
		case 6:
			p.Version = s.int()
		case 7:
			p.DetectedBy = s.str()
		}
	}
}
