package bench

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"whatchanged/pkg/telemetry"
)

// thisMachine describes where the bench runs; dir is on the disk it uses.
func thisMachine(dir string) (Machine, error) {
	fsync, err := fsyncTime(dir)
	if err != nil {
		return Machine{}, err
	}
	kb, _ := strconv.ParseInt(strings.TrimSuffix(procField("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	return Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), CPU: procField("/proc/cpuinfo", "model name"),
		Memory: kb << 10, Go: runtime.Version(), Version: telemetry.Version(), Fsync: ms(fsync),
	}, nil
}

// procField returns the first value of a field of a file of "name: value"
// lines, or "" where there is no such file.
func procField(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if field, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(field) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
