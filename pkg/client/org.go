package client

import (
	"context"
	"net/http"

	"whatchanged/pkg/change"
)

// Org is the organisation that a key belongs to: what it may send and store, and how
// long that stays. A rate of 0 is what the installation's settings say, and -1 no limit.
type Org struct {
	ID                string      `json:"id" example:"acme"`
	Name              string      `json:"name" example:"Acme"`
	RequestsPerSecond int64       `json:"requests_per_second" doc:"It may send to one process; 0: as the installation says, -1: no limit" example:"0"`
	RequestBurst      int64       `json:"request_burst" doc:"At once; 0: twice the rate" example:"0"`
	BytesPerSecond    int64       `json:"bytes_per_second" doc:"Of bodies it may send to one process; 0: as the installation says, -1: no limit" example:"0"`
	ByteBurst         int64       `json:"byte_burst" doc:"At once; 0: twice the rate" example:"0"`
	QuotaBytes        int64       `json:"quota_bytes" doc:"It may have stored; 0: as the installation says, -1: no quota" example:"0"`
	ChangeDays        int         `json:"change_days" doc:"For which changes stay; 0: for ever" example:"0"`
	DeliveryDays      int         `json:"delivery_days" doc:"For which it stays known what arrived; 0: for ever" example:"0"`
	PayloadDays       int         `json:"payload_days" doc:"For which payloads stay; 0: as long as the installation keeps them" example:"0"`
	CreatedAt         change.Time `json:"created_at,omitzero" example:"2026-11-22T09:00:00.000Z"`
}

// OrgPatch changes what it names.
type OrgPatch struct {
	Name              *string `json:"name,omitempty" minLength:"1" maxLength:"200"`
	RequestsPerSecond *int64  `json:"requests_per_second,omitempty" doc:"0: as the installation says, -1: no limit"`
	RequestBurst      *int64  `json:"request_burst,omitempty" doc:"0: twice the rate"`
	BytesPerSecond    *int64  `json:"bytes_per_second,omitempty" doc:"0: as the installation says, -1: no limit"`
	ByteBurst         *int64  `json:"byte_burst,omitempty" doc:"0: twice the rate"`
	QuotaBytes        *int64  `json:"quota_bytes,omitempty" doc:"0: as the installation says, -1: no quota"`
	ChangeDays        *int    `json:"change_days,omitempty" doc:"0: for ever, else at least 14"`
	DeliveryDays      *int    `json:"delivery_days,omitempty" doc:"0: for ever, else at least 14"`
	PayloadDays       *int    `json:"payload_days,omitempty" doc:"0: as long as the installation keeps them, else at least 14"`
}

// NewOrg is an organisation to make.
type NewOrg struct {
	ID   string `json:"id" doc:"Letters, digits, - and _" pattern:"^[A-Za-z0-9_-]{1,64}$" patternDescription:"1 to 64 letters, digits, - or _" example:"acme"`
	Name string `json:"name" minLength:"1" maxLength:"200" example:"Acme"`
}

// MadeOrg is an organisation with its first key, which is shown here only.
type MadeOrg struct {
	Org
	APIKey string `json:"api_key" doc:"Shown once; it may do everything in the organisation" example:"wc_live_..."`
}

// OrgUsage is how much is stored of an organisation, as it was measured last.
type OrgUsage struct {
	Bytes      int64        `json:"bytes" doc:"Before compression" example:"73400320"`
	QuotaBytes int64        `json:"quota_bytes,omitempty" doc:"Left out when there is none" example:"107374182400"`
	MeasuredAt change.Time  `json:"measured_at,omitzero" doc:"Left out before the first time" example:"2026-11-22T09:00:00.000Z"`
	Tables     []TableUsage `json:"tables" nullable:"false"`
}

// TableUsage is what is stored in one table.
type TableUsage struct {
	Table string `json:"table" example:"payloads"`
	Rows  int64  `json:"rows" example:"25000"`
	Bytes int64  `json:"bytes" example:"52428800"`
}

// Org returns the key's organisation.
func (c *Client) Org(ctx context.Context) (Org, error) {
	return object[Org](ctx, c, http.MethodGet, "/api/v1/org", nil)
}

// UpdateOrg changes what the patch names of the key's organisation.
func (c *Client) UpdateOrg(ctx context.Context, in OrgPatch) (Org, error) {
	return object[Org](ctx, c, http.MethodPatch, "/api/v1/org", in)
}

// OrgUsage returns how much is stored of the key's organisation.
func (c *Client) OrgUsage(ctx context.Context) (OrgUsage, error) {
	return object[OrgUsage](ctx, c, http.MethodGet, "/api/v1/org/usage", nil)
}

// Orgs lists all organisations; it is for those of the org "default".
func (c *Client) Orgs(ctx context.Context) ([]Org, error) { return list[Org](ctx, c, "/api/v1/orgs") }

// CreateOrg makes an organisation and its first key, which is shown here only; it
// is for those of the org "default".
func (c *Client) CreateOrg(ctx context.Context, in NewOrg) (MadeOrg, error) {
	return object[MadeOrg](ctx, c, http.MethodPost, "/api/v1/orgs", in)
}

// UpdateAnyOrg changes what the patch names of an organisation; it is for those of
// the org "default".
func (c *Client) UpdateAnyOrg(ctx context.Context, id string, in OrgPatch) (Org, error) {
	return object[Org](ctx, c, http.MethodPatch, item("orgs", id), in)
}
