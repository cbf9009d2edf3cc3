package bus

import (
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	defaultMaxBytes = 10 << 30
	minMaxBytes     = 1 << 20
	leastReserve    = 2 << 30
)

// disk says how large a volume is, and what is free for us on it.
type disk struct{ size, free int64 }

func readDisk(dir string) (disk, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return disk{}, fmt.Errorf("read the free space of %s: %w", dir, err)
	}
	block := int64(st.Bsize) //nolint:unconvert // its type differs between systems
	return disk{size: int64(st.Blocks) * block, free: int64(st.Bavail) * block}, nil
}

// reserve is what must stay free: as configured, or a share of the volume.
func (d disk) reserve(configured int64) int64 {
	if configured > 0 {
		return configured
	}
	return max(leastReserve, d.size/20)
}

// embeddedMaxBytes decides what DELIVERIES may hold, so that the whole budget
// stays within 80 % of the volume less the reserve.
func embeddedMaxBytes(cfg Config) (int64, error) {
	d, err := readDisk(cfg.Dir)
	if err != nil {
		return 0, err
	}
	ceiling := d.size/5*4 - d.reserve(cfg.DiskReserve)
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
	share := min(defaultMaxBytes, (d.free+used)/2, (ceiling-smallStreams)/100*60)
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
