package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/store"
)

// The tiers that a delivery passes.
const (
	tierReceiver   = "receiver"
	tierNATS       = "NATS"
	tierNormalizer = "normalizer"
	tierWriter     = "writer"
	tierClickHouse = "ClickHouse"
)

func tiers() []string {
	return []string{tierReceiver, tierNATS, tierNormalizer, tierWriter, tierClickHouse}
}

// tierOf says where a stage of the profile runs once the services are apart;
// "" is what all of our own processes share: the runtime, the client of NATS.
func tierOf(stage string) string {
	switch {
	case stage == "http" || stage == "committer":
		return tierReceiver
	case strings.HasPrefix(stage, "github.com/nats-io/nats-server/") || strings.HasPrefix(stage, "github.com/minio/highwayhash"):
		return tierNATS
	case strings.HasPrefix(stage, "normalizer") || stage == "fetcher":
		return tierNormalizer
	case slices.Contains([]string{"writer", "raw-writer", "audit-writer", "counter", "auditor", "reconciler", "accountant", "trimmer"}, stage):
		return tierWriter
	case stage == "engine":
		return tierClickHouse
	}
	return ""
}

// Constant is a figure of the model that a run does not measure.
type Constant struct {
	Name   string
	Value  float64
	Unit   string
	Source string // who says so
}

// The figures that no run measures. Those of the code are compared with it by
// a test; a choice is the reader's to change.
var (
	machineCores   = Constant{"machine_cores", 8, "cores", "a choice: the size of all machines"}
	utilisation    = Constant{"utilisation", 0.5, "of a core", "a choice: room for peaks, for a machine that is away, for merges of large parts, and for what sockets between split services cost, which no run has measured"}
	machineNetwork = Constant{"machine_network", 10, "Gbit/s", "a choice: what a machine of that size is sold with"}
	busReplicas    = Constant{"bus_replicas", 3, "copies", "a choice: docs/operating/nats.md"}
	storeReplicas  = Constant{"store_replicas", 3, "copies", "a choice: docs/operating/clickhouse.md"}
	frameRecords   = Constant{"frame_records", 1000, "deliveries", "the code: pkg/bus, most of a frame"}
	frameBytes     = Constant{"frame_bytes", 4 << 20, "bytes", "the code: pkg/bus, most of a frame before compression"}
	framePace      = Constant{"frame_pace", 2, "ms", "the code: pkg/bus, between the beginnings of two frames of a publisher"}
	writerWait     = Constant{"writer_wait", 300, "ms", "the code: services/writer, how long a batch waits for more"}
	busKept        = Constant{"bus_kept", bus.KeepStored.Hours() / 24, "days", "the code: pkg/bus, what is stored stays on the bus where bus.max_bytes allows"}
	payloadsKept   = Constant{"payloads_kept", float64(store.DefaultConfig().PayloadDays), "days", "the default of store.payload_days"}
	consumersRead  = Constant{"bus_reads", 2, "times", "the code: deliveries go to the normalizer and the raw writer; results, counted as if they did too, to one"}
	partsDelay     = Constant{"parts_to_delay_insert", 1000, "parts", "ClickHouse's documented default: beyond it in a partition, inserts are slowed down"}
)

func constants() []Constant {
	return []Constant{
		machineCores, utilisation, machineNetwork, busReplicas, storeReplicas, frameRecords, frameBytes, framePace,
		writerWait, busKept, payloadsKept, consumersRead, partsDelay,
	}
}

// Model turns what a run measured into machines.
type Model struct {
	CPU             map[string]float64 // µs a delivery, by tier
	PayloadBytes    float64            // a delivery, as it comes in
	BusBytes        float64            // a delivery, all streams, one copy
	ClickHouseBytes float64            // a delivery, all tables, one copy
	WrittenAgain    float64            // bytes that merges wrote, to those that stayed
	Rows            float64            // a delivery, all tables
	StreamMessages  float64            // a second that one stream fsyncs
	StreamPayloads  float64            // a second that one stream takes in frames
	AckMillis       float64            // of a frame, the middle
	ReceiverRate    float64            // of one receiver, on the machine of the run
	StoredRate      float64            // of everything on the machine of the run, the generator beside it
	Machine         Machine
}

// NewModel reads the costs out of a report. The parts pipeline, publish and
// receiver must have run.
func NewModel(r *Report) (*Model, error) {
	p := r.Pipeline
	if p == nil || r.Publish == nil || r.Receiver == nil || p.StoredRate == 0 || p.ServerCPU == 0 {
		return nil, errors.New("the model needs a run with the parts publish, receiver and pipeline")
	}
	m := &Model{
		CPU:          make(map[string]float64),
		PayloadBytes: float64(r.Payload.Bytes), BusBytes: p.Disk.Bus, ClickHouseBytes: p.Disk.ClickHouse,
		WrittenAgain: p.Disk.Merged / p.Disk.ClickHouse, Rows: p.RowsRate / p.StoredRate,
		StreamMessages: r.Publish.Single.Rate, StreamPayloads: r.Publish.Frames.Rate, AckMillis: r.Publish.Frames.Latency.P50,
		ReceiverRate: r.Receiver.Rate, StoredRate: p.StoredRate, Machine: r.Machine,
	}
	var seen, common, ours float64
	for _, s := range p.Stages {
		seen += s.CPU
		switch tier := tierOf(s.Name); tier {
		case "":
			common += s.CPU
		case tierClickHouse:
			m.CPU[tier] += s.CPU
		default:
			m.CPU[tier] += s.CPU
			ours += s.CPU
		}
	}
	if ours == 0 {
		return nil, errors.New("the model needs the CPU by stage, which the run does not have")
	}
	for tier, cpu := range m.CPU {
		if tier != tierClickHouse {
			cpu += common * cpu / ours // by what each does
		}
		m.CPU[tier] = cpu * p.ServerCPU / seen // the profile misses a little
	}
	return m, nil
}

// Need is what a rate takes.
type Need struct {
	Rate     float64
	Cores    map[string]float64 // by tier, busy
	Machines map[string]int     // by tier
	Cells    int                // installations, each with a bus of its own
	Shards   int                // of ClickHouse, in all
	PeakBits float64            // a second into the receivers
	BusHour  float64            // bytes that an hour without ClickHouse adds to the bus, one copy
	StoreDay float64            // bytes a day in ClickHouse, one copy
}

// cellRate is what one bus takes: the rate that one stream reached in frames,
// with the room that all tiers have, or what the cores of a server allow.
func (m *Model) cellRate() float64 {
	byCores := machineCores.Value * 1e6 / m.CPU[tierNATS]
	copies := 1 + (busReplicas.Value - 1) + consumersRead.Value
	byNetwork := machineNetwork.Value * 1e9 / 8 / (m.BusBytes * copies)
	return utilisation.Value * min(m.StreamPayloads, byCores, byNetwork)
}

// frameMost is how many deliveries fit into a frame.
func (m *Model) frameMost() float64 {
	return min(frameRecords.Value, math.Floor(frameBytes.Value/m.PayloadBytes))
}

// at works out what a rate takes.
func (m *Model) at(rate float64) Need {
	n := Need{
		Rate: rate, Cores: make(map[string]float64), Machines: make(map[string]int),
		Cells: int(math.Ceil(rate / m.cellRate())), PeakBits: rate * m.PayloadBytes * 8,
		BusHour: rate * m.BusBytes * 3600, StoreDay: rate * m.ClickHouseBytes * 86400,
	}
	perMachine := machineCores.Value * utilisation.Value
	for _, tier := range tiers() {
		n.Cores[tier] = rate * m.CPU[tier] / 1e6
		n.Machines[tier] = max(2, int(math.Ceil(n.Cores[tier]/perMachine)))
	}
	n.Machines[tierReceiver] = max(n.Machines[tierReceiver], int(math.Ceil(n.PeakBits/(machineNetwork.Value*1e9*utilisation.Value))))
	n.Machines[tierNATS] = n.Cells * int(busReplicas.Value)
	n.Shards = max(n.Cells, int(math.Ceil(n.Cores[tierClickHouse]/perMachine)))
	n.Machines[tierClickHouse] = n.Shards * int(storeReplicas.Value)
	return n
}

// limits says what each step reaches, and what lifts it.
func (m *Model) limits(n Need) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	normalizers := n.Cores[tierNormalizer] / utilisation.Value
	if busy := n.Rate * m.totalCPU() / 1e6; busy <= machineCores.Value*utilisation.Value && normalizers <= 1 {
		say("none: one machine carries it (`serve`, %.1f busy cores); more are only for what must stay up", busy)
	}
	if normalizers > 1 {
		say("a normalizer works on one batch of a lane at a time, on one core: %.0f processes", math.Ceil(normalizers))
	}
	if n.Cells > 1 {
		say("one stream takes %s/s: %d installations, each with a bus of its own and some of the orgs", count(m.cellRate()), n.Cells)
	}
	if n.Shards > 1 {
		say("ClickHouse's inserts and merges keep %.0f cores busy: %d shards, one an installation at least", n.Cores[tierClickHouse], n.Shards)
	}
	if links := n.PeakBits / (machineNetwork.Value * 1e9 * utilisation.Value); links > 1 {
		say("%.0f Gbit/s come in: %.0f receivers for the network alone", n.PeakBits/1e9, math.Ceil(links))
	}
	return out
}

func (m *Model) totalCPU() float64 {
	var sum float64
	for _, cpu := range m.CPU {
		sum += cpu
	}
	return sum
}

// rates are those that the model is shown for.
func rates() []float64 { return []float64{1e3, 1e4, 1e5, 1e6} }

// write prints the model as Markdown whose columns line up.
func (m *Model) write(out io.Writer) error {
	d := &document{out: out}
	d.line("### What a delivery costs")
	d.line("")
	d.line("Measured on %d cores %s, fsync %.2f ms, everything in one process, bodies of %s bytes.",
		m.Machine.CPUs, m.Machine.CPU, m.Machine.Fsync, count(m.PayloadBytes))
	d.line("")
	rows := [][]string{{"cost", "a delivery"}}
	for _, tier := range tiers() {
		rows = append(rows, []string{"CPU, " + tier, fmt.Sprintf("%.0f µs", m.CPU[tier])})
	}
	rows = append(rows,
		[]string{"CPU, all", fmt.Sprintf("%.0f µs", m.totalCPU())},
		[]string{"requests", "1"},
		[]string{"bytes on the bus, one copy", count(m.BusBytes)},
		[]string{"bytes in ClickHouse, one copy", count(m.ClickHouseBytes)},
		[]string{"bytes that merges wrote within the run", count(m.WrittenAgain * m.ClickHouseBytes)},
		[]string{"rows in ClickHouse, all tables", fmt.Sprintf("%.1f", m.Rows)},
	)
	d.table(rows)
	d.line("")
	d.line("### Machines")
	d.line("")
	head := append([]string{"deliveries/s"}, tiers()...)
	rows = [][]string{append(head, "all", "busy cores", "installations", "shards", "in, Gbit/s")}
	for _, rate := range rates() {
		n, sum := m.at(rate), 0
		row := []string{count(rate)}
		for _, tier := range tiers() {
			row = append(row, fmt.Sprint(n.Machines[tier]))
			sum += n.Machines[tier]
		}
		rows = append(rows, append(row, fmt.Sprint(sum), fmt.Sprintf("%.1f", rate*m.totalCPU()/1e6),
			fmt.Sprint(n.Cells), fmt.Sprint(n.Shards), fmt.Sprintf("%.2f", n.PeakBits/1e9)))
	}
	d.table(rows)
	d.line("")
	d.line("### Storage, in GB, all copies")
	d.line("")
	rows = [][]string{{"deliveries/s", "bus, an hour behind", "bus, all of `bus_kept`", "ClickHouse, a day", "ClickHouse, all of `payloads_kept`"}}
	for _, rate := range rates() {
		n := m.at(rate)
		hour, day := n.BusHour*busReplicas.Value, n.StoreDay*storeReplicas.Value
		rows = append(rows, []string{count(rate), gb(hour), gb(hour * 24 * busKept.Value), gb(day), gb(day * payloadsKept.Value)})
	}
	d.table(rows)
	d.line("")
	d.line("### Limits at each step")
	d.line("")
	rows = [][]string{{"deliveries/s", "what is reached, and what it takes"}}
	for _, rate := range rates() {
		rows = append(rows, []string{count(rate), strings.Join(m.limits(m.at(rate)), "; ")})
	}
	d.table(rows)
	d.line("")
	d.line("### Limits of single parts")
	d.line("")
	d.table([][]string{
		{"part", "limit", "from"},
		{"everything, on the machine of the run", count(m.StoredRate) + "/s", "measured (`pipeline`): stored, the generator on the same cores"},
		{"a receiver, on the machine of the run", count(m.ReceiverRate) + "/s", "measured (`receiver`), the generator beside it"},
		{"a frame", count(m.frameMost()) + " deliveries", "`frame_records`, `frame_bytes`, the payload's size"},
		{"a committer, by its pace", count(m.frameMost()*1000/max(framePace.Value, m.AckMillis)) + "/s", "a frame each `frame_pace`, or each acknowledgement (" + fmt.Sprintf("%.2f ms measured", m.AckMillis) + ") if that takes longer"},
		{"the acknowledgement at which the committer limits such a receiver", fmt.Sprintf("%.0f ms", m.frameMost()*1000/m.ReceiverRate), "a full frame to the receiver's rate"},
		{"a stream, messages", count(m.StreamMessages) + "/s", "measured (`publish`, single): an fsync each, one server"},
		{"publishers at their pace until a stream's fsyncs are the limit", count(math.Floor(m.StreamMessages * max(framePace.Value, m.AckMillis) / 1000)), "beyond it acknowledgements take longer and frames get fuller"},
		{"a stream, deliveries in frames", count(m.StreamPayloads) + "/s", "measured (`publish`, frames): one server, one publisher; copies are not measured"},
		{"a normalizer", count(1e6/m.CPU[tierNormalizer]) + "/s", "one batch of a lane at a time: a core"},
		{"a writer's inserts into a table", fmt.Sprintf("%.1f/s", 1000/writerWait.Value), "`writer_wait`"},
		{"merges may stand still, with two writers", count(partsDelay.Value*writerWait.Value/1000/2) + " s", "until a partition has `parts_to_delay_insert`"},
	})
	d.line("")
	d.line("### Constants")
	d.line("")
	rows = [][]string{{"name", "value", "source"}}
	for _, c := range constants() {
		rows = append(rows, []string{"`" + c.Name + "`", value(c), c.Source})
	}
	d.table(rows)
	return d.err
}

// document writes lines; the first error is kept.
type document struct {
	out io.Writer
	err error
}

func (d *document) line(format string, args ...any) {
	if _, err := fmt.Fprintf(d.out, format+"\n", args...); d.err == nil {
		d.err = err
	}
}

// table writes rows, the first of them the head.
func (d *document) table(rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		var b strings.Builder
		for j, cell := range row {
			b.WriteString("| " + cell + strings.Repeat(" ", width[j]-utf8.RuneCountInString(cell)) + " ")
		}
		d.line("%s|", b.String())
		if i == 0 {
			d.line("|%s", strings.Repeat("---|", len(row)))
		}
	}
}

// count writes a number with commas.
func count(f float64) string {
	s := fmt.Sprintf("%.0f", f)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func gb(bytes float64) string {
	if bytes < 1e10 {
		return fmt.Sprintf("%.1f", bytes/1e9)
	}
	return count(bytes / 1e9)
}

func value(c Constant) string {
	if c.Value < 1 {
		return fmt.Sprintf("%g %s", c.Value, c.Unit)
	}
	return count(c.Value) + " " + c.Unit
}

// readReport reads what --json printed.
func readReport(path string) (*Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a run's figures: %w", err)
	}
	var r Report
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: not what `whatchanged bench --json` prints: %w", path, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%s: its schema is %q, not %s", path, r.Schema, Schema)
	}
	return &r, nil
}
