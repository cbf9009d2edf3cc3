package bus

import (
	"fmt"
	"io/fs"
	"path/filepath"

	"whatchanged/pkg/durable"
)

const (
	defaultMaxBytes = 10 << 30
	minMaxBytes     = 1 << 20
	leastReserve    = 2 << 30
)

// reserve is what must stay free: as configured, or a share of the volume.
func reserve(v durable.Volume, configured int64) int64 {
	if configured > 0 {
		return configured
	}
	return max(leastReserve, v.Size/20)
}

// embeddedMaxBytes decides what DELIVERIES may hold, so that the whole budget
// stays within 80 % of the volume less the reserve.
func embeddedMaxBytes(cfg Config) (int64, error) {
	v, err := durable.VolumeOf(cfg.Dir)
	if err != nil {
		return 0, err
	}
	ceiling := v.Size/5*4 - reserve(v, cfg.DiskReserve)
	if cfg.MaxBytes > 0 {
		if want := budget(cfg.MaxBytes); want > ceiling {
			return 0, fmt.Errorf("max_bytes of %d makes a bus of %d bytes, but the volume has room for %d: "+
				"80 %% of it less the reserve", cfg.MaxBytes, want, ceiling)
		}
		return cfg.MaxBytes, nil
	}
	used, err := usedBy(cfg.Dir) // ours already: counts as free
	if err != nil {
		return 0, err
	}
	share := min(defaultMaxBytes, (v.Free+used)/2, (ceiling-smallStreams)/100*60)
	if share < minMaxBytes {
		return 0, fmt.Errorf("the volume of %s has room for a bus of %d bytes only: free some space", cfg.Dir, max(share, 0))
	}
	return share, nil
}

func usedBy(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure the bus directory: %w", err)
	}
	return sum, nil
}
