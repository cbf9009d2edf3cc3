package main

import (
	"strings"
	"testing"

	"whatchanged/pkg/bus"
)

// Each way in which servers can be less than whole has a finding that says what
// to do.
func TestDoctor_SaysWhatIsWrongWithNATS(t *testing.T) {
	yes, no := true, false
	stream := func(change func(*bus.StreamStatus)) bus.StreamStatus {
		s := bus.StreamStatus{Name: bus.Deliveries, Replicas: 3, Leader: "nats-0"}
		change(&s)
		return s
	}
	for name, tt := range map[string]struct {
		in     bus.Inspection
		result string
		want   string
	}{
		"whole": {bus.Inspection{Streams: []bus.StreamStatus{stream(func(*bus.StreamStatus) {})}}, fine, "1 streams are whole"},
		"away": {bus.Inspection{Streams: []bus.StreamStatus{stream(func(s *bus.StreamStatus) { s.Missing = []string{"nats-2"} })}},
			warns, "server nats-2 is away: DELIVERIES lack a copy"},
		"behind": {bus.Inspection{Streams: []bus.StreamStatus{stream(func(s *bus.StreamStatus) { s.Lagging = []string{"nats-1"} })}},
			warns, "server nats-1 is behind on DELIVERIES"},
		"no leader":      {bus.Inspection{Streams: []bus.StreamStatus{stream(func(s *bus.StreamStatus) { s.Leader = "" })}}, fails, "no leader"},
		"silent":         {bus.Inspection{Silent: []string{bus.Changes}}, fails, "CHANGES: nobody leads them"},
		"absent":         {bus.Inspection{Absent: []string{bus.Fetch}}, fails, "FETCH: not there"},
		"one copy":       {bus.Inspection{Streams: []bus.StreamStatus{stream(func(s *bus.StreamStatus) { s.Replicas = 1 })}}, warns, "fewer than three copies"},
		"not told":       {bus.Inspection{}, warns, "do not tell this user"},
		"no fsync":       {bus.Inspection{Servers: []bus.ServerStatus{{Name: "a", SyncAlways: &yes}, {Name: "b", SyncAlways: &no}}}, fails, "b acknowledge before"},
		"mixed":          {bus.Inspection{Servers: []bus.ServerStatus{{Name: "a", Version: "2.15.1"}, {Name: "b", Version: "2.15.2"}}}, warns, "2.15.1 (a), 2.15.2 (b)"},
		"small messages": {bus.Inspection{MaxPayload: 1 << 20, MaxRecord: 1 << 20}, warns, "max_payload is 1048576 bytes"},
		"large messages": {bus.Inspection{MaxPayload: 32 << 20, MaxRecord: 32 << 20}, fine, "fit in a message"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.in.Cluster = "whatchanged"
			d := &doctor{}
			d.checkNATSServers(tt.in)
			d.checkStreams(tt.in)
			d.checkPayload(tt.in, DefaultConfig())
			for _, f := range d.findings {
				if strings.Contains(f.Detail, tt.want) {
					if f.Result != tt.result || (f.Do == "") != (f.Result == fine) {
						t.Errorf("%+v, want %s", f, tt.result)
					}
					return
				}
			}
			t.Errorf("nothing says %q: %+v", tt.want, d.findings)
		})
	}
}
