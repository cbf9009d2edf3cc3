package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/errgroup"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// MaxCandidates is the most changes that Candidates returns.
const MaxCandidates = 2000

// CandidateQuery asks for the changes that may have led to something.
type CandidateQuery struct {
	Org         string
	Start, End  time.Time // of occurred_at, half-open; both required
	Services    []string  // whose changes come first
	Environment string    // whose changes come next
	AsOf        time.Time // only what was accepted by then; zero is now
}

// candidateRow is what is needed to judge a change; the rest is read for the
// few that are shown.
type candidateRow struct {
	OccurredAt    time.Time `ch:"occurred_at"`
	ID            string    `ch:"id"`
	ServiceID     string    `ch:"service_id"`
	ServiceName   string    `ch:"service_name"`
	Type          string    `ch:"change_type"`
	Status        string    `ch:"status"`
	Environment   string    `ch:"environment"`
	Risk          string    `ch:"risk_level"`
	ChangedBy     string    `ch:"changed_by"`
	ActorID       string    `ch:"actor_id"`
	ActorName     string    `ch:"actor_name"`
	CorrelationID string    `ch:"correlation_id"`
}

// candidatesStatement reads the range's keys, and little else: where there are
// too many, what is asked about is kept, and then the latest.
const candidatesStatement = `SELECT occurred_at, id, service_id, service_name, change_type, status, environment, risk_level,
    changed_by, actor_id, actor_name, correlation_id
FROM changes FINAL
WHERE org = {org:String}
  AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
  AND change_type != 'incident'
  AND ({as_of:Int64} = 0 OR created_at <= fromUnixTimestamp64Milli({as_of:Int64}, 'UTC'))
ORDER BY has({services:Array(String)}, service_id) DESC,
    {environment:String} != '' AND environment = {environment:String} DESC, occurred_at DESC, id DESC
LIMIT {limit:UInt32}`

// Candidates returns the changes of a range, at most MaxCandidates, and whether
// there are more. Only what tells how suspicious they are is filled in.
func (s *Store) Candidates(ctx context.Context, q CandidateQuery) (found []change.Change, more bool, err error) {
	switch {
	case q.Org == "":
		return nil, false, problem.Invalid("org", "is missing")
	case !q.Start.Before(q.End):
		return nil, false, problem.Invalid("window", "must be more than 0")
	}
	asOf := int64(0)
	if !q.AsOf.IsZero() {
		asOf = change.At(q.AsOf).UnixMilli()
	}
	var rows []candidateRow
	if err := s.ask(ctx, "candidates", &rows, candidatesStatement,
		clickhouse.Named("org", q.Org), clickhouse.Named("start", ceilMilli(q.Start)), clickhouse.Named("end", ceilMilli(q.End)),
		clickhouse.Named("services", append([]string{}, q.Services...)), clickhouse.Named("environment", q.Environment), clickhouse.Named("as_of", asOf),
		clickhouse.Named("limit", MaxCandidates+1)); err != nil {
		return nil, false, err
	}
	more = len(rows) > MaxCandidates
	for _, r := range rows[:min(len(rows), MaxCandidates)] {
		found = append(found, change.Change{
			ID: change.ID([]byte(r.ID)), Org: q.Org, OccurredAt: change.At(r.OccurredAt),
			ServiceID: r.ServiceID, ServiceName: r.ServiceName, Type: change.Type(r.Type), Status: change.Status(r.Status),
			Environment: r.Environment, Risk: change.Risk(r.Risk), ChangedBy: r.ChangedBy,
			Actor: change.Actor{ID: r.ActorID, Name: r.ActorName}, CorrelationID: r.CorrelationID,
		})
	}
	return found, more, nil
}

// ChangesByID returns those of the changes that exist, newest first.
func (s *Store) ChangesByID(ctx context.Context, org string, ids []change.ID) ([]change.Change, error) {
	w, err := forOrg(org)
	if err != nil {
		return nil, err
	}
	if len(ids) > MaxLimit {
		return nil, problem.Invalid("ids", fmt.Sprintf("must be at most %d", MaxLimit))
	}
	keys := make([]key, len(ids))
	for i, id := range ids {
		keys[i] = key{At: id.Time(), ID: string(id[:])} // the time in the id is the time in the key
	}
	rows, err := changeList.read(ctx, s, w, Desc, keys)
	if err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	out := make([]change.Change, len(rows))
	for i := range rows {
		out[i] = rows[i].change()
	}
	return out, nil
}

// Acquaintance is an actor and a service that it changes. The actor is
// changed_by, else the actor's name, else its id.
type Acquaintance struct{ ServiceID, Actor string }

// MaxAcquaintances is how many Acquainted is asked at most.
const MaxAcquaintances = 500

// acquaintedStatement reads two columns of the range's keys. Without FINAL: an
// older form of a row tells the same.
const acquaintedStatement = `SELECT toString(service_id) AS service,
    groupUniqArrayIf(by, (service, by) IN (SELECT arrayJoin(arrayZip({services:Array(String)}, {actors:Array(String)})))) AS actors
FROM (
    SELECT service_id,
        multiIf(changed_by != '', toString(changed_by), actor_name != '', toString(actor_name), toString(actor_id)) AS by
    FROM changes
    WHERE org = {org:String}
      AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
      AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
      AND is_deleted = 0
      AND service_id IN {services:Array(String)}
)
GROUP BY service`

// Acquainted returns, for each of the pairs' services that anybody changed in a
// range, which of the pairs' actors did.
func (s *Store) Acquainted(ctx context.Context, org string, start, end time.Time, pairs []Acquaintance) (map[string][]string, error) {
	switch {
	case org == "":
		return nil, problem.Invalid("org", "is missing")
	case len(pairs) > MaxAcquaintances:
		return nil, problem.Invalid("actor", fmt.Sprintf("must be at most %d", MaxAcquaintances))
	case len(pairs) == 0:
		return nil, nil
	}
	services, actors := make([]string, len(pairs)), make([]string, len(pairs))
	for i, p := range pairs {
		services[i], actors[i] = p.ServiceID, p.Actor
	}
	var rows []struct {
		Service string   `ch:"service"`
		Actors  []string `ch:"actors"`
	}
	if err := s.ask(ctx, "acquainted", &rows, acquaintedStatement,
		clickhouse.Named("org", org), clickhouse.Named("start", ceilMilli(start)), clickhouse.Named("end", ceilMilli(end)),
		clickhouse.Named("services", services), clickhouse.Named("actors", actors)); err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, r := range rows {
		out[r.Service] = r.Actors
	}
	return out, nil
}

// HabitQuery asks how an org's sources usually deliver.
type HabitQuery struct {
	Org        string
	Start, End time.Time // of received_at and occurred_at, half-open; both required
	// DeadStart and DeadEnd, of received_at and half-open, are where deliveries
	// are counted that could not be processed.
	DeadStart, DeadEnd time.Time
}

// PauseStep is how finely a habit's pauses are measured.
const PauseStep = 5 * time.Minute

// Habit is how a source usually delivers.
type Habit struct {
	First      change.Time // delivery of the range
	Last       change.Time
	Deliveries int64
	Dead       int64         // from HabitQuery.DeadStart to DeadEnd
	Pause      time.Duration // the longest between two deliveries, to PauseStep
	LagMedian  time.Duration // from what happened to its delivery
	LagP95     time.Duration
}

type habitRow struct {
	SourceID string `ch:"source_id"`
	First    int64  `ch:"first"` // milliseconds
	Last     int64  `ch:"last"`
	N        uint64 `ch:"n"`
	Pause    int64  `ch:"pause"` // steps
}

// habitStatement finds pauses between the steps of time that have a delivery:
// there are 2016 in a week, however much is delivered. Without FINAL: that a
// delivery was looked at twice changes none of these but the count, by little.
// The gap to the first, which arrayDifference calls 0, is none.
const habitStatement = `SELECT source_id, min(first_at) AS first, max(last_at) AS last, sum(count) AS n,
    arrayMax(arrayConcat([toInt64(0)], arrayPopFront(arrayDifference(arraySort(groupArray(step)))))) AS pause
FROM (
    SELECT toString(source_id) AS source_id, intDiv(toUnixTimestamp64Milli(received_at), {step:Int64}) AS step,
        min(toUnixTimestamp64Milli(received_at)) AS first_at, max(toUnixTimestamp64Milli(received_at)) AS last_at, count() AS count
    FROM deliveries
    WHERE org = {org:String}
      AND received_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
      AND received_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    GROUP BY source_id, step
)
GROUP BY source_id`

type lagRow struct {
	SourceID string    `ch:"source_id"`
	Lag      []float64 `ch:"lag"` // milliseconds
}

// lagStatement samples: quantiles keeps 8192 values of a source.
const lagStatement = `SELECT toString(source_id) AS source_id,
    quantiles(0.5, 0.95)(greatest(0, toUnixTimestamp64Milli(created_at) - toUnixTimestamp64Milli(occurred_at))) AS lag
FROM changes
WHERE org = {org:String}
  AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
  AND is_deleted = 0
GROUP BY source_id`

// deadStatement is with FINAL: what was done again may be dead no longer.
const deadStatement = `SELECT toString(source_id) AS source_id, count() AS n
FROM deliveries FINAL
WHERE org = {org:String}
  AND received_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND received_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
  AND outcome = 'dead'
GROUP BY source_id`

// Habits returns, by source, how it usually delivers. A source that delivered
// nothing in either range is not in it.
func (s *Store) Habits(ctx context.Context, q HabitQuery) (map[string]Habit, error) {
	switch {
	case q.Org == "":
		return nil, problem.Invalid("org", "is missing")
	case !q.Start.Before(q.End):
		return nil, problem.Invalid("end_date", "must be after start_date")
	}
	args := func(start, end time.Time, more ...any) []any {
		return append(more, clickhouse.Named("org", q.Org), clickhouse.Named("start", ceilMilli(start)), clickhouse.Named("end", ceilMilli(end)))
	}
	var rows []habitRow
	var lags []lagRow
	var dead []struct {
		SourceID string `ch:"source_id"`
		N        uint64 `ch:"n"`
	}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		return s.ask(ctx, "habits", &rows, habitStatement, args(q.Start, q.End, clickhouse.Named("step", PauseStep.Milliseconds()))...)
	})
	all.Go(func() error { return s.ask(ctx, "lags", &lags, lagStatement, args(q.Start, q.End)...) })
	all.Go(func() error { return s.ask(ctx, "dead", &dead, deadStatement, args(q.DeadStart, q.DeadEnd)...) })
	if err := all.Wait(); err != nil {
		return nil, err
	}
	out := map[string]Habit{}
	for _, r := range rows {
		out[r.SourceID] = Habit{
			First: change.AtMilli(r.First), Last: change.AtMilli(r.Last), Deliveries: int64(r.N), Pause: time.Duration(r.Pause) * PauseStep,
		}
	}
	for _, r := range lags {
		if h, ok := out[r.SourceID]; ok && len(r.Lag) == 2 {
			h.LagMedian, h.LagP95 = milliseconds(r.Lag[0]), milliseconds(r.Lag[1])
			out[r.SourceID] = h
		}
	}
	for _, r := range dead {
		h := out[r.SourceID]
		h.Dead = int64(r.N)
		out[r.SourceID] = h
	}
	return out, nil
}

func milliseconds(n float64) time.Duration { return time.Duration(n) * time.Millisecond }
