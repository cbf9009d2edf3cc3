// Package fair keeps one org from being in the way of the others. At the door it
// counts what each org sends: over its limits an org is refused, and while there is
// more to do than can be done at once, an org far above its share goes to the lane
// bulk, where it waits for itself alone. It looks nothing up on the way of a
// request: what it decides by is brought up to date beside it.
package fair

import (
	"errors"
	"fmt"

	"whatchanged/pkg/registry"
)

// Config has the limits of orgs whose own record sets none, and says when an org
// is far above its share.
type Config struct {
	// OrgRate is how many requests a second one org may send to a process; 0 sets no limit.
	OrgRate int
	// OrgBurst is how many of them it may send at once; 0 is twice the rate.
	OrgBurst int
	// OrgBytes is how many bytes of bodies a second one org may send to a process; 0 sets no limit.
	OrgBytes int
	// OrgByteBurst is how many of them it may send at once; 0 is twice the rate.
	OrgByteBurst int
	// OrgQuota is how many bytes may be stored of one org; 0 sets no limit.
	OrgQuota int
	// BusyRate is how many deliveries a second a process may take before orgs above
	// their share go to the lane bulk, even if nothing waits yet. A delivery counts
	// once for each 8 KiB of its body.
	BusyRate int
	// Share is how many times as much as the mean of those who send less an org may
	// send before it counts as above its share.
	Share int
}

// DefaultConfig sets no limits, and keeps a flood apart.
func DefaultConfig() Config { return Config{BusyRate: 200, Share: 4} }

// Quota returns how many bytes may be stored of an org, by its record or else the
// configuration; not more than 0 is no quota.
func (c Config) Quota(record *registry.Org) int64 {
	if record != nil && record.QuotaBytes != 0 {
		return record.QuotaBytes
	}
	return int64(c.OrgQuota)
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	for name, n := range map[string]int{
		"org_rate": c.OrgRate, "org_burst": c.OrgBurst, "org_bytes": c.OrgBytes, "org_byte_burst": c.OrgByteBurst, "org_quota": c.OrgQuota,
	} {
		if n < 0 {
			faults = append(faults, fmt.Errorf("%s: must not be negative", name))
		}
	}
	if c.BusyRate < 1 {
		faults = append(faults, errors.New("busy_rate: must be at least 1"))
	}
	if c.Share < 2 {
		faults = append(faults, errors.New("share: must be at least 2"))
	}
	return errors.Join(faults...)
}
