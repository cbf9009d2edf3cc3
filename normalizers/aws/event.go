package aws

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/aws/compact"
	"whatchanged/normalizers/aws/phrase"
	"whatchanged/normalizers/generic"
	"whatchanged/pkg/change"
)

// event is an EventBridge event on its way to a change.
type event struct {
	all, detail, resources    gjson.Result
	id, account, region, time string
	detailType                string
	source                    string // less "aws."
	native                    bool   // one of AWS's own
	state                     string
	did                       string // what happened, in words, where a closer look found them
	old, now                  normalizers.Meta
	change                    change.Change
}

// fromEvent makes a change of an EventBridge event that is not CloudTrail's.
func (n Normalizer) fromEvent(v gjson.Result, r normalizers.Record) (normalizers.Result, error) {
	e := parse(v)
	k, known := n.kinds.find(e.detailType)
	if k.ignore != "" && k.look == nil {
		return normalizers.Ignore(k.ignore), nil
	}
	c := &e.change
	e.state = e.find(k.state)
	*c = change.Change{
		Type:          orElse(k.typ, change.Other),
		Action:        e.source + "." + strings.ReplaceAll(e.detailType, " ", ""),
		Status:        statusOf(e.state),
		Account:       e.account,
		Region:        e.region,
		ExternalID:    e.id,
		CorrelationID: e.find(k.correlate),
		Version:       e.find(k.version),
	}
	c.Resource = change.Resource{ID: orElse(e.find(k.id), e.arnOf(e.find(k.name))), Name: e.find(k.name), Type: orElse(k.kind, e.source)}
	c.Resource.Name = orElse(c.Resource.Name, lastPart(c.Resource.ID))
	c.Resource.ID = orElse(c.Resource.ID, c.Resource.Name)
	if t, ok := normalizers.ParseTime(e.time); ok {
		c.OccurredAt = change.At(t)
	}
	e.by(e.find(k.by))
	if link, ok := phrase.Fill(k.link, e.word); ok && strings.HasPrefix(link, "https://") {
		c.PipelineURL = link
	}
	if !e.native && !known {
		if err := e.own(r); err != nil {
			return normalizers.Result{}, err
		}
	}
	if k.look != nil {
		if ignore := k.look.at(e, c); ignore != "" {
			return normalizers.Ignore(ignore), nil
		}
	}
	e.rollbacks()
	if c.Status == change.Failed && c.Type != change.Incident {
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintFailed)
	}
	if c.Summary == "" {
		c.Summary = e.summary(k)
	}
	e.transition("state", e.find(k.old), e.find(k.now))
	c.Metadata = e.metadata()
	return normalizers.One(*c, e.key()), nil
}

// parse reads the event itself. Notifications of the developer tools are events
// as well, and spell the detail-type in their own way.
func parse(v gjson.Result) *event {
	e := &event{all: v}
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "detail-type", "detailType":
			e.detailType = v.String()
		case "source":
			e.source, e.native = strings.CutPrefix(v.String(), "aws.")
		case "id":
			e.id = v.String()
		case "account":
			e.account = v.String()
		case "region":
			e.region = v.String()
		case "time":
			e.time = v.String()
		case "resources":
			e.resources = v
		case "detail":
			e.detail = v
		}
		return true
	})
	return e
}

// key is the event's id. An alarm's is what the alarm says, which is the same
// when CloudWatch itself tells SNS of it.
func (e *event) key() string {
	if e.detailType == alarmChange {
		return alarmKey(e.change.CorrelationID, e.state, e.detail.Get("state.timestamp").String())
	}
	if e.change.ExternalID == "" {
		return ""
	}
	return "eventbridge|" + e.change.ExternalID
}

// own takes an event that somebody else put on the bus: its detail is read as
// any JSON is, by the usual names.
func (e *event) own(r normalizers.Record) error {
	if !e.detail.IsObject() {
		return nil
	}
	r.JSON = []byte(e.detail.Raw)
	res, err := generic.New().Normalize(r)
	if err != nil || len(res.Drafts) != 1 {
		return err
	}
	c, d := &e.change, &res.Drafts[0].Change
	c.Type, c.Status = orElse(d.Type, c.Type), orElse(d.Status, c.Status)
	c.Environment, c.ServiceName, c.Version = d.Environment, d.ServiceName, d.Version
	c.Repository, c.CommitSHA, c.Branch, c.PipelineURL = d.Repository, d.CommitSHA, d.Branch, d.PipelineURL
	c.Actor, c.ChangedBy, c.CorrelationID, c.Description = d.Actor, d.ChangedBy, d.CorrelationID, d.Description
	if d.Resource.Name != "" && c.Resource.Name == "" {
		c.Resource = d.Resource
	}
	for _, name := range []string{"summary", "title", "message", "description"} { // what it calls itself, not what we would
		if text := e.detail.Get(name); text.Type == gjson.String && strings.TrimSpace(text.Str) != "" {
			c.Summary = normalizers.FirstLine(text.Str)
			break
		}
	}
	return nil
}

// summary says the event in a line; one without a phrase of its own is told by
// its type, the thing, and how far it has come.
func (e *event) summary(k eventKind) string {
	if k.say != "" {
		if said, ok := phrase.Fill(k.say, e.word); ok {
			return said
		}
	}
	s := e.detailType
	if name := e.change.Resource.Name; name != "" {
		s += ": " + name
	}
	state := orElse(e.state, orElse(e.find("status state"), e.find("eventName event result")))
	if state != "" && !strings.Contains(s, state) {
		s += " " + state
	}
	if why := e.find("reason message Message description"); why != "" {
		s += " (" + normalizers.FirstLine(why) + ")"
	}
	return s
}

// word is what a place of a phrase is filled with.
func (e *event) word(path string) string {
	switch path {
	case "$verb":
		return e.verb()
	case "$did":
		return e.did
	case "$state":
		return strings.ToLower(strings.ReplaceAll(e.state, "_", " "))
	case "$name":
		return e.change.Resource.Name
	case "$kind":
		return e.change.Resource.Type
	case "$by":
		return orElse(e.change.ChangedBy, "somebody")
	case "$event":
		return strings.ToLower(strings.TrimPrefix(e.detailType, "ACM Certificate "))
	}
	v := e.at(path)
	switch {
	case v.IsArray():
		var items []string
		v.ForEach(func(_, item gjson.Result) bool {
			items = append(items, normalizers.OneLine(item.String()))
			return len(items) < 5
		})
		return strings.Join(items, ", ")
	case v.IsObject(), v.Type == gjson.Null:
		return ""
	}
	return normalizers.OneLine(v.String())
}

func (e *event) verb() string {
	switch e.change.Status {
	case change.Started:
		return "started"
	case change.Succeeded:
		return "succeeded"
	case change.Failed:
		return "failed"
	case change.Cancelled:
		return "was cancelled"
	}
	if e.state == "" {
		return "changed"
	}
	return "is " + strings.ToLower(strings.ReplaceAll(e.state, "_", " "))
}

// at is what stands at a path of the detail, or of the event after "=".
func (e *event) at(path string) gjson.Result {
	if of, ok := strings.CutPrefix(path, "="); ok {
		return e.all.Get(of)
	}
	return e.detail.Get(path)
}

// find returns the text of the first path that holds some.
func (e *event) find(paths string) string {
	for path := range strings.FieldsSeq(paths) {
		if v := e.at(path); v.Type == gjson.String || v.Type == gjson.Number {
			if text := strings.TrimSpace(v.String()); text != "" {
				return text
			}
		}
	}
	return ""
}

// arnOf returns the ARN among the event's resources that names the thing: the
// one that ends in its name, else one that has it; without a name, the first.
func (e *event) arnOf(name string) string {
	found := ""
	e.resources.ForEach(func(_, v gjson.Result) bool {
		if v.Type != gjson.String {
			return true
		}
		if found == "" && strings.Contains(v.Str, name) {
			found = v.Str
		}
		if lastPart(v.Str) == name {
			found = v.Str
			return false
		}
		return true
	})
	return found
}

// by says who did it, from an ARN, an e-mail address or a name.
func (e *event) by(who string) {
	if who == "" {
		return
	}
	a := change.Actor{ID: who, Name: lastPart(who), Type: "user"}
	switch {
	case !strings.HasPrefix(who, "arn:"):
		a.Name = who
		if strings.Contains(who, "/") { // codepipeline/shop, rule/nightly: AWS itself
			a.Type = "service"
		}
	case strings.Contains(who, ":events:"), strings.Contains(who, ":webhook:"):
		a.Type = "service"
	}
	e.change.Actor, e.change.ChangedBy = a, a.Name
}

// rollbacks marks what AWS itself says goes back.
func (e *event) rollbacks() {
	c := &e.change
	if strings.Contains(strings.ToLower(e.state), "rollback") || goesBack(e.detail.Get("reason").String()) {
		c.Type = change.Rollback
	}
	if c.Type == change.Rollback {
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintRollback)
	}
}

func goesBack(reason string) bool {
	reason = strings.ToLower(reason)
	return strings.Contains(reason, "rollback") || strings.Contains(reason, "rolling back")
}

// transition notes what something was and is.
func (e *event) transition(name, old, now string) {
	if old != "" && now != "" && old != now {
		e.old.Set(name, old)
		e.now.Set(name, now)
	}
}

func (e *event) metadata() []byte {
	m := compact.New(256 + len(e.detail.Raw) + len(e.resources.Raw))
	m.Text("detail-type", e.detailType)
	if e.native {
		m.Text("source", "aws."+e.source)
	} else {
		m.Text("source", e.source)
	}
	m.Raw("old_value", e.old.JSON())
	m.Raw("new_value", e.now.JSON())
	m.Safe("resources", e.resources)
	m.Safe("detail", e.detail)
	return m.JSON()
}

// table finds the kind of a detail-type.
type table struct {
	exact    map[string]*eventKind
	prefixes []*eventKind
}

func newTable(kinds []eventKind) *table {
	t := &table{exact: make(map[string]*eventKind, len(kinds))}
	for i := range kinds {
		k := &kinds[i]
		if strings.HasSuffix(k.detailType, "*") {
			t.prefixes = append(t.prefixes, k)
		} else {
			t.exact[k.detailType] = k
		}
	}
	return t
}

func (t *table) find(detailType string) (k eventKind, ok bool) {
	if k := t.exact[detailType]; k != nil {
		return *k, true
	}
	for _, k := range t.prefixes {
		if strings.HasPrefix(detailType, strings.TrimSuffix(k.detailType, "*")) {
			return *k, true
		}
	}
	return eventKind{}, false
}
