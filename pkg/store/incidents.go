package store

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// Incident is what all reports of one incident say together.
type Incident struct {
	ID             change.IncidentID
	Org            string
	Status         change.IncidentStatus
	Title          string
	Description    string
	Severity       change.Risk
	ServiceID      string
	ServiceName    string
	Environment    string
	Source         string
	Provider       string
	ExternalID     string
	URL            string
	ChangedBy      string // by the latest report that names somebody
	Actor          change.Actor
	Metadata       json.RawMessage
	StartedAt      change.Time
	AcknowledgedAt change.Time // zero until then
	ResolvedAt     change.Time // zero unless it is resolved
	// ResolvedSeen is when we were told that it is resolved.
	ResolvedSeen change.Time
	CreatedAt    change.Time // when its first report was accepted
	UpdatedAt    change.Time // when its last report was accepted
}

// IncidentQuery asks for a page of incidents, by the time they started. Every
// field that is set must match; only Org is required.
type IncidentQuery struct {
	Org         string
	Status      change.IncidentStatus
	Severity    change.Risk
	ServiceID   string
	Environment string
	Start, End  time.Time // of started_at, half-open; zero is no bound
	Limit       int       // 1 to MaxLimit; 0 is 25
	Offset      int       // 0 to MaxOffset; not with a cursor
	Cursor      string
	Sort        string // Desc or Asc
}

// incidentRow is a row of the table incidents: one report.
type incidentRow struct {
	Org         string    `ch:"org"`
	ID          string    `ch:"id"`
	At          time.Time `ch:"at"`
	Report      string    `ch:"report"`
	RowVersion  uint64    `ch:"version"`
	ReceivedAt  time.Time `ch:"received_at"`
	StartedAt   time.Time `ch:"started_at"`
	Status      string    `ch:"status"`
	Title       string    `ch:"title"`
	Description string    `ch:"description"`
	Severity    string    `ch:"severity"`
	ServiceID   string    `ch:"service_id"`
	ServiceName string    `ch:"service_name"`
	Environment string    `ch:"environment"`
	Source      string    `ch:"source"`
	Provider    string    `ch:"provider"`
	ExternalID  string    `ch:"external_id"`
	URL         string    `ch:"url"`
	ChangedBy   string    `ch:"changed_by"`
	ActorID     string    `ch:"actor_id"`
	ActorName   string    `ch:"actor_name"`
	ActorType   string    `ch:"actor_type"`
	Metadata    string    `ch:"metadata"`
	Kept        string    `ch:"kept"`
	SourceID    string    `ch:"source_id"`
	DeliveryID  string    `ch:"delivery_id"`
	Index       uint32    `ch:"record_index"`
	Run         uint16    `ch:"run"`
	Chain       string    `ch:"chain"`
	Frame       uint64    `ch:"frame_no"`
	Place       uint32    `ch:"place"`
}

var incidentsTable = table[incidentRow]{"incidents", func(r *incidentRow) int { return month(r.At) }}

func toIncidentRow(i *change.IncidentReport, r *change.Result, b *Batch) incidentRow {
	started := i.StartedAt.Time
	if i.StartedAt.IsZero() {
		started = time.Unix(0, 0)
	}
	return incidentRow{
		Org: r.Org, ID: string(i.ID[:]), At: i.At.Time, Report: string(i.Key[:]),
		RowVersion: changeVersion(b.Run, r.ReceivedAt), ReceivedAt: i.CreatedAt.Time, StartedAt: started,
		Status: string(i.Status), Title: i.Title, Description: i.Description, Severity: string(i.Severity),
		ServiceID: i.ServiceID, ServiceName: i.ServiceName, Environment: i.Environment,
		Source: i.Source, Provider: i.Provenance.Provider, ExternalID: i.ExternalID, URL: i.URL, ChangedBy: i.ChangedBy,
		ActorID: i.Actor.ID, ActorName: i.Actor.Name, ActorType: i.Actor.Type,
		Metadata: string(i.Metadata), Kept: string(i.Kept),
		SourceID: i.Provenance.SourceID, DeliveryID: string(i.Provenance.DeliveryID[:]), Index: uint32(i.Provenance.Index),
		Run: b.Run, Chain: b.Chain, Frame: b.Frame, Place: uint32(r.Place),
	}
}

// InsertIncidents stores what all results say of incidents. It comes before
// InsertDeliveries, as InsertChanges does.
func (s *Store) InsertIncidents(ctx context.Context, batches []Batch) error {
	var rows []incidentRow
	for i := range batches {
		b := &batches[i]
		for j := range b.Results {
			r := &b.Results[j]
			for k := range r.Incidents {
				rows = append(rows, toIncidentRow(&r.Incidents[k], r, b))
			}
		}
	}
	return insert(ctx, s, incidentsTable, rows)
}

// latest is the value of a column in the latest report that has one. Of two
// reports of the same moment the later step counts. An incident is open and
// medium until somebody says otherwise.
func latest(column string) string {
	value := fmt.Sprintf(`argMaxIf(r.%[1]s, (r.at, indexOf(['open', 'acknowledged', 'resolved'], toString(r.status)), r.received_at, r.report), r.%[1]s != '')`, column)
	if column == "provider" { // who told first
		value = "argMin(r.provider, (r.received_at, r.report))"
	}
	if usual, ok := map[string]string{"status": "open", "severity": "medium"}[column]; ok {
		value = "coalesce(nullIf(toString(" + value + "), ''), '" + usual + "')"
	}
	return value + " AS " + column
}

// narrow is what incidents are selected by, and wide is all of one.
var (
	narrow = sum("status", "severity", "service_id", "environment")
	wide   = sum("status", "severity", "service_id", "environment", "service_name", "title", "description",
		"source", "provider", "external_id", "url", "changed_by", "actor_id", "actor_name", "actor_type", "metadata")
)

// sum is the statement that adds reports up to incidents. Its condition is the
// caller's. A resolution counts from the last time that the incident was open.
// An alarm that goes off again is the same incident, and began then, unless
// somebody says since when it is.
func sum(columns ...string) string {
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = latest(c)
	}
	return `SELECT r.id AS id,
    groupArrayIf(r.at, r.status IN ('open', 'acknowledged')) AS openings,
    groupArrayIf(r.at, r.status = 'resolved') AS resolutions,
    groupArrayIf(r.received_at, r.status = 'resolved') AS tellings,
    groupArrayIf(r.at, r.status = 'acknowledged') AS acknowledgements,
    arrayMax(openings) AS opened_at,
    arrayMax(arrayFilter(at -> at < opened_at, resolutions)) AS was_over_at,
    arrayMin(arrayFilter(at -> at > was_over_at, openings)) AS opened_again_at,
    multiIf(max(r.started_at) > fromUnixTimestamp64Milli(0, 'UTC'), minIf(r.started_at, r.started_at > fromUnixTimestamp64Milli(0, 'UTC')),
        empty(openings), min(r.at), opened_again_at) AS began_at,
    arrayMin(arrayFilter(at -> at >= began_at, acknowledgements)) AS acknowledged_at,
    min(r.received_at) AS created_at,
    maxIf(r.received_at, r.kept = '') AS updated_at,
    ` + strings.Join(texts, ",\n    ") + `
FROM incidents AS r FINAL
WHERE r.org = {org:String}%s
GROUP BY id`
}

type summedRow struct {
	ID             string    `ch:"id"`
	BeganAt        time.Time `ch:"began_at"`
	AcknowledgedAt time.Time `ch:"acknowledged_at"`
	ResolvedAt     time.Time `ch:"resolved_at"`
	ResolvedSeen   time.Time `ch:"resolved_seen"`
	CreatedAt      time.Time `ch:"created_at"`
	UpdatedAt      time.Time `ch:"updated_at"`
	Status         string    `ch:"status"`
	Severity       string    `ch:"severity"`
	ServiceID      string    `ch:"service_id"`
	Environment    string    `ch:"environment"`
	ServiceName    string    `ch:"service_name"`
	Title          string    `ch:"title"`
	Description    string    `ch:"description"`
	Source         string    `ch:"source"`
	Provider       string    `ch:"provider"`
	ExternalID     string    `ch:"external_id"`
	URL            string    `ch:"url"`
	ChangedBy      string    `ch:"changed_by"`
	ActorID        string    `ch:"actor_id"`
	ActorName      string    `ch:"actor_name"`
	ActorType      string    `ch:"actor_type"`
	Metadata       string    `ch:"metadata"`
}

func (r *summedRow) incident(org string) Incident {
	i := Incident{
		ID: change.IncidentID([]byte(r.ID)), Org: org, Status: change.IncidentStatus(r.Status),
		Title: r.Title, Description: r.Description, Severity: change.Risk(r.Severity),
		ServiceID: r.ServiceID, ServiceName: r.ServiceName, Environment: r.Environment,
		Source: r.Source, Provider: r.Provider, ExternalID: r.ExternalID, URL: r.URL, ChangedBy: r.ChangedBy,
		Actor:     change.Actor{ID: r.ActorID, Name: r.ActorName, Type: r.ActorType},
		StartedAt: change.At(r.BeganAt), AcknowledgedAt: told(r.AcknowledgedAt),
		CreatedAt: change.At(r.CreatedAt), UpdatedAt: change.At(r.UpdatedAt),
	}
	if i.Status == change.Resolved {
		i.ResolvedAt, i.ResolvedSeen = told(r.ResolvedAt), told(r.ResolvedSeen)
	}
	if r.Metadata != "" {
		i.Metadata = json.RawMessage(r.Metadata)
	}
	return i
}

// told is a time that ClickHouse answered with; it has 1970 for none.
func told(t time.Time) change.Time {
	if t.UnixMilli() <= 0 {
		return change.Time{}
	}
	return change.At(t)
}

// where is the filter as a condition on incidents.
func (q *IncidentQuery) where() (*where, error) {
	w, err := forOrg(q.Org)
	if err != nil {
		return nil, err
	}
	w.equal("status", string(q.Status))
	w.equal("severity", string(q.Severity))
	w.equal("service_id", q.ServiceID)
	w.equal("environment", q.Environment)
	w.between("began_at", q.Start, q.End)
	return w, nil
}

// FindIncidents returns a page of the incidents that match, and how many do.
// The latest of all are found by when something was last said of them; a filter
// is about what reports add up to, so then all of the org's are added up.
func (s *Store) FindIncidents(ctx context.Context, q IncidentQuery) (Page[Incident], error) {
	p := paging{start: q.Start, end: q.End, limit: q.Limit, offset: q.Offset, cursor: q.Cursor, sort: q.Sort}
	filter := q
	filter.Limit, filter.Offset, filter.Cursor, filter.Sort = 0, 0, "", ""
	if err := p.resolve("incidents", filter); err != nil {
		return Page[Incident]{}, err
	}
	w, err := q.where()
	if err != nil {
		return Page[Incident]{}, err
	}
	find := s.incidentKeys
	if len(w.clauses) == 1 && p.sort != Asc {
		find = s.latestIncidents
	}
	keys, total, err := find(ctx, w, p)
	if err != nil {
		return Page[Incident]{}, fmt.Errorf("find incidents: %w", err)
	}
	out := Page[Incident]{Total: total, Limit: p.limit, Offset: p.offset, HasMore: len(keys) > p.limit}
	keys = keys[:min(len(keys), p.limit)]
	ids := make([]change.IncidentID, len(keys))
	for i, k := range keys {
		ids[i] = change.IncidentID([]byte(k.ID))
	}
	if out.Data, err = s.incidents(ctx, q.Org, ids); err != nil {
		return Page[Incident]{}, fmt.Errorf("find incidents: %w", err)
	}
	if out.HasMore {
		last := keys[len(keys)-1]
		out.NextCursor = cursor{at: last.At, id: [16]byte([]byte(last.ID)), asOf: s.now()}.encode(p.fingerprint)
	}
	return out, nil
}

// candidatesAPiece is how many incidents are added up for each that is wanted,
// at first.
const candidatesAPiece = 4

// latestIncidents is incidentKeys for the latest of all incidents of an org. When
// one began is between the first and the last time that its reports name. So
// those of which something was said last are added up, until as many as are
// wanted began after anything that was said of the others.
func (s *Store) latestIncidents(ctx context.Context, w *where, p paging) ([]key, int64, error) {
	var counted []struct {
		N uint64 `ch:"n"`
	}
	if err := s.ask(ctx, "incidents total", &counted, "SELECT uniqExact(id) AS n FROM incidents WHERE org = {org:String}", w.args...); err != nil {
		return nil, 0, err
	}
	all := counted[0].N
	began := "1"
	args := w.args
	if p.after != nil {
		began = "min(if(r.started_at > fromUnixTimestamp64Milli(0, 'UTC'), least(r.at, r.started_at), r.at)) <= " + atParam("after")
		args = append(slices.Clip(args), clickhouse.Named("after", p.after.at.UnixMilli()))
	}
	wanted := p.offset + p.limit + 1
	for n := candidatesAPiece * wanted; n < int(all); n *= candidatesAPiece {
		var rows []key
		err := s.query(ctx, "incidents candidates", &rows, `SELECT r.id AS id, max(greatest(r.at, r.started_at)) AS at
FROM incidents AS r
WHERE r.org = {org:String}
GROUP BY id
HAVING `+began+`
ORDER BY at DESC
LIMIT {most:UInt32}`, append(slices.Clip(args), clickhouse.Named("most", n))...)
		if err != nil {
			return nil, 0, err
		}
		ids := make([]string, len(rows))
		for i, r := range rows {
			ids[i] = hex.EncodeToString([]byte(r.ID))
		}
		keys, _, err := s.sumKeys(ctx, w, p, ids)
		if err != nil {
			return nil, 0, err
		}
		if len(rows) < n || len(keys) > p.limit && keys[len(keys)-1].At.After(rows[n-1].At) {
			return keys, int64(all), nil
		}
	}
	return s.incidentKeys(ctx, w, p)
}

// incidentKeys returns the keys of a page and one more, and how many incidents
// match in all.
func (s *Store) incidentKeys(ctx context.Context, w *where, p paging) ([]key, int64, error) {
	keys, total, err := s.sumKeys(ctx, w, p, nil)
	if err != nil || len(keys) > 0 || p.offset == 0 && p.after == nil {
		return keys, total, err
	}
	// The page is beyond the end: nobody said how many there are.
	p.offset, p.after, p.limit = 0, nil, 1
	_, total, err = s.sumKeys(ctx, w, p, nil)
	return nil, total, err
}

// ofThese is the condition that reports are of incidents whose ids are given.
const ofThese = "\n  AND r.id IN (SELECT toFixedString(unhex(hex), 16) FROM (SELECT arrayJoin({ids:Array(String)}) AS hex))"

// sumKeys adds reports up, all of the org or those of some incidents, and
// returns the keys of a page of what matches, and how many do, unless the page
// is empty.
func (s *Store) sumKeys(ctx context.Context, w *where, p paging, ids []string) ([]key, int64, error) {
	order, before := "DESC", "<"
	if p.sort == Asc {
		order, before = "ASC", ">"
	}
	matching := "1"
	if len(w.clauses) > 1 { // the first is the org, which is the sum's own
		matching = strings.Join(w.clauses[1:], "\n  AND ")
	}
	args := append(slices.Clip(w.args), clickhouse.Named("limit", p.limit+1), clickhouse.Named("offset", p.offset))
	of := ""
	if ids != nil {
		of = ofThese
		args = append(args, clickhouse.Named("ids", ids))
	}
	after := "1"
	if p.after != nil {
		after = fmt.Sprintf("(at, id) %s (%s, %s)", before, atParam("after"), idParam("after_id"))
		args = append(args, clickhouse.Named("after", p.after.at.UnixMilli()), clickhouse.Named("after_id", hex.EncodeToString(p.after.id[:])))
	}
	statement := fmt.Sprintf(`SELECT at, id, total FROM (
SELECT began_at AS at, id, count() OVER () AS total FROM (
%s
) WHERE %s
) WHERE %s
ORDER BY at %s, id %s
LIMIT {limit:UInt32} OFFSET {offset:UInt32}`, fmt.Sprintf(narrow, of), matching, after, order, order)
	var rows []struct {
		key
		Total uint64 `ch:"total"`
	}
	if err := s.query(ctx, "incidents keys", &rows, statement, args...); err != nil {
		return nil, 0, err
	}
	keys := make([]key, len(rows))
	for i, r := range rows {
		keys[i] = r.key
	}
	if len(rows) == 0 {
		return nil, 0, nil
	}
	return keys, int64(rows[0].Total), nil
}

// incidents returns these incidents, in this order; those that are not there
// are left out.
func (s *Store) incidents(ctx context.Context, org string, ids []change.IncidentID) ([]Incident, error) {
	out := make([]Incident, 0, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = hex.EncodeToString(id[:])
	}
	statement := fmt.Sprintf(`SELECT * EXCEPT (openings, resolutions, tellings, acknowledgements, opened_at, was_over_at, opened_again_at),
    arrayMin(arrayFilter(at -> at >= opened_at, resolutions)) AS resolved_at,
    arrayMin(arrayFilter((seen, at) -> at >= opened_at, tellings, resolutions)) AS resolved_seen
FROM (
%s
)`, fmt.Sprintf(wide, ofThese))
	var rows []summedRow
	if err := s.query(ctx, "incidents", &rows, statement, clickhouse.Named("org", org), clickhouse.Named("ids", texts)); err != nil {
		return nil, err
	}
	found := make(map[change.IncidentID]Incident, len(rows))
	for i := range rows {
		incident := rows[i].incident(org)
		found[incident.ID] = incident
	}
	for _, id := range ids {
		if incident, ok := found[id]; ok {
			out = append(out, incident)
		}
	}
	return out, nil
}

// Incident returns one incident. One of another org is not found.
func (s *Store) Incident(ctx context.Context, org string, id change.IncidentID) (Incident, error) {
	if _, err := forOrg(org); err != nil {
		return Incident{}, err
	}
	found, err := s.incidents(ctx, org, []change.IncidentID{id})
	if err != nil {
		return Incident{}, err
	}
	if len(found) == 0 {
		return Incident{}, problem.New(problem.NotFound, "incident_not_found", "there is no such incident")
	}
	return found[0], nil
}

// KeptAnswer returns what was answered to what changed before an incident when
// it was resolved, or nil when that was not kept.
func (s *Store) KeptAnswer(ctx context.Context, org string, id change.IncidentID) (json.RawMessage, error) {
	w, err := forOrg(org)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Kept string `ch:"kept"`
	}
	if err := s.query(ctx, "incident kept", &rows, `SELECT r.kept AS kept FROM incidents AS r FINAL
WHERE r.org = {org:String} AND r.id = `+idParam("id")+` AND r.kept != ''
ORDER BY r.received_at, r.report
LIMIT 1`, w.args[0], clickhouse.Named("id", hex.EncodeToString(id[:]))); err != nil || len(rows) == 0 {
		return nil, err
	}
	return json.RawMessage(rows[0].Kept), nil
}
