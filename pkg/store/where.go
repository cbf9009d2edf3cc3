package store

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
	"whatchanged/pkg/glob"
	"whatchanged/pkg/problem"
)

// where is the condition of a statement: clauses with placeholders, and the
// values that the server binds to them. Nothing from outside is ever part of
// a statement's text.
type where struct {
	clauses []string
	args    []any
}

// forOrg begins every condition there is: no statement is without its org.
func forOrg(org string) (*where, error) {
	if org == "" {
		return nil, problem.Invalid("org", "is missing")
	}
	w := &where{}
	w.add("org = {org:String}", "org", org)
	return w, nil
}

// add adds a clause and the value of the one parameter that it brings.
func (w *where) add(clause, name string, value any) {
	w.clauses = append(w.clauses, clause)
	w.args = append(w.args, clickhouse.Named(name, value))
}

// equal adds column = value unless the value is empty.
func (w *where) equal(column, value string) {
	if value != "" {
		w.add(fmt.Sprintf("%s = {%s:String}", column, column), column, value)
	}
}

// anyOf adds column IN values unless there are none.
func anyOf[T ~string](w *where, column string, values []T) {
	if len(values) == 0 {
		return
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	w.add(fmt.Sprintf("%s IN ({%s:Array(String)})", column, column), column, texts)
}

// likePattern makes a pattern of * one of LIKE.
var likePattern = strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`, "*", "%")

// between adds start <= column < end; a zero time is no bound.
func (w *where) between(column string, start, end time.Time) {
	if !start.IsZero() {
		w.add(column+" >= "+atParam("start"), "start", ceilMilli(start))
	}
	if !end.IsZero() {
		w.add(column+" < "+atParam("end"), "end", ceilMilli(end))
	}
}

func (w *where) String() string { return strings.Join(w.clauses, "\n  AND ") }

// indent moves a condition into a subquery.
func indent(condition string) string { return strings.ReplaceAll(condition, "\n", "\n    ") }

// clone returns a copy to which more can be added.
func (w *where) clone() *where {
	return &where{clauses: slices.Clip(w.clauses), args: slices.Clip(w.args)}
}

// atParam is a moment that comes as a parameter, in milliseconds: text would
// depend on the time zone that it is read in.
func atParam(name string) string { return "fromUnixTimestamp64Milli({" + name + ":Int64}, 'UTC')" }

// idParam is an id that comes as a parameter, in hexadecimal.
func idParam(name string) string { return "toFixedString(unhex({" + name + ":String}), 16)" }

// ceilMilli rounds up: a bound inside a millisecond lies after the rows of it,
// which are kept cut to the millisecond.
func ceilMilli(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

// The most words that a search may have, and characters.
const (
	maxWords = 32
	maxQuery = 500
)

// where is the filter as a condition, but for the time range: that is split
// into windows.
func (f *ChangeFilter) where() (*where, error) {
	w, err := forOrg(f.Org)
	if err != nil {
		return nil, err
	}
	w.equal("service_id", f.ServiceID)
	anyOf(w, "change_type", f.Types)
	w.equal("source", f.Source)
	w.equal("environment", f.Environment)
	w.equal("repository", f.Repository)
	anyOf(w, "risk_level", f.Risks)
	anyOf(w, "status", f.Statuses)
	f.whereAction(w)
	w.equal("actor_id", f.ActorID)
	w.equal("session_id", f.SessionID)
	w.equal("correlation_id", f.CorrelationID)
	w.equal("external_id", f.ExternalID)
	w.equal("provider", f.Provider)
	w.equal("account", f.Account)
	w.equal("region", f.Region)
	w.equal("branch", f.Branch)
	w.equal("software_version", f.Version)
	if f.CommitSHA != "" {
		w.add("startsWith(commit_sha, {commit_sha:String})", "commit_sha", f.CommitSHA)
	}
	if f.Actor != "" {
		w.add("(changed_by = {actor:String} OR actor_name = {actor:String} OR actor_id = {actor:String})", "actor", f.Actor)
	}
	if f.ResourceID != "" {
		w.add("(resource_id = {resource:String} OR resource_name = {resource:String})", "resource", f.ResourceID)
	}
	if f.Tag != "" {
		w.add("has(tags, {tag:String})", "tag", f.Tag)
	}
	if !f.DeliveryID.IsZero() {
		w.add("delivery_id = "+idParam("delivery_id"), "delivery_id", hex.EncodeToString(f.DeliveryID[:]))
	}
	if f.Q != "" {
		if err := checkWords(f.Q); err != nil {
			return nil, err
		}
		w.add("hasAllTokens(lowerUTF8(summary), lowerUTF8({q:String}))", "q", f.Q)
	}
	if !f.AsOf.IsZero() {
		w.add("created_at <= "+atParam("as_of"), "as_of", change.At(f.AsOf).UnixMilli())
	}
	return w, nil
}

// whereAction adds the condition of the action. A change without one has that
// of its type.
func (f *ChangeFilter) whereAction(w *where) {
	if f.Action == "" {
		return
	}
	types := []string{}
	for _, t := range change.Types() {
		if glob.Match(f.Action, t.Action()) {
			types = append(types, string(t))
		}
	}
	clause, value := "action = {action:String}", f.Action
	if strings.Contains(f.Action, "*") {
		clause, value = "action LIKE {action:String}", likePattern.Replace(f.Action)
	}
	if len(types) > 0 {
		clause = "(" + clause + " OR (action = '' AND change_type IN {action_types:Array(String)}))"
		w.args = append(w.args, clickhouse.Named("action_types", types))
	}
	w.add(clause, "action", value)
}

// checkWords refuses searches that the text index has no answer for.
func checkWords(q string) error {
	if utf8.RuneCountInString(q) > maxQuery {
		return problem.Invalid("q", fmt.Sprintf("must be at most %d characters", maxQuery))
	}
	words := strings.FieldsFunc(q, func(r rune) bool {
		return r < utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	switch {
	case len(words) == 0:
		return problem.Invalid("q", "must have at least one letter or digit")
	case len(words) > maxWords:
		return problem.Invalid("q", fmt.Sprintf("must be at most %d words", maxWords))
	}
	return nil
}
