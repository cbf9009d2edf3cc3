package store

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"whatchanged/pkg/change"
)

// changeRow is a row of the table changes.
type changeRow struct {
	Org               string    `ch:"org"`
	OccurredAt        time.Time `ch:"occurred_at"`
	ID                string    `ch:"id"` // 16 bytes, as are all ids
	RowVersion        uint64    `ch:"version"`
	IsDeleted         uint8     `ch:"is_deleted"`
	CreatedAt         time.Time `ch:"created_at"`
	ServiceID         string    `ch:"service_id"`
	ServiceName       string    `ch:"service_name"`
	Type              string    `ch:"change_type"`
	Action            string    `ch:"action"`
	Status            string    `ch:"status"`
	Summary           string    `ch:"summary"`
	Description       string    `ch:"description"`
	Source            string    `ch:"source"`
	Environment       string    `ch:"environment"`
	Risk              string    `ch:"risk_level"`
	RiskHints         []string  `ch:"risk_hints"`
	ChangedBy         string    `ch:"changed_by"`
	ActorID           string    `ch:"actor_id"`
	ActorName         string    `ch:"actor_name"`
	ActorType         string    `ch:"actor_type"`
	ResourceType      string    `ch:"resource_type"`
	ResourceID        string    `ch:"resource_id"`
	ResourceName      string    `ch:"resource_name"`
	ResourceURL       string    `ch:"resource_url"`
	Repository        string    `ch:"repository"`
	CommitSHA         string    `ch:"commit_sha"`
	CommitMessage     string    `ch:"commit_message"`
	Branch            string    `ch:"branch"`
	Version           string    `ch:"software_version"`
	PRNumber          string    `ch:"pr_number"`
	PRURL             string    `ch:"pr_url"`
	PipelineURL       string    `ch:"pipeline_url"`
	Account           string    `ch:"account"`
	Region            string    `ch:"region"`
	ExternalID        string    `ch:"external_id"`
	CorrelationID     string    `ch:"correlation_id"`
	SessionID         string    `ch:"session_id"`
	Tags              []string  `ch:"tags"`
	Metadata          string    `ch:"metadata"`
	SourceID          string    `ch:"source_id"`
	DeliveryID        string    `ch:"delivery_id"`
	Index             uint32    `ch:"record_index"`
	Provider          string    `ch:"provider"`
	Normalizer        string    `ch:"normalizer"`
	NormalizerVersion uint32    `ch:"normalizer_version"`
	DetectedBy        string    `ch:"detected_by"`
	Run               uint16    `ch:"run"`
	Chain             string    `ch:"chain"`
	Frame             uint64    `ch:"frame_no"`
	Place             uint32    `ch:"place"`
}

const maxMilli = 1<<48 - 1

// changeVersion orders the rows of one change: a later run wins, and within a
// run the delivery that was received first.
func changeVersion(run uint16, received change.Time) uint64 {
	return uint64(run)<<48 | uint64(maxMilli-min(max(received.UnixMilli(), 0), maxMilli))
}

// deliveryVersion orders the rows of one delivery: a later run wins, and within
// a run what was found out last.
func deliveryVersion(run uint16, normalized change.Time) uint64 {
	return uint64(run)<<48 | uint64(min(max(normalized.UnixMilli(), 0), maxMilli))
}

// toChangeRow makes the row of a change. The time in the key is the id's own,
// so that the same id always has the same key and the row is found by its id.
func toChangeRow(c *change.Change, r *change.Result, b *Batch) changeRow {
	return changeRow{
		Org: r.Org, OccurredAt: c.ID.Time(), ID: string(c.ID[:]),
		RowVersion: changeVersion(b.Run, r.ReceivedAt), CreatedAt: c.CreatedAt.Time,
		ServiceID: c.ServiceID, ServiceName: c.ServiceName,
		Type: string(c.Type), Action: c.Action, Status: string(c.Status),
		Summary: c.Summary, Description: c.Description, Source: c.Source, Environment: c.Environment,
		Risk: string(c.Risk), RiskHints: c.RiskHints, ChangedBy: c.ChangedBy,
		ActorID: c.Actor.ID, ActorName: c.Actor.Name, ActorType: c.Actor.Type,
		ResourceType: c.Resource.Type, ResourceID: c.Resource.ID, ResourceName: c.Resource.Name, ResourceURL: c.Resource.URL,
		Repository: c.Repository, CommitSHA: c.CommitSHA, CommitMessage: c.CommitMessage, Branch: c.Branch,
		Version: c.Version, PRNumber: c.PRNumber, PRURL: c.PRURL, PipelineURL: c.PipelineURL,
		Account: c.Account, Region: c.Region,
		ExternalID: c.ExternalID, CorrelationID: c.CorrelationID, SessionID: c.SessionID,
		Tags: c.Tags, Metadata: string(c.Metadata),
		SourceID: c.Provenance.SourceID, DeliveryID: string(c.Provenance.DeliveryID[:]), Index: uint32(c.Provenance.Index),
		Provider: c.Provenance.Provider, Normalizer: c.Provenance.Normalizer,
		NormalizerVersion: uint32(c.Provenance.Version), DetectedBy: c.Provenance.DetectedBy,
		Run: b.Run, Chain: b.Chain, Frame: b.Frame, Place: uint32(r.Place),
	}
}

// change is the inverse of toChangeRow. What is empty stays nil.
func (r *changeRow) change() change.Change {
	c := change.Change{
		ID: change.ID([]byte(r.ID)), Org: r.Org, ServiceID: r.ServiceID, ServiceName: r.ServiceName,
		Type: change.Type(r.Type), Action: r.Action, Status: change.Status(r.Status),
		Summary: r.Summary, Description: r.Description, Source: r.Source, Environment: r.Environment,
		Risk: change.Risk(r.Risk), ChangedBy: r.ChangedBy,
		Actor:      change.Actor{ID: r.ActorID, Name: r.ActorName, Type: r.ActorType},
		Resource:   change.Resource{Type: r.ResourceType, ID: r.ResourceID, Name: r.ResourceName, URL: r.ResourceURL},
		Repository: r.Repository, CommitSHA: r.CommitSHA, CommitMessage: r.CommitMessage, Branch: r.Branch,
		Version: r.Version, PRNumber: r.PRNumber, PRURL: r.PRURL, PipelineURL: r.PipelineURL,
		Account: r.Account, Region: r.Region,
		ExternalID: r.ExternalID, CorrelationID: r.CorrelationID, SessionID: r.SessionID,
		OccurredAt: change.At(r.OccurredAt), CreatedAt: change.At(r.CreatedAt),
		Provenance: change.Provenance{
			SourceID: r.SourceID, DeliveryID: change.DeliveryID([]byte(r.DeliveryID)), Index: int(r.Index),
			Provider: r.Provider, Normalizer: r.Normalizer, Version: int(r.NormalizerVersion), DetectedBy: r.DetectedBy,
		},
	}
	if len(r.RiskHints) > 0 {
		c.RiskHints = r.RiskHints
	}
	if len(r.Tags) > 0 {
		c.Tags = r.Tags
	}
	if r.Metadata != "" {
		c.Metadata = json.RawMessage(r.Metadata)
	}
	return c
}

// deliveryRow is a row of the table deliveries.
type deliveryRow struct {
	Org           string    `ch:"org"`
	ReceivedAt    time.Time `ch:"received_at"`
	ID            string    `ch:"id"`
	RowVersion    uint64    `ch:"version"`
	FirstReceived time.Time `ch:"first_received"`
	NormalizedAt  time.Time `ch:"normalized_at"`
	StoredAt      time.Time `ch:"stored_at"`
	SourceID      string    `ch:"source_id"`
	Identity      string    `ch:"identity"`
	Outcome       string    `ch:"outcome"`
	Reason        string    `ch:"reason"`
	Provider      string    `ch:"provider"`
	DetectedBy    string    `ch:"detected_by"`
	Conflict      bool      `ch:"conflict"`
	Changes       uint32    `ch:"changes"`
	DeadRecords   uint32    `ch:"dead_records"`
	Size          uint64    `ch:"size"`
	BodyHash      string    `ch:"body_hash"` // 32 bytes
	Run           uint16    `ch:"run"`
	Lane          string    `ch:"lane"`
	Chain         string    `ch:"chain"`
	Frame         uint64    `ch:"frame_no"`
	Place         uint32    `ch:"place"`
}

func toDeliveryRow(r *change.Result, b *Batch, stored time.Time) deliveryRow {
	first := r.FirstReceived
	if first.IsZero() {
		first = r.ReceivedAt
	}
	return deliveryRow{
		Org: r.Org, ReceivedAt: r.DeliveryID.Time(), ID: string(r.DeliveryID[:]),
		RowVersion:    deliveryVersion(b.Run, r.NormalizedAt),
		FirstReceived: first.Time, NormalizedAt: r.NormalizedAt.Time, StoredAt: stored,
		SourceID: r.SourceID, Identity: r.Identity, Outcome: string(r.Outcome), Reason: r.Reason,
		Provider: r.Provider, DetectedBy: r.DetectedBy, Conflict: r.Conflict,
		Changes: uint32(r.CountMade()), DeadRecords: uint32(len(r.Dead)),
		Size: uint64(r.Size), BodyHash: string(r.BodyHash[:]),
		Run: b.Run, Lane: b.Lane, Chain: b.Chain, Frame: b.Frame, Place: uint32(r.Place),
	}
}

func (r *deliveryRow) delivery() Delivery {
	return Delivery{
		ID: change.DeliveryID([]byte(r.ID)), Org: r.Org, SourceID: r.SourceID, Identity: r.Identity,
		Outcome: change.Outcome(r.Outcome), Reason: r.Reason, Provider: r.Provider, DetectedBy: r.DetectedBy,
		Conflict: r.Conflict, Changes: int(r.Changes), DeadRecords: int(r.DeadRecords),
		Size: int(r.Size), BodySHA256: hex.EncodeToString([]byte(r.BodyHash)),
		ReceivedAt: change.At(r.ReceivedAt), FirstReceived: change.At(r.FirstReceived),
		NormalizedAt: change.At(r.NormalizedAt), StoredAt: change.At(r.StoredAt),
		Run: int(r.Run), Lane: r.Lane, Chain: r.Chain, Frame: r.Frame, Place: int(r.Place),
	}
}

// payloadRow is a row of the table payloads.
type payloadRow struct {
	Org        string    `ch:"org"`
	ReceivedAt time.Time `ch:"received_at"`
	ID         string    `ch:"id"`
	SourceID   string    `ch:"source_id"`
	Identity   string    `ch:"identity"`
	Header     string    `ch:"header"` // JSON
	Body       []byte    `ch:"body"`
	Lane       string    `ch:"lane"`
	Chain      string    `ch:"chain"`
	Frame      uint64    `ch:"frame_no"`
	Place      uint32    `ch:"place"`
}

func toPayloadRow(d *change.Delivery, b *PayloadBatch, place int) (payloadRow, error) {
	header, err := json.Marshal(d.Header)
	if err != nil {
		return payloadRow{}, fmt.Errorf("encode headers of %s: %w", d.ID, err)
	}
	return payloadRow{
		Org: d.Org, ReceivedAt: d.ID.Time(), ID: string(d.ID[:]), SourceID: d.SourceID, Identity: d.Identity,
		Header: string(header), Body: d.Body, Lane: b.Lane, Chain: b.Chain, Frame: b.Frame, Place: uint32(place),
	}, nil
}

func (r *payloadRow) payload() (Payload, error) {
	p := Payload{
		ID: change.DeliveryID([]byte(r.ID)), SourceID: r.SourceID, Identity: r.Identity,
		ReceivedAt: change.At(r.ReceivedAt), Header: http.Header{}, Body: r.Body,
	}
	if err := json.Unmarshal([]byte(r.Header), &p.Header); err != nil {
		return Payload{}, fmt.Errorf("decode headers of %s: %w", p.ID, err)
	}
	return p, nil
}
