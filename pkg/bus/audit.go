package bus

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"

	"whatchanged/pkg/change"
)

// AuditWriter is the durable consumer of AUDIT.
const AuditWriter = "audit-writer"

// AuditFrame is records of our own audit trail, of one kind.
type AuditFrame struct {
	Kind    string            `json:"kind"`
	Records []json.RawMessage `json:"records"`
}

// PublishAudit stores records of a kind, once: it returns nil when they are on
// disk. The name makes trying again harmless.
func (b *Bus) PublishAudit(ctx context.Context, kind, name string, records []json.RawMessage) error {
	raw, err := json.Marshal(AuditFrame{Kind: kind, Records: records})
	if err != nil {
		return fmt.Errorf("encode audit records: %w", err)
	}
	msg := nats.NewMsg("audit." + kind)
	msg.Data = seal(nil, raw)
	if len(msg.Data) > b.maxFrame {
		return fmt.Errorf("%w: audit records have %d bytes, at most %d", change.ErrMalformed, len(msg.Data), b.maxFrame)
	}
	msg.Header.Set(nats.MsgIdHdr, name)
	if err := b.publishOnce(ctx, msg); err != nil {
		if isFull(err) {
			b.metrics.alarms.WithLabelValues(alarmFull).Inc()
		}
		return fmt.Errorf("publish %d audit records: %w", len(records), err)
	}
	return nil
}

// ConsumeAuditBatches is ConsumeDeliveryBatches for records of the audit trail.
func (b *Bus) ConsumeAuditBatches(ctx context.Context, durable string, lim BatchLimit, h func(context.Context, []*AuditFrame) error) error {
	return consumeBatches(ctx, b, batches[*AuditFrame]{
		stream: Audit, durable: durable, limit: lim, handle: h,
		open:    func(_ nats.Header, data []byte) (*AuditFrame, error) { return openAudit(data) },
		records: func(f *AuditFrame) int { return len(f.Records) },
		ref:     func(*AuditFrame) FrameRef { return FrameRef{} },
	})
}

// AuditFrames hands the frames of the audit trail that are stored now to h, in
// order. What is unreadable is left out: its consumer reports it.
func (b *Bus) AuditFrames(ctx context.Context, h func(*AuditFrame) error) error {
	return b.read(ctx, reading{stream: Audit}, func(s stored) error {
		f, err := openAudit(s.data)
		if err != nil {
			return nil //nolint:nilerr // a dead letter by the consumer
		}
		return h(f)
	})
}

func openAudit(data []byte) (*AuditFrame, error) {
	raw, err := unseal(data)
	if err != nil {
		return nil, err
	}
	f := &AuditFrame{}
	if err := json.Unmarshal(raw, f); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return f, nil
}
