package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// disk is what a data directory takes, in bytes.
type disk struct {
	bus        int64
	clickhouse int64 // without merged parts
	merged     int64 // parts that a larger one replaced, and that go after some minutes
}

func (in *installation) disk() (disk, error) {
	entries, err := os.ReadDir(in.dir)
	if err != nil {
		return disk{}, fmt.Errorf("disk usage: %w", err)
	}
	var d disk
	for _, e := range entries {
		live, merged, err := diskUsage(filepath.Join(in.dir, e.Name()))
		if err != nil {
			return disk{}, err
		}
		if e.Name() == "clickhouse" {
			d.clickhouse += live
			d.merged += merged
		} else {
			d.bus += live + merged
		}
	}
	return d, nil
}

// part is a directory of ClickHouse's: the blocks that it holds, by name.
type part struct {
	table, partition string
	first, last      int
	level            int
	size             int64
}

// partName is partition_first_last_level, or with a mutation's number after.
var partName = regexp.MustCompile(`^(\d+|all|[0-9a-f]{32})_(\d+)_(\d+)_(\d+)(?:_\d+)?$`)

// diskUsage adds up what the files under dir take on the disk. What is in
// parts that another part of the same table has merged is counted apart.
func diskUsage(dir string) (live, merged int64, err error) {
	parts := map[string]*part{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // merged or trimmed away while we looked
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p, ok := parsePart(path); ok {
				parts[path] = p
			}
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if p, ok := parts[filepath.Dir(path)]; ok {
			p.size += allocated(info)
		} else {
			live += allocated(info)
		}
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("disk usage: %w", err)
	}
	tables := map[string][]*part{}
	for _, p := range parts {
		key := p.table + "/" + p.partition
		tables[key] = append(tables[key], p)
	}
	for _, of := range tables {
		for _, p := range of {
			if replaced(p, of) {
				merged += p.size
			} else {
				live += p.size
			}
		}
	}
	return live, merged, nil
}

func parsePart(path string) (*part, bool) {
	m := partName.FindStringSubmatch(filepath.Base(path))
	if m == nil {
		return nil, false
	}
	p := &part{table: filepath.Dir(path), partition: m[1]}
	for i, into := range []*int{&p.first, &p.last, &p.level} {
		n, err := strconv.Atoi(m[i+2])
		if err != nil {
			return nil, false
		}
		*into = n
	}
	return p, true
}

// replaced reports whether one of the others was merged out of p and more.
func replaced(p *part, others []*part) bool {
	for _, o := range others {
		if o != p && o.first <= p.first && o.last >= p.last && o.level > p.level {
			return true
		}
	}
	return false
}

// allocated is what a file takes on the disk, which differs from its length
// where a store reserves space or leaves holes.
func allocated(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Blocks) * 512
	}
	return info.Size()
}

// fsyncTime is the middle of some fsyncs of 4 KiB in dir: what a write that
// must survive costs on this disk.
func fsyncTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return 0, fmt.Errorf("measure fsync: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var h histogram
	block := make([]byte, 4<<10)
	for begin := time.Now(); h.n < 200 && time.Since(begin) < time.Second; {
		if _, err := f.Write(block); err != nil {
			return 0, fmt.Errorf("measure fsync: %w", err)
		}
		at := time.Now()
		if err := f.Sync(); err != nil {
			return 0, fmt.Errorf("measure fsync: %w", err)
		}
		h.add(time.Since(at))
	}
	return h.percentile(0.5), nil
}
