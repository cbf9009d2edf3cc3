package registry

import (
	"context"
	"errors"
	"fmt"
	"math"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// Limits is how much an org may send to one process. Of each rate, 0 is what the
// configuration says, and -1 no limit; of each burst, 0 is twice the rate.
type Limits struct {
	Requests     int64 `json:"requests_per_second,omitempty"`
	RequestBurst int64 `json:"request_burst,omitempty"`
	Bytes        int64 `json:"bytes_per_second,omitempty"`
	ByteBurst    int64 `json:"byte_burst,omitempty"`
}

// Retention is how many days what is stored of an org stays; 0 is for ever, but
// for payloads, which go when the configuration says, if not before.
type Retention struct {
	ChangeDays   int `json:"change_days,omitempty"`
	DeliveryDays int `json:"delivery_days,omitempty"`
	PayloadDays  int `json:"payload_days,omitempty"`
}

// Usage is how much is stored of an org that has a quota, as it was measured last.
type Usage struct {
	ID         string      `json:"id"` // the org's
	Org        string      `json:"org"`
	Bytes      int64       `json:"bytes"`
	MeasuredAt change.Time `json:"measured_at"`
}

// MinRetention is the fewest days: what is on the bus for a week is compared with
// what is stored, and would be stored again.
const MinRetention = 14

const (
	maxRetention = 36_500  // days
	maxLimit     = 1 << 40 // a second
	maxQuota     = 1 << 60 // bytes
	maxBurst     = math.MaxInt32
)

func (o *Org) validate() error {
	if !orgForm.MatchString(o.ID) {
		return problem.Invalid("id", "1 to 64 letters, digits, - or _")
	}
	if err := line("name", o.Name, maxName, true); err != nil {
		return err
	}
	for _, l := range []struct {
		field       string
		value, most int64
		least       int64
	}{
		{"requests_per_second", o.Limits.Requests, maxBurst / 2, -1},
		{"request_burst", o.Limits.RequestBurst, maxBurst, 0},
		{"bytes_per_second", o.Limits.Bytes, maxLimit, -1},
		{"byte_burst", o.Limits.ByteBurst, 2 * maxLimit, 0},
		{"quota_bytes", o.QuotaBytes, maxQuota, -1},
	} {
		if l.value < l.least || l.value > l.most {
			return problem.Invalid(l.field, fmt.Sprintf("%s must be between %d and %d", l.field, l.least, l.most))
		}
	}
	for field, days := range map[string]int{
		"change_days": o.Retention.ChangeDays, "delivery_days": o.Retention.DeliveryDays, "payload_days": o.Retention.PayloadDays,
	} {
		if days != 0 && (days < MinRetention || days > maxRetention) {
			return problem.Invalid(field, fmt.Sprintf("%s must be 0 or between %d and %d", field, MinRetention, maxRetention))
		}
	}
	return nil
}

// UpdateOrg changes an org: edit gets a copy, may be called several times and
// must not touch ID.
func (r *Registry) UpdateOrg(ctx context.Context, id string, edit func(*Org) error) (Org, error) {
	return update(ctx, r, kindOrg, id, id, orgsOf, func(o *Org) error {
		kept := *o
		if err := edit(o); err != nil {
			return err
		}
		o.ID, o.CreatedAt = kept.ID, kept.CreatedAt
		return o.validate()
	})
}

// Usage returns how much is stored of an org, if that was measured.
func (r *Registry) Usage(org string) (*Usage, bool) { return r.view.Load().usages.get(org, org) }

// SetUsage tells every process how much is stored of an org. The later word counts.
func (r *Registry) SetUsage(ctx context.Context, u Usage) error {
	u.ID = u.Org
	_, err := update(ctx, r, kindUsage, u.Org, u.Org, usagesOf, func(old *Usage) error {
		*old = u
		return nil
	})
	if p, ok := errors.AsType[*problem.Error](err); ok && p.Kind == problem.NotFound {
		return r.create(ctx, kindUsage, u.Org, u.Org, u)
	}
	return err
}

func orgsOf(v *view) *table[Org]     { return &v.orgs }
func usagesOf(v *view) *table[Usage] { return &v.usages }
