package writer

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
)

// AuditStore is where records of the audit trail go.
type AuditStore interface {
	InsertAuditEvents(context.Context, []audit.Event) error
	InsertUses(context.Context, []audit.Use) error
}

// limitAudit keeps what is read within a second of when it was done.
var limitAudit = bus.BatchLimit{
	Records: 20_000, Bytes: 4 << 20, Wait: 400 * time.Millisecond, Busy: 3000, Longest: 900 * time.Millisecond,
}

// RunAudit stores the audit trail until ctx ends.
func (w *Writer) RunAudit(ctx context.Context) error {
	return w.Bus.ConsumeAuditBatches(ctx, bus.AuditWriter, limitAudit, w.HandleAudit)
}

// HandleAudit inserts the records of frames. One that cannot be read, or that
// ClickHouse refuses for what it holds, goes to the dead letters, whole: it is
// nowhere else.
func (w *Writer) HandleAudit(ctx context.Context, frames []*bus.AuditFrame) error {
	var events, uses []json.RawMessage
	for _, f := range frames {
		switch f.Kind {
		case audit.Events:
			events = append(events, f.Records...)
		case audit.Uses:
			uses = append(uses, f.Records...)
		default:
			for _, raw := range f.Records {
				if err := w.buryRecord(ctx, f.Kind, raw, fmt.Errorf("there is no kind %q of records", f.Kind)); err != nil {
					return err
				}
			}
		}
	}
	if err := insertRecords(ctx, w, audit.Events, "audit_events", events, w.Audit.InsertAuditEvents); err != nil {
		return err
	}
	return insertRecords(ctx, w, audit.Uses, "token_uses", uses, w.Audit.InsertUses)
}

// insertRecords reads and inserts records; when ClickHouse refuses them for
// what they hold, it halves the work until the bad one is alone.
func insertRecords[T any](ctx context.Context, w *Writer, kind, table string, raw []json.RawMessage, insert func(context.Context, []T) error) error {
	records := make([]T, 0, len(raw))
	good := make([]json.RawMessage, 0, len(raw))
	for _, r := range raw {
		var record T
		if err := json.Unmarshal(r, &record); err != nil {
			if err := w.buryRecord(ctx, kind, r, err); err != nil {
				return err
			}
			continue
		}
		records, good = append(records, record), append(good, r)
	}
	if len(records) == 0 {
		return nil
	}
	err := insert(ctx, records)
	switch {
	case err == nil:
		w.metrics.rows.WithLabelValues(table).Add(float64(len(records)))
		return nil
	case !store.IsData(err):
		return fmt.Errorf("insert %d rows into %s: %w", len(records), table, err)
	case len(good) == 1:
		return w.buryRecord(ctx, kind, good[0], err)
	}
	half := len(good) / 2
	if err := insertRecords(ctx, w, kind, table, good[:half], insert); err != nil {
		return err
	}
	return insertRecords(ctx, w, kind, table, good[half:], insert)
}

func (w *Writer) buryRecord(ctx context.Context, kind string, raw json.RawMessage, cause error) error {
	var of struct {
		Org string `json:"org"`
	}
	_ = json.Unmarshal(raw, &of) // as far as it can be read
	letter := bus.DeadLetter{
		Stage: bus.StageInsert, Org: of.Org, Attempts: 1, At: change.At(time.Now()), Kind: kind, Bytes: raw,
		Reason: "an audit record cannot be stored", FirstError: cause.Error(), LastError: cause.Error(),
	}
	if err := w.Bus.PublishDead(ctx, letter); err != nil {
		return fmt.Errorf("store dead letter of an audit record: %w", err)
	}
	w.Log.Error("audit record cannot be stored", "org", of.Org, "error", cause)
	return nil
}
