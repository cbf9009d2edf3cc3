// Package generic makes a change of any JSON at all. It looks for time, actor,
// environment, version, commit and the rest under the names that senders use
// for them, and serves every provider that has no normalizer of its own; those
// it knows better have their names in a table (providers.go).
package generic

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// Normalizer reads any JSON.
type Normalizer struct{}

// New returns the normalizer.
func New() Normalizer { return Normalizer{} }

// Provider returns "generic".
func (Normalizer) Provider() string { return normalizers.Generic }

// Version counts the changes of what this normalizer makes of the same record.
func (Normalizer) Version() int { return 2 }

// Normalize makes one change of a record, or of a list of objects one each.
func (Normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	v := gjson.ParseBytes(r.JSON)
	items := []gjson.Result{v}
	if objects := objectsOf(v); len(objects) > 0 {
		items = objects
	}
	if len(items) > normalizers.MaxRecords {
		return normalizers.Result{}, fmt.Errorf("%w: more than %d records in a list", change.ErrMalformed, normalizers.MaxRecords)
	}
	res := normalizers.Result{Drafts: make([]normalizers.Draft, 0, len(items))}
	ignored := ""
	for _, item := range items {
		d, why := draft(item, &r)
		if why != "" {
			ignored = why
			continue
		}
		res.Drafts = append(res.Drafts, d)
	}
	if len(res.Drafts) == 0 {
		return normalizers.Ignore(ignored), nil
	}
	return res, nil
}

// objectsOf returns the items of a list when all are objects.
func objectsOf(v gjson.Result) []gjson.Result {
	if !v.IsArray() {
		return nil
	}
	var items []gjson.Result
	all := true
	v.ForEach(func(_, item gjson.Result) bool {
		all = item.IsObject()
		items = append(items, item)
		return all && len(items) <= normalizers.MaxRecords
	})
	if !all {
		return nil
	}
	return items
}

// draft makes a change of one object, or says why it is none.
func draft(v gjson.Result, r *normalizers.Record) (d normalizers.Draft, ignored string) {
	if !v.IsObject() {
		return normalizers.Draft{Change: fromValue(v, r)}, ""
	}
	who := providerOf(r)
	p := newPayload(v)
	c := change.Change{
		Action:        orElse(p.find(who.action, ""), r.Event),
		Description:   p.find(who.description, usual.description),
		Environment:   p.find(who.environment, usual.environment),
		Version:       p.find(who.version, usual.version),
		CommitSHA:     commit(p.find(who.commit, usual.commit)),
		CommitMessage: p.find(who.message, usual.message),
		Repository:    p.find(who.repository, usual.repository),
		PipelineURL:   link(p.find(who.pipeline, usual.pipeline)),
		PRNumber:      number(p.find(who.pr, usual.pr)),
		PRURL:         link(p.find(who.prURL, usual.prURL)),
		ServiceName:   p.find(who.service, usual.service),
		Account:       p.find(who.account, usual.account),
		Region:        p.find(who.region, usual.region),
		ExternalID:    p.find(who.external, usual.external),
		CorrelationID: p.find(who.correlation, usual.correlation),
		SessionID:     p.find(who.session, usual.session),
		ChangedBy:     p.find(who.actor, usual.actor),
		Tags:          p.tags(),
		Resource: change.Resource{
			ID:   p.find(who.resource, usual.resource),
			Name: p.find(who.name, usual.name),
			Type: p.find(who.kind, usual.kind),
			URL:  link(p.find(who.link, usual.link)),
		},
	}
	headline := p.find(who.headline, usual.headline)
	switch {
	case c.Action == "":
		c.Action = p.find("", usual.action)
	case r.Event != "" && !strings.Contains(c.Action, r.Event) && !strings.ContainsAny(c.Action, ".:"):
		c.Action = r.Event + "." + c.Action // a header has the event, the body what became of it
	}
	if c.Description == headline {
		c.Description = ""
	}
	if c.ChangedBy != "" {
		c.Actor = change.Actor{ID: orElse(p.find(who.actorID, usual.actorID), c.ChangedBy), Name: c.ChangedBy, Type: p.actorType(c.ChangedBy)}
	}
	branchOrTag(&c, p.find(who.branch, usual.branch), text(p.scopes[0].get("ref_type")))
	c.Status = statusOf(p.find(who.status, usual.status))
	if c.Status == "" {
		c.Status = statusOf(lastWord(c.Action))
	}
	c.Type = typeOf(who, p, c.Action, headline)
	if risk := change.Risk(strings.ToLower(p.find(who.risk, usual.risk))); slices.Contains(change.Risks(), risk) {
		c.Risk = risk
	}
	t, ok := p.findTime(who.time, usual.time)
	if !ok {
		t, ok = normalizers.ParseTime(r.EnvelopeTime)
	}
	if ok {
		c.OccurredAt = change.At(t)
	}
	story := telling{payload: p, record: r, c: &c, headline: headline, key: p.key(who.key)}
	if who.tell != nil {
		if ignored := who.tell(&story); ignored != "" {
			return d, ignored
		}
	}
	c.RiskHints = normalizers.AddHints(c.RiskHints, hints(&c)...)
	if c.Summary == "" {
		c.Summary = summary(&c, r, story.headline, who.titled || who.unknown())
	}
	c.Metadata = story.metadata()
	return normalizers.Draft{Change: c, Key: story.key}, ""
}

// fromValue makes a change of JSON that is no object.
func fromValue(v gjson.Result, r *normalizers.Record) change.Change {
	c := change.Change{Type: change.Other, Action: r.Event}
	switch {
	case v.Type == gjson.String && strings.TrimSpace(v.Str) != "":
		c.Summary = v.Str[:min(len(v.Str), maxText)]
		c.Type = normalizers.Upgrade(change.Other, c.Summary)
	case v.IsArray():
		n := 0
		v.ForEach(func(_, _ gjson.Result) bool { n++; return true })
		c.Summary = fmt.Sprintf("A list of %d values", n)
	default:
		c.Summary = "The value " + v.Raw[:min(len(v.Raw), 100)]
	}
	if t, ok := normalizers.ParseTime(r.EnvelopeTime); ok {
		c.OccurredAt = change.At(t)
	}
	var m normalizers.Meta
	m.SetRaw("value", v.Raw)
	c.Metadata = m.JSON()
	return c
}

// summary is the headline where that says it all, and else who did what to
// what, and where.
func summary(c *change.Change, r *normalizers.Record, headline string, titled bool) string {
	headline = normalizers.FirstLine(headline)
	headline = strings.TrimPrefix(strings.TrimPrefix(headline, "refs/heads/"), "refs/tags/")
	if headline != "" && titled {
		return headline
	}
	parts := make([]string, 0, 4)
	if c.ChangedBy != "" && c.Actor.Type != "alerting" {
		parts = append(parts, c.ChangedBy+":")
	}
	if action := short(c.Action); action != "" {
		parts = append(parts, action)
	}
	switch {
	case headline != "":
		parts = append(parts, headline)
		if c.Version != "" && c.Repository == headline {
			parts[len(parts)-1] += ":" + c.Version
		}
	case c.ServiceName != "":
		parts = append(parts, c.ServiceName)
	case c.Resource.Name != "" || c.Resource.ID != "":
		parts = append(parts, orElse(c.Resource.Name, c.Resource.ID))
	}
	if c.Repository != "" && c.Repository != headline && c.Repository != c.Resource.Name {
		parts = append(parts, "in", c.Repository)
	}
	if c.Version != "" && headline == "" {
		parts = append(parts, c.Version)
	}
	if c.Environment != "" {
		parts = append(parts, "to", c.Environment)
	}
	if len(parts) == 0 {
		return "An event without a title" + pick(r.Provider != normalizers.Generic, " of "+r.Provider, "")
	}
	return strings.Join(parts, " ")
}
