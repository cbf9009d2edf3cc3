package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of times in /proc: USER_HZ, 100 on every Linux that
// Go runs on.
const clockTick = 10 * time.Millisecond

// usage is what a process has used so far, as /proc tells it.
type usage struct {
	cpu      time.Duration
	threads  map[string]time.Duration // by the thread's name; those that ended are not in it
	resident int64                    // bytes, now
	peak     int64                    // bytes, the most ever
}

// readUsage reads /proc/<pid>. Without a /proc (not on Linux) it is an error.
func readUsage(pid int) (usage, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return usage{}, fmt.Errorf("read process statistics: %w", err)
	}
	var u usage
	if _, u.cpu, err = parseStat(stat); err != nil {
		return usage{}, err
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return usage{}, fmt.Errorf("read process statistics: %w", err)
	}
	u.resident, u.peak = parseStatus(status)
	tasks, err := filepath.Glob(filepath.Join(dir, "task", "*", "stat"))
	if err != nil {
		return usage{}, err
	}
	u.threads = map[string]time.Duration{}
	for _, task := range tasks {
		stat, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has just ended
		}
		name, cpu, err := parseStat(stat)
		if err != nil {
			return usage{}, err
		}
		u.threads[name] += cpu
	}
	return u, nil
}

// parseStat reads a stat file: "pid (name) state ...", where utime and stime
// are fields 14 and 15. The name may hold anything, a parenthesis too.
func parseStat(b []byte) (name string, cpu time.Duration, err error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return "", 0, fmt.Errorf("read process statistics: no name in %q", cut(b, 80))
	}
	fields := strings.Fields(string(b[end+1:])) // from field 3 on
	if len(fields) < 13 {
		return "", 0, fmt.Errorf("read process statistics: %d fields", len(fields))
	}
	for _, f := range fields[11:13] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return "", 0, fmt.Errorf("read process statistics: %w", err)
		}
		cpu += time.Duration(ticks) * clockTick
	}
	return string(b[open+1 : end]), cpu, nil
}

// parseStatus reads VmRSS and VmHWM of a status file, in bytes.
func parseStatus(b []byte) (resident, peak int64) {
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			resident = kb << 10
		case "VmHWM":
			peak = kb << 10
		}
	}
	return resident, peak
}

// since returns what was used between two readings, by group of threads: those
// of the program itself, those of the database engine (which names its own),
// and those that ended meanwhile.
func (u usage) since(before usage, program string) (total time.Duration, groups map[string]time.Duration) {
	total = u.cpu - before.cpu
	groups = map[string]time.Duration{}
	var named time.Duration
	for name, cpu := range u.threads {
		used := max(cpu-before.threads[name], 0)
		named += used
		if strings.HasPrefix(program, name) { // the kernel cuts names to 15 bytes
			groups["program"] += used
		} else {
			groups["engine"] += used
		}
	}
	groups["ended"] = max(total-named, 0)
	return total, groups
}

// diskUsage adds up what the files under dir take on the disk.
func diskUsage(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // merged or trimmed away while we looked
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		total += allocated(info)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("disk usage: %w", err)
	}
	return total, nil
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
