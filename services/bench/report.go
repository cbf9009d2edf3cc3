package bench

import "time"

// Schema names the form of the report. Fields may be added under the same
// name; one that goes or changes its meaning takes a new one.
const Schema = "whatchanged-bench/1"

// Latency sums up many durations, in milliseconds.
type Latency struct {
	Count int     `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

// Report is what one run measured. A part that did not run is absent.
type Report struct {
	Schema       string        `json:"schema"`
	StartedAt    time.Time     `json:"started_at"`
	Seconds      float64       `json:"seconds"`
	Machine      Machine       `json:"machine"`
	Options      Options       `json:"options"`
	Payload      PayloadInfo   `json:"payload"`
	Noop         *Door         `json:"noop,omitempty"`
	Publish      *Publish      `json:"publish,omitempty"`
	Receiver     *Door         `json:"receiver,omitempty"`
	Acknowledged *Acknowledged `json:"acknowledged,omitempty"`
	Queryable    *Queryable    `json:"queryable,omitempty"`
	Pipeline     *Pipeline     `json:"pipeline,omitempty"`
	Maximum      *Maximum      `json:"maximum,omitempty"`
	Restart      *Restart      `json:"restart,omitempty"`
	Overload     *Overload     `json:"overload,omitempty"`
	Fairness     *Fairness     `json:"fairness,omitempty"`
	API          *API          `json:"api,omitempty"`
	Lists        *Lists        `json:"lists,omitempty"`
	Normalizers  []Normalizing `json:"normalizers,omitempty"`
	Targets      []Target      `json:"targets"`
}

// Normalizing is what one kind of delivery costs to normalize, on one core.
type Normalizing struct {
	Provider    string  `json:"provider"`
	Sample      string  `json:"sample"`
	Bytes       int     `json:"bytes"`
	Changes     int     `json:"changes"` // that it makes
	Cost        Cost    `json:"cost"`
	MBPerSecond float64 `json:"mb_per_second"`
	Decode      Cost    `json:"decode"` // encoding/json, into the provider's types
	ToDecode    float64 `json:"to_decode"`
}

// Cost is what doing something once costs.
type Cost struct {
	Micros float64 `json:"us"`
	Allocs float64 `json:"allocs"`
	Alloc  float64 `json:"alloc_bytes"`
}

// Machine is where it ran.
type Machine struct {
	OS      string  `json:"os"`
	Arch    string  `json:"arch"`
	CPUs    int     `json:"cpus"`
	CPU     string  `json:"cpu,omitempty"`
	Memory  int64   `json:"memory_bytes,omitempty"`
	Go      string  `json:"go"`
	Version string  `json:"version"`
	Fsync   float64 `json:"fsync_ms"` // the middle of 200
}

// Options is how it was run.
type Options struct {
	Duration    float64  `json:"duration_seconds"`
	Rate        float64  `json:"rate"`
	Connections int      `json:"connections"`
	Stages      []string `json:"stages"`
	Changes     int      `json:"changes"`
}

// PayloadInfo is what was sent.
type PayloadInfo struct {
	Kinds   int `json:"kinds"`       // different payloads
	Skipped int `json:"skipped"`     // files that could not be used
	Bytes   int `json:"bytes"`       // of a body, mean
	Fresh   int `json:"fresh_bytes"` // new text in each, the least
}

// Door is a server that accepts as fast as it can: medians of the rounds.
type Door struct {
	Rate         float64        `json:"rate"` // accepted a second
	Rounds       []float64      `json:"rounds"`
	Latency      Latency        `json:"latency"`
	Refused      map[string]int `json:"refused"`
	ServerCPU    float64        `json:"server_cpu_us"`    // a request
	GeneratorCPU float64        `json:"generator_cpu_us"` // a request
	Ratios       *Ratios        `json:"ratios,omitempty"`
}

// API is what logging changes by the API reaches, at full load, beside webhooks
// to the same process.
type API struct {
	Webhooks    Door    `json:"webhooks"`
	Single      Door    `json:"single"` // a change a request
	Bulk        Door    `json:"bulk"`   // BulkSize changes a request
	BulkSize    int     `json:"bulk_size"`
	BulkChanges float64 `json:"bulk_changes"` // changes a second
}

// Ratios compare with the limits of the same run: more is better for rates,
// less for times and CPU. Zero: its limit was not measured.
type Ratios struct {
	RateToNoop    float64 `json:"rate_to_noop"`
	RateToPublish float64 `json:"rate_to_publish"`
	RateToFrames  float64 `json:"rate_to_frames"`
	P50ToNoop     float64 `json:"p50_to_noop"`
	P99ToNoop     float64 `json:"p99_to_noop"`
	CPUToNoop     float64 `json:"cpu_to_noop"`
}

// Publish is raw JetStream with an fsync before every acknowledgement.
type Publish struct {
	Single Published `json:"single"` // a message a payload
	Frames Published `json:"frames"` // a message for Payloads of them
}

// Published is one way of publishing.
type Published struct {
	Publishers int     `json:"publishers"`
	Payloads   int     `json:"payloads"` // in a message
	Rate       float64 `json:"rate"`     // payloads a second
	Latency    Latency `json:"latency"`  // of a message
	CPU        float64 `json:"cpu_us"`   // a payload, publishers included
}

// Acknowledged is the time to the answer at a fixed rate, everything running.
type Acknowledged struct {
	Rate    float64        `json:"rate"`
	Latency Latency        `json:"latency"` // from the intended time of sending
	Refused map[string]int `json:"refused"`
	Ratios  *Ratios        `json:"ratios,omitempty"`
}

// Queryable is the time from the answer until the API shows the change.
type Queryable struct {
	Rate    float64 `json:"rate"`
	Latency Latency `json:"latency"` // of samples
	Unseen  int     `json:"unseen"`  // samples that never showed
}

// Pipeline is everything at a fixed rate.
type Pipeline struct {
	Target        float64            `json:"target_rate"`
	Seconds       float64            `json:"seconds"`
	Rate          float64            `json:"rate"`        // accepted a second
	StoredRate    float64            `json:"stored_rate"` // deliveries stored a second
	RowsRate      float64            `json:"rows_rate"`   // rows into ClickHouse a second, all tables
	Latency       Latency            `json:"latency"`
	Refused       map[string]int     `json:"refused"`
	Backlog       Backlog            `json:"backlog"`
	ServerCPU     float64            `json:"server_cpu_us"`    // a delivery
	Threads       map[string]float64 `json:"threads_cpu_us"`   // of that, by kind of thread
	GeneratorCPU  float64            `json:"generator_cpu_us"` // a delivery
	Memory        Memory             `json:"memory"`
	Disk          Disk               `json:"disk"`
	Stages        []Share            `json:"stages"`   // CPU by stage
	Packages      []Share            `json:"packages"` // CPU by the package it was spent in
	ProfileMicros float64            `json:"profile_cpu_us"`
	Ratios        *Ratios            `json:"ratios,omitempty"`
}

// Backlog is what was accepted and not stored yet, in deliveries.
type Backlog struct {
	Start   int64   `json:"start"`
	End     int64   `json:"end"`
	Max     int64   `json:"max"`
	Growth  float64 `json:"growth_per_second"` // slope of a line through all seconds
	Growing bool    `json:"growing"`
	Drain   float64 `json:"drain_seconds"` // until all was stored, after the last request
}

// Memory is the server's.
type Memory struct {
	Resident int64 `json:"resident_bytes"` // at the end of the load
	Peak     int64 `json:"peak_bytes"`
}

// Disk is what a delivery left in the data directory.
type Disk struct {
	Bus        float64 `json:"bus_bytes"`        // a delivery
	ClickHouse float64 `json:"clickhouse_bytes"` // without merged parts
	Merged     float64 `json:"merged_bytes"`     // parts that were merged and go after some minutes
	Total      float64 `json:"total_bytes"`      // bus and ClickHouse
	ToPayload  float64 `json:"ratio_to_payload"` // total to the size of the body
}

// Share is one part of the CPU that a delivery takes.
type Share struct {
	Name  string  `json:"name"`
	CPU   float64 `json:"cpu_us"` // a delivery
	Share float64 `json:"share"`  // of all
}

// Maximum is the highest rate at which the backlog did not grow.
type Maximum struct {
	Rate      float64 `json:"rate"`
	FullLoad  Door    `json:"full_load"`  // accepted as fast as answers come, everything running
	DrainRate float64 `json:"drain_rate"` // deliveries stored a second, once nothing comes in
	DrainRows float64 `json:"drain_rows_rate"`
	Tried     []Try   `json:"tried"`
	Memory    Memory  `json:"memory"`
	Ratios    *Ratios `json:"ratios,omitempty"`
}

// Try is one short run in search of the maximum.
type Try struct {
	Rate    float64 `json:"rate"`
	Reached float64 `json:"reached_rate"`
	Growth  float64 `json:"growth_per_second"`
	Holds   bool    `json:"holds"`
}

// Restart is the time from starting on existing data to an accepted webhook.
type Restart struct {
	Seconds   float64 `json:"seconds"`
	DataBytes int64   `json:"data_bytes"`
}

// Overload is what is left when much more is sent than can be taken.
type Overload struct {
	Times       float64 `json:"times"`       // the rate of the schedule, to the peak of its round
	Connections int     `json:"connections"` // that it has
	Peak        Door    `json:"peak"`        // everything running, as fast as answers come
	Goodput     Door    `json:"goodput"`     // accepted, of the schedule
	Sent        float64 `json:"sent_rate"`   // accepted or refused, of the schedule
	Ratio       float64 `json:"ratio"`       // goodput to peak
	Memory      Memory  `json:"memory"`
}

// Fairness is how a quiet organisation fares, alone and beside one that sends many
// times as much.
type Fairness struct {
	Times        float64 `json:"times"` // the flood's rate to the quiet one's
	QuietRate    float64 `json:"quiet_rate"`
	FloodRate    float64 `json:"flood_rate"`
	Alone        Pace    `json:"alone"`  // the quiet one
	Beside       Pace    `json:"beside"` // the quiet one, the flood beside it
	Flood        Pace    `json:"flood"`
	Acknowledged float64 `json:"acknowledged_ratio"` // its p99 beside the flood, to that alone
	Queryable    float64 `json:"queryable_ratio"`
}

// Pace is how an organisation's deliveries fare: the middle of the rounds.
type Pace struct {
	Rate         float64        `json:"rate"`         // accepted a second
	Acknowledged Latency        `json:"acknowledged"` // from the intended time of sending
	Queryable    Latency        `json:"queryable"`    // of samples, from the answer on
	Unseen       int            `json:"unseen"`       // samples that never showed
	Refused      map[string]int `json:"refused"`
}

// Lists is the time of GET /api/v1/changes over many changes.
type Lists struct {
	Changes  int    `json:"changes"`
	Orgs     int    `json:"orgs"`
	Matching int64  `json:"matching"` // changes of the org that is asked
	Queries  []List `json:"queries"`
}

// List is one query, asked several times.
type List struct {
	Range   string  `json:"range"`  // 1h 1d 7d 31d 90d none
	Filter  string  `json:"filter"` // the parameter
	Latency Latency `json:"latency"`
}

// Target is a figure that must be reached.
type Target struct {
	Name string  `json:"name"`
	Want float64 `json:"want"`
	Most bool    `json:"at_most"` // else at least
	Got  float64 `json:"got"`
	Met  bool    `json:"met"`
}
