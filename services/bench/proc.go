package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
// that bear the program's name, those of the database engine (which names its
// own), and those that ended meanwhile.
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
