package store

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
)

// HistoryWindow is how far back a deployment is compared with earlier ones.
const HistoryWindow = 90 * 24 * time.Hour

// Limits of what is asked about deployments. Names that are longer are no
// names; and as HTTP parameters, which may take three times the room, all that
// a statement asks must stay under ClickHouse's limit of a URL, 1 MiB.
const (
	maxDeploymentText = 500
	historyTextMost   = 300_000
)

// Deployment is what is compared of a change to tell a deployment from a
// rollback: what was deployed, and where.
type Deployment struct {
	ID          change.ID
	Org         string
	Subject     string // what is deployed: the service, else the repository, else the resource
	Environment string
	Version     string
	Commit      string
	Operation   string // the correlation id: started and succeeded are one operation
	Status      change.Status
	OccurredAt  change.Time
	CreatedAt   change.Time
}

// idle are the last words of actions by which a deployment without a status
// puts nothing in place: GitHub's "inactive" is the version that was replaced.
var idle = []string{"inactive", "destroyed", "deleted", "removed", "waiting", "approved", "rejected", "blocked", "skipped"}

// DeploymentOf returns what is to be compared of a change, and whether it is a
// deployment, or a rollback, of which enough is known.
func DeploymentOf(c *change.Change) (Deployment, bool) {
	if c.Type != change.Deployment && c.Type != change.Rollback {
		return Deployment{}, false
	}
	subject := ""
	switch {
	case c.ServiceID != "":
		subject = "service " + c.ServiceID
	case c.Repository != "":
		subject = "repository " + c.Repository
	case c.Resource.ID != "":
		subject = "resource " + c.Resource.ID
	}
	d := Deployment{
		ID: c.ID, Org: c.Org, Subject: subject, Environment: c.Environment, Version: c.Version, Commit: strings.ToLower(c.CommitSHA),
		Operation: c.CorrelationID, Status: c.Status, OccurredAt: c.OccurredAt, CreatedAt: c.CreatedAt,
	}
	known := subject != "" && d.Version+d.Commit != "" && d.textSize() <= maxDeploymentText
	switch c.Status {
	case change.Started, change.Succeeded:
		return d, known
	case "":
		return d, known && !slices.Contains(idle, c.Action[strings.LastIndexByte(c.Action, '.')+1:])
	default:
		return d, false
	}
}

func (d *Deployment) textSize() int {
	return len(d.Subject) + len(d.Environment) + len(d.Version) + len(d.Commit) + len(d.Operation)
}

// Past is what is known of the time before a deployment.
type Past struct {
	Before bool       // the same was deployed already
	Last   Deployment // the latest of the earlier ones; only its version, commit and times
}

// releaseForm is how a version looks that names one state of the software,
// unlike "main" or "production".
const releaseForm = `^[vV]?[0-9]+(\.[0-9]+)+`

// isRelease is releaseForm by hand: a deployment is compared with many.
func isRelease(version string) bool {
	const digits = "0123456789"
	if version != "" && (version[0] == 'v' || version[0] == 'V') {
		version = version[1:]
	}
	rest := strings.TrimLeft(version, digits)
	return len(rest) < len(version) && len(rest) > 1 && rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9'
}

// The shortest part of a commit's hash that is taken for the whole.
const shortCommit = 7

// likeness is whether two deployments put the same in place; often one cannot say.
type likeness int

const (
	unknown likeness = iota
	other
	same
)

func likenessOf(equal bool) likeness {
	if equal {
		return same
	}
	return other
}

// like compares by release, else by commit, else by whatever the version is.
// historyStatement does the same.
func (d *Deployment) like(e *Deployment) likeness {
	switch {
	case isRelease(d.Version) && isRelease(e.Version):
		return likenessOf(d.Version == e.Version)
	case d.Commit != "" && e.Commit != "":
		return likenessOf(d.Commit == e.Commit ||
			min(len(d.Commit), len(e.Commit)) >= shortCommit && (strings.HasPrefix(d.Commit, e.Commit) || strings.HasPrefix(e.Commit, d.Commit)))
	case d.Version != "" && e.Version != "":
		return likenessOf(d.Version == e.Version)
	}
	return unknown
}

// after reports whether d happened later, or at the same time and was received later.
func (d *Deployment) after(e *Deployment) bool {
	if !d.OccurredAt.Equal(e.OccurredAt.Time) {
		return d.OccurredAt.After(e.OccurredAt.Time)
	}
	return d.CreatedAt.After(e.CreatedAt.Time)
}

// Consider takes e into d's past, unless it is no part of it: elsewhere, later,
// or a step of the same operation. historyStatement does the same.
func (p *Past) Consider(d, e *Deployment) {
	if d.Org != e.Org || d.Subject != e.Subject || d.Environment != e.Environment ||
		d.ID == e.ID || !d.after(e) || e.OccurredAt.Before(d.OccurredAt.Add(-HistoryWindow)) {
		return
	}
	alike := d.like(e)
	if d.Operation == e.Operation &&
		(d.Operation != "" || d.Status == change.Succeeded && e.Status == change.Started && alike == same) {
		return
	}
	p.Before = p.Before || alike == same
	if p.Last.OccurredAt.IsZero() || e.after(&p.Last) {
		p.Last = Deployment{Version: e.Version, Commit: e.Commit, OccurredAt: e.OccurredAt, CreatedAt: e.CreatedAt}
	}
}

// RolledBack returns what d replaces by something older: d was deployed
// already, and the latest since is another.
func (p *Past) RolledBack(d *Deployment) (from string, ok bool) {
	if !p.Before || p.Last.OccurredAt.IsZero() || d.like(&p.Last) != other {
		return "", false
	}
	if isRelease(p.Last.Version) || p.Last.Commit == "" {
		return p.Last.Version, true
	}
	return p.Last.Commit, true
}

// historyStatement compares each deployment that is asked about with the
// earlier ones of its place; alike is 1 for the same, 0 for another, and -1
// when one cannot say. It reads the orgs' deployments of the window from the
// key's range, without FINAL: an older form of a row tells the same.
const historyStatement = `SELECT n, max(alike = 1) AS before,
    argMax(version, (at, created)) AS last_version,
    argMax(commit, (at, created)) AS last_commit,
    max((at, created)).1 AS last_at,
    max((at, created)).2 AS last_created
FROM (
    SELECT asked.n AS n, e.at AS at, e.created AS created, e.version AS version, e.commit AS commit,
        e.operation = asked.operation AS operation_alike, e.operation AS operation,
        asked.status = 'succeeded' AND e.status = 'started' AS ends,
        multiIf(
            match(e.version, {release:String}) AND match(asked.version, {release:String}), e.version = asked.version,
            e.commit != '' AND asked.commit != '', e.commit = asked.commit
                OR least(length(e.commit), length(asked.commit)) >= {short:UInt8}
                AND (startsWith(e.commit, asked.commit) OR startsWith(asked.commit, e.commit)),
            e.version != '' AND asked.version != '', e.version = asked.version,
            -1) AS alike
    FROM (
        SELECT org, toString(id) AS id, occurred_at AS at, created_at AS created, toString(environment) AS environment, status,
            correlation_id AS operation, software_version AS version, lower(commit_sha) AS commit,
            multiIf(service_id != '', concat('service ', service_id), repository != '', concat('repository ', repository),
                concat('resource ', resource_id)) AS subject
        FROM changes
        WHERE org IN {org:Array(String)}
          AND occurred_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
          AND occurred_at <= fromUnixTimestamp64Milli({end:Int64}, 'UTC')
          AND change_type IN ('deployment', 'rollback')
          AND is_deleted = 0
          AND (status IN ('started', 'succeeded')
            OR status = '' AND NOT has({idle:Array(String)}, arrayElement(splitByChar('.', toString(action)), -1)))
          AND environment IN {environment:Array(String)}
          AND (software_version != '' OR commit_sha != '')
          AND subject IN {subject:Array(String)}
    ) AS e
    INNER JOIN (
        SELECT d.1 AS n, d.2 AS org, d.3 AS subject, d.4 AS environment, d.5 AS version, d.6 AS commit, d.7 AS operation, d.8 AS status,
            fromUnixTimestamp64Milli(d.9, 'UTC') AS at, fromUnixTimestamp64Milli(d.10, 'UTC') AS created, unhex(d.11) AS id
        FROM (SELECT arrayJoin(arrayZip({n:Array(UInt32)}, {org:Array(String)}, {subject:Array(String)}, {environment:Array(String)},
            {version:Array(String)}, {commit:Array(String)}, {operation:Array(String)}, {status:Array(String)},
            {at:Array(Int64)}, {created:Array(Int64)}, {id:Array(String)})) AS d)
    ) AS asked
    ON e.org = asked.org AND e.subject = asked.subject AND e.environment = asked.environment
    WHERE (e.at, e.created) < (asked.at, asked.created)
      AND e.at >= asked.at - toIntervalSecond({window:UInt32})
      AND e.id != asked.id
)
WHERE NOT (operation_alike AND (operation != '' OR ends AND alike = 1))
GROUP BY n`

type pastRow struct {
	N           uint32    `ch:"n"`
	Before      uint8     `ch:"before"`
	LastVersion string    `ch:"last_version"`
	LastCommit  string    `ch:"last_commit"`
	LastAt      time.Time `ch:"last_at"`
	LastCreated time.Time `ch:"last_created"`
}

// Before returns what is stored of the time before each deployment. Ask for
// many at once: the cost is in the asking.
func (s *Store) Before(ctx context.Context, deployments []Deployment) ([]Past, error) {
	pasts := make([]Past, len(deployments))
	for first := 0; first < len(deployments); {
		end, size := first, 0
		for end < len(deployments) && (end == first || size+deployments[end].textSize() <= historyTextMost) {
			size += deployments[end].textSize() + 100 // numbers and ids
			end++
		}
		if err := s.before(ctx, deployments[first:end], pasts[first:end]); err != nil {
			return nil, err
		}
		first = end
	}
	return pasts, nil
}

func (s *Store) before(ctx context.Context, deployments []Deployment, pasts []Past) error {
	var rows []pastRow
	if err := s.query(ctx, "history", &rows, historyStatement, historyArgs(deployments)...); err != nil {
		return err
	}
	for _, r := range rows {
		pasts[r.N] = Past{Before: r.Before == 1, Last: Deployment{
			Version: r.LastVersion, Commit: r.LastCommit, OccurredAt: change.At(r.LastAt), CreatedAt: change.At(r.LastCreated),
		}}
	}
	return nil
}

// historyArgs are the deployments column by column.
func historyArgs(deployments []Deployment) []any {
	var numbers []uint32
	var at, created []int64
	text := map[string][]string{}
	start, end := deployments[0].OccurredAt.Time, deployments[0].OccurredAt.Time
	for i := range deployments {
		d := &deployments[i]
		numbers = append(numbers, uint32(i))
		at, created = append(at, d.OccurredAt.UnixMilli()), append(created, d.CreatedAt.UnixMilli())
		for name, value := range map[string]string{
			"org": d.Org, "subject": d.Subject, "environment": d.Environment, "version": d.Version, "commit": d.Commit,
			"operation": d.Operation, "status": string(d.Status), "id": hex.EncodeToString(d.ID[:]),
		} {
			text[name] = append(text[name], value)
		}
		if d.OccurredAt.Before(start) {
			start = d.OccurredAt.Time
		}
		if d.OccurredAt.After(end) {
			end = d.OccurredAt.Time
		}
	}
	args := []any{
		clickhouse.Named("n", numbers), clickhouse.Named("at", at), clickhouse.Named("created", created),
		clickhouse.Named("start", start.Add(-HistoryWindow).UnixMilli()), clickhouse.Named("end", end.UnixMilli()),
		clickhouse.Named("window", int(HistoryWindow/time.Second)), clickhouse.Named("idle", idle),
		clickhouse.Named("release", releaseForm), clickhouse.Named("short", shortCommit),
	}
	for name, values := range text {
		args = append(args, clickhouse.Named(name, values))
	}
	return args
}
