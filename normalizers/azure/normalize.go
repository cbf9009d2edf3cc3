// Package azure makes changes of what Azure sends: the Activity Log as
// diagnostic settings stream it, as the REST API shows it and as alerts wrap
// it; Event Grid's events; Microsoft Entra's audit log; and alerts. It leaves
// out reads, resource logs and data events.
package azure

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
)

// Normalizer reads Azure's records.
type Normalizer struct{}

// New returns the normalizer.
func New() Normalizer { return Normalizer{} }

// Provider returns "azure".
func (Normalizer) Provider() string { return "azure" }

// Version counts the changes of what this normalizer makes of the same record.
func (Normalizer) Version() int { return 2 }

// Normalize makes at most one change of a record.
func (Normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	v := gjson.ParseBytes(r.JSON)
	switch {
	case v.Get("schemaId").String() == "azureMonitorCommonAlertSchema":
		return fromCommonAlert(v), nil
	case v.Get("schemaId").Exists() && v.Get("data").IsObject():
		return fromLegacyAlert(v), nil
	case v.Get("eventType").Exists() || v.Get("specversion").Exists():
		return fromEventGrid(parseGridEvent(v)), nil
	case v.Get("operationName").Exists():
		if strings.EqualFold(v.Get("category").String(), "AuditLogs") {
			return fromDirectory(v), nil
		}
		return fromActivityLog(activityLog(v), new(normalizers.Meta)), nil
	}
	return normalizers.Ignore("not a record of the Activity Log, Event Grid or an alert"), nil
}
