package bench

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat_NameMayHoldAnything(t *testing.T) {
	name, cpu, err := parseStat([]byte("4711 (a) b (c)) S 1 4711 4711 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1234\n"))
	if err != nil {
		t.Fatal(err)
	}
	if name != "a) b (c)" || cpu != 3*time.Second {
		t.Errorf("got %q and %v", name, cpu)
	}
	for _, bad := range []string{"", "1 (x) S 1", "no name", "1 (x) S 1 1 1 0 -1 1 1 0 0 0 a b 0 0"} {
		if _, _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestParseStatus_ReadsMemory(t *testing.T) {
	resident, peak := parseStatus([]byte("Name:\twhatchanged\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t9\n"))
	if resident != 1<<20 || peak != 2<<20 {
		t.Errorf("resident %d, peak %d", resident, peak)
	}
}

func TestUsage_GroupsThreadsByWhoseTheyAre(t *testing.T) {
	before := usage{cpu: 10 * time.Second, threads: map[string]time.Duration{"whatchanged": 8 * time.Second, "MergeMutate": time.Second}}
	after := usage{cpu: 20 * time.Second, threads: map[string]time.Duration{"whatchanged": 13 * time.Second, "MergeMutate": 2 * time.Second, "BgSchPool": time.Second}}
	total, groups := after.since(before, "whatchanged")
	want := map[string]time.Duration{"program": 5 * time.Second, "engine": 2 * time.Second, "ended": 3 * time.Second}
	if diff := cmp.Diff(want, groups); diff != "" || total != 10*time.Second {
		t.Errorf("total %v, groups (-want +got)\n%s", total, diff)
	}
}

func TestParseRows_AddsNothingUp(t *testing.T) {
	rows, err := parseRows([]byte("# HELP x y\nwhatchanged_writer_rows_total{table=\"changes\"} 12\nwhatchanged_writer_rows_total{table=\"deliveries\"} 1.5e+06\nother 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int64{"changes": 12, "deliveries": 1_500_000}, rows); diff != "" {
		t.Errorf("rows (-want +got)\n%s", diff)
	}
	if _, err := parseRows([]byte("other 1\n")); err == nil {
		t.Error("no error where the metric is missing")
	}
}

func TestOwnEnvironment_LeavesInstallationsOut(t *testing.T) {
	got := ownEnvironment([]string{"PATH=/bin", "WHATCHANGED_BUS_URL=nats://production", "WHATCHANGED_LIBCHDB=/lib/libchdb.so"})
	if diff := cmp.Diff([]string{"PATH=/bin", "WHATCHANGED_LIBCHDB=/lib/libchdb.so"}, got); diff != "" {
		t.Errorf("environment (-want +got)\n%s", diff)
	}
}
