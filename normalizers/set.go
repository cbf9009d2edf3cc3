package normalizers

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/glob"
)

// Generic is the provider of what nobody recognised, and its normalizer takes
// every provider that has none of its own.
const Generic = "generic"

// Set holds the normalizers by provider. Generic must be among them.
type Set map[string]Normalizer

// apiProvider is what the API's own requests come from.
const apiProvider = "api"

// Settings is what a source and its org's registry add to what the provider said.
type Settings struct {
	DefaultEnvironment string
	DefaultService     change.Service
	// IgnoreEvents are kinds that the source does not want, by the provider's
	// event or the change's action: "github.push", "gitlab.pipeline" with all
	// its states, "github.pull_request.opened", "github.*".
	IgnoreEvents []string
	// IgnoreBranches are globs over the change's branch: "renovate/*".
	IgnoreBranches []string
	// FindService returns the service that a change is about, by what it says of
	// itself: its service's name, repository, resource, tags and account.
	FindService func(c *change.Change) (change.Service, bool)
	// Held are records, by their index, that stay dead whatever they say now, and why.
	Held map[int]string
}

// Process turns one delivery into its result: it opens the envelopes,
// normalizes each record, and completes each change with what the delivery
// itself knows. It is pure. first is when the first delivery with this
// delivery's identity was received, and now is only noted in the result.
func (s Set) Process(d *change.Delivery, src Settings, first, now time.Time) change.Result {
	res := change.Result{
		DeliveryID:    d.ID,
		Org:           d.Org,
		SourceID:      d.SourceID,
		Identity:      d.Identity,
		ReceivedAt:    d.ReceivedAt,
		FirstReceived: change.At(first),
		NormalizedAt:  change.At(now),
		Size:          len(d.Body),
		BodyHash:      sha256.Sum256(d.Body),
		Provider:      d.Provider,
	}
	records, err := Unwrap(d)
	if err != nil {
		res.Outcome, res.Reason = change.Dead, reason(err)
		if res.Provider == "" {
			res.Provider, res.DetectedBy, _ = detectHeader(d.Header)
		}
		return res
	}
	if len(records) == 0 {
		res.Outcome, res.Reason = change.Ignored, "no records in it"
		return res
	}
	res.Provider, res.DetectedBy = records[0].Provider, records[0].DetectedBy
	f := finisher{delivery: d, settings: &src, first: first}
	ignored := ""
	for i := range records {
		r := &records[i]
		if why, held := src.Held[r.Index]; held {
			res.Dead = append(res.Dead, change.DeadRecord{Index: r.Index, Reason: why})
			continue
		}
		made, err := s.read(d, r)
		switch {
		case err != nil:
			res.Dead = append(res.Dead, change.DeadRecord{Index: r.Index, Reason: reason(err)})
		case made.Ignored != "":
			if ignored == "" {
				ignored = made.Ignored
			}
		default:
			n := s.of(r.Provider)
			reports := f.finishIncidents(r, &made)
			wanted := len(made.Drafts)
			for j := range made.Drafts {
				draft := &made.Drafts[j]
				if why, ok := src.ignores(r, draft); ok {
					ignored = why
					wanted--
					continue
				}
				f.finish(r, n, draft, j)
				res.Changes = append(res.Changes, draft.Change)
			}
			if wanted == 0 && len(made.Drafts) > 0 {
				continue // nor what they say of incidents
			}
			res.Incidents = append(res.Incidents, reports...)
		}
	}
	switch {
	case len(res.Changes) > 0 || len(res.Incidents) > 0:
		res.Outcome = change.Stored
	case ignored != "":
		res.Outcome, res.Reason = change.Ignored, ignored
	default:
		res.Outcome, res.Reason = change.Dead, res.Dead[0].Reason
	}
	return res
}

// of returns the normalizer for a provider.
func (s Set) of(provider string) Normalizer {
	if n, ok := s[provider]; ok {
		return n
	}
	return s[Generic]
}

// read makes what there is to make of one record. A payload, however strange,
// must not stop the pipeline: a panic is a bug of ours, and ends as a dead letter.
func (s Set) read(d *change.Delivery, r *Record) (made Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			made, err = Result{}, fmt.Errorf("%w: panic while normalizing (%T)", change.ErrMalformed, p) // its text may quote the payload
		}
	}()
	if change.AboutIncidents(d.Header) {
		return s.incidents(d, r)
	}
	return s.normalize(r)
}

// normalize calls the record's normalizer.
func (s Set) normalize(r *Record) (Result, error) {
	if why, ok := handshake(r); ok {
		return Ignore(why), nil
	}
	made, err := s.of(r.Provider).Normalize(*r)
	if err == nil && len(made.Drafts) == 0 && made.Ignored == "" {
		made.Ignored = "nothing to record"
	}
	return made, err
}

// ignores reports whether the source does not want this draft, and which of
// its settings says so.
func (src *Settings) ignores(r *Record, d *Draft) (why string, ok bool) {
	if len(src.IgnoreEvents) > 0 {
		event, action := kind(r, d), r.Provider+"."+d.Action
		for _, pattern := range src.IgnoreEvents {
			if ignoresEvent(pattern, event, action) {
				return "the source ignores " + event + " (ignore_events: " + pattern + ")", true
			}
		}
	}
	if d.Branch == "" {
		return "", false
	}
	for _, pattern := range src.IgnoreBranches {
		if glob.Match(pattern, d.Branch) {
			return "the source ignores branch " + Truncate(OneLine(d.Branch), 200) + " (ignore_branches: " + pattern + ")", true
		}
	}
	return "", false
}

func ignoresEvent(pattern, event, action string) bool {
	if start, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(event, start) || strings.HasPrefix(action, start)
	}
	states, ok := strings.CutPrefix(action, pattern)
	return pattern == event || ok && (states == "" || states[0] == '.')
}

// kind names what a source can ignore: the provider and its word for the event.
func kind(r *Record, d *Draft) string {
	if r.Event != "" {
		return r.Provider + "." + r.Event
	}
	return r.Provider + "." + d.Action
}

// reason is an error's text for the delivery's row, less the marker.
func reason(err error) string {
	text := strings.TrimPrefix(err.Error(), change.ErrMalformed.Error()+": ")
	return Truncate(OneLine(text), 500)
}

// finisher completes drafts with what their delivery knows.
type finisher struct {
	delivery *change.Delivery
	settings *Settings
	first    time.Time
}

// finish turns the n-th draft of a record into a change that can be stored.
func (f *finisher) finish(r *Record, n Normalizer, draft *Draft, nth int) {
	d, c := f.delivery, &draft.Change
	c.Org = d.Org
	c.CreatedAt = d.ReceivedAt
	c.Provenance = change.Provenance{
		SourceID:   d.SourceID,
		DeliveryID: d.ID,
		Index:      r.Index,
		Provider:   r.Provider,
		Normalizer: n.Provider(),
		Version:    n.Version(),
		DetectedBy: r.DetectedBy,
	}
	if c.Source == "" {
		c.Source = r.Provider
	}
	if c.Type == "" {
		c.Type = change.Other
	}
	f.setTime(c)
	f.setService(c)
	f.setEnvironment(c)
	hintProduction(c)
	clean(c)
	if c.Risk == "" {
		c.Risk = RiskOf(c.RiskHints)
	}
	c.ID = change.NewID(c.OccurredAt.Time, d.Org, r.Provider, f.key(r, draft, nth))
}

// key returns the fact's own key; where the normalizer found none, it is the
// request that makes the fact: its identity, else the delivery.
func (f *finisher) key(r *Record, draft *Draft, nth int) string {
	if draft.Key != "" {
		return draft.Key
	}
	d := f.delivery
	if draft.Own != "" {
		return d.SourceID + "\nown\n" + draft.Own
	}
	key := d.Identity
	if key == "" {
		key = d.ID.String()
	}
	return d.SourceID + "\n" + key + "\n" + strconv.Itoa(r.Index) + "\n" + strconv.Itoa(nth)
}

// setTime keeps the provider's time within what can be: from 1970 to a day
// after the fact was first received.
func (f *finisher) setTime(c *change.Change) {
	if c.OccurredAt.IsZero() {
		c.OccurredAt = change.At(f.first)
		if c.Provenance.Provider != apiProvider { // there, no time means now
			c.RiskHints = AddHints(c.RiskHints, HintTimeInferred)
		}
		return
	}
	earliest, latest := time.Unix(0, 0), f.first.Add(24*time.Hour)
	switch {
	case c.OccurredAt.Before(earliest):
		c.OccurredAt = change.At(earliest)
	case c.OccurredAt.After(latest):
		c.OccurredAt = change.At(latest)
	default:
		c.OccurredAt = change.At(c.OccurredAt.Time)
		return
	}
	c.RiskHints = AddHints(c.RiskHints, HintTimeClamped)
}

func (f *finisher) setService(c *change.Change) {
	if c.ServiceID != "" {
		return
	}
	service := f.delivery.Service
	if service == (change.Service{}) && f.settings.FindService != nil {
		if found, ok := f.settings.FindService(c); ok {
			service = found
		}
	}
	if service == (change.Service{}) && c.ServiceName == "" {
		service = f.settings.DefaultService
	}
	if service != (change.Service{}) {
		c.ServiceID, c.ServiceName = service.ID, service.Name
	}
}

// setEnvironment takes what the provider said, else what the tags say, else
// the source's default, else what the normalizer guessed, else what names suggest.
func (f *finisher) setEnvironment(c *change.Change) {
	guessed := slices.Index(c.RiskHints, HintEnvInferred)
	if c.Environment != "" && guessed < 0 {
		return
	}
	if told := cmp.Or(taggedEnvironment(c.Tags), f.settings.DefaultEnvironment); told != "" {
		c.Environment = told
		if guessed >= 0 {
			c.RiskHints = slices.Delete(c.RiskHints, guessed, guessed+1)
		}
		return
	}
	if guessed >= 0 {
		return
	}
	if env, ok := Environment(c.Resource.Name, c.Account, c.Branch); ok {
		c.Environment = env
		c.RiskHints = AddHints(c.RiskHints, HintEnvInferred)
	}
}

// taggedEnvironment is what a tag says of the environment.
func taggedEnvironment(tags []string) string {
	for _, tag := range tags {
		key, value, _ := strings.Cut(tag, ":")
		if slices.Contains([]string{"env", "environment", "stage"}, strings.ToLower(key)) && value != "" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
