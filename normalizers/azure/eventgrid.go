package azure

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// gridEvent is an Event Grid event in any of its schemas: Event Grid's own,
// CloudEvents 1.0, and the 0.1 draft that Azure once sent.
type gridEvent struct {
	id, kind, time, subject, topic string
	data                           gjson.Result
}

func parseGridEvent(v gjson.Result) *gridEvent {
	g := new(gridEvent)
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "id", "eventID":
			g.id = v.String()
		case "eventType", "type":
			g.kind = v.String()
		case "eventTime", "time":
			g.time = v.String()
		case "subject":
			g.subject = v.String()
		case "topic", "source":
			g.topic = v.String()
		case "data":
			g.data = object(v)
		}
		return true
	})
	return g
}

func fromEventGrid(g *gridEvent) normalizers.Result {
	kind := strings.TrimPrefix(g.kind, "Microsoft.")
	var m normalizers.Meta
	m.Set("eventType", g.kind)
	m.Set("topic", g.topic)
	m.Set("subject", g.subject)
	if rest, ok := strings.CutPrefix(kind, "Resources.Resource"); ok {
		return g.resourceEvent(rest, &m)
	}
	if rest, ok := strings.CutPrefix(kind, "ResourceNotifications.Resources."); ok {
		return g.notification(rest, &m)
	}
	row := findGridKind(kind)
	if row == nil {
		row = &gridKind{typ: byWord(kind)}
	}
	if row.ignore != "" {
		return normalizers.Ignore(row.ignore)
	}
	c := g.change(row, kind, &m)
	return normalizers.One(c, g.key())
}

// resourceEvent makes a change of what happened to a resource:
// Microsoft.Resources.ResourceWriteSuccess and its like.
func (g *gridEvent) resourceEvent(what string, m *normalizers.Meta) normalizers.Result {
	e := activityLog(g.data)
	e.time = g.time
	e.category = "Administrative"
	e.eventID = ""
	e.resourceID = first(g.data.Get("resourceUri").String(), e.resourceID, g.subject)
	e.provider = g.data.Get("resourceProvider").String()
	e.resourceType = typeOf(e.resourceID)
	if e.operation == "" {
		e.operation = e.authorization.Get("action").String()
	}
	for _, s := range []string{"Success", "Failure", "Cancel"} {
		if strings.HasSuffix(what, s) {
			e.outcome = s
		}
	}
	return g.named(fromActivityLog(e.complete(), m))
}

// notification makes a change of what Azure Resource Notifications say of a
// resource: that it is there now in this form, or gone. Nobody is named.
func (g *gridEvent) notification(what string, m *normalizers.Meta) normalizers.Result {
	info := g.data.Get("resourceInfo")
	e := &event{
		category:   "Administrative",
		outcome:    "Success",
		time:       first(g.data.Get("operationalInfo.resourceEventTime").String(), g.time),
		resourceID: first(info.Get("id").String(), g.subject),
		location:   info.Get("location").String(),
	}
	e.complete()
	verb := "/write"
	if what == "Deleted" {
		verb = "/delete"
	}
	e.operation = first(info.Get("type").String(), e.resourceType) + verb
	m.SetRaw("data", redact.Raw(g.data))
	res := g.named(fromActivityLog(e, m))
	for i := range res.Drafts {
		c := &res.Drafts[i].Change
		c.Action = g.kind
		if c.Environment != "" {
			continue
		}
		setTags(c, info.Get("tags"))
	}
	return res
}

// named gives a record of the Activity Log the event's id and key.
func (g *gridEvent) named(res normalizers.Result) normalizers.Result {
	for i := range res.Drafts {
		res.Drafts[i].ExternalID = g.id
		res.Drafts[i].Key = g.key()
	}
	return res
}

// change fills in what all other kinds share; the row's own function knows more.
func (g *gridEvent) change(row *gridKind, kind string, m *normalizers.Meta) change.Change {
	m.SetRaw("data", redact.Raw(g.data))
	where := lastSegment(g.topic)
	c := change.Change{
		Type:       row.typ,
		Action:     g.kind,
		Status:     statusOfKind(kind),
		ExternalID: g.id,
		Account:    segmentAfter(g.topic, "subscriptions"),
		Resource:   change.Resource{ID: first(g.topic, g.subject), Type: typeOf(g.topic), Name: first(where, g.subject)},
		Metadata:   m.JSON(),
	}
	if t, ok := normalizers.ParseTime(g.time); ok {
		c.OccurredAt = change.At(t)
	}
	_, what, _ := strings.Cut(kind, ".")
	c.Summary = sentence(spaced(first(what, kind))) + ": " + first(g.subject, where)
	if where != "" && where != g.subject {
		c.Summary += " in " + where
	}
	if row.read != nil {
		row.read(g, &c)
	}
	if c.Status == change.Failed {
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintFailed)
	}
	if strings.HasSuffix(kind, "Deleted") && c.Type == change.Infrastructure {
		c.RiskHints = normalizers.AddHints(c.RiskHints, destructive)
	}
	inferEnvironment(&c, c.Resource.Name, segmentAfter(g.topic, "resourcegroups"), where)
	return c
}

// statusOfKind goes by the last word of a kind: SlotSwapStarted.
func statusOfKind(kind string) change.Status {
	switch {
	case strings.HasSuffix(kind, "Started"):
		return change.Started
	case strings.HasSuffix(kind, "Failed"):
		return change.Failed
	case strings.HasSuffix(kind, "Cancelled"), strings.HasSuffix(kind, "Canceled"):
		return change.Cancelled
	}
	return change.Succeeded
}

// vault reads what happened to a key vault or something in it.
func (g *gridEvent) vault(c *change.Change) {
	vault := first(text(g.data, "VaultName", "vaultName"), lastSegment(g.topic))
	c.RiskHints = normalizers.AddHints(c.RiskHints, secrets)
	name := text(g.data, "ObjectName", "objectName")
	if name == "" || strings.HasSuffix(g.kind, "AccessPolicyChanged") {
		c.Summary = "Access policy of key vault " + vault + " changed"
		return
	}
	c.Resource.Name, c.Resource.ID = name, first(g.topic, vault)+"/"+name
	c.Version = text(g.data, "Version", "version")
	kind := strings.ToLower(first(text(g.data, "ObjectType", "objectType"), "object"))
	if strings.HasSuffix(g.kind, "NewVersionCreated") {
		c.Summary = "New version of " + kind + " " + name + " in key vault " + vault
		return
	}
	c.Summary = sentence(kind) + " " + name + " changed in key vault " + vault
}

// keyValue reads a key of App Configuration, which may be a feature flag.
func (g *gridEvent) keyValue(c *change.Change) {
	const flag = ".appconfig.featureflag/"
	key, label := text(g.data, "key"), text(g.data, "label")
	store := lastSegment(g.topic)
	c.Resource.ID, c.Resource.Name = first(g.topic, store)+"/keyValues/"+key, key
	what := "Key "
	if name, ok := strings.CutPrefix(key, flag); ok {
		c.Type, c.Resource.Name, what = change.FeatureFlag, name, "Feature flag "
	}
	c.Summary = what + c.Resource.Name
	if label != "" {
		c.Summary += " (label " + label + ")"
		if env, ok := normalizers.Environment(label); ok {
			c.Environment = env
		}
	}
	if strings.HasSuffix(g.kind, "Deleted") {
		c.Summary += " deleted from "
	} else {
		c.Summary += " changed in "
	}
	c.Summary += "App Configuration " + store
}

// image reads an image or chart that came to a registry or left it.
func (g *gridEvent) image(c *change.Change) {
	target := g.data.Get("target")
	name := text(target, "repository", "name")
	tag := text(target, "tag", "version")
	digest := text(target, "digest")
	registry := lastSegment(g.topic)
	c.Version = first(tag, digest)
	c.Resource = change.Resource{Type: "container_image", Name: name, ID: first(name, registry), URL: httpURL(text(target, "url"))}
	if by := text(g.data.Get("actor"), "name"); by != "" {
		c.Actor = change.Actor{ID: by, Name: by, Type: "user"}
		c.ChangedBy = by
	}
	if tag != "" {
		name += ":" + tag
	} else if digest != "" {
		name += "@" + digest[:min(len(digest), len("sha256:")+12)]
	}
	what := "image "
	if strings.Contains(g.kind, "Chart") {
		what = "chart "
	}
	done := "pushed "
	if strings.HasSuffix(g.kind, "Deleted") {
		done = "deleted "
	}
	c.Summary = first(c.ChangedBy, "Somebody") + " " + done + what + name
	if done == "deleted " {
		c.Summary += " from registry " + registry
	} else {
		c.Summary += " to registry " + registry
	}
}

// nodePool reads how far AKS has come with renewing a node pool.
func (g *gridEvent) nodePool(c *change.Change) {
	c.Summary = "Nodes of pool " + first(text(g.data, "nodePoolName"), "?") + " in AKS cluster " + lastSegment(g.topic) + " are being renewed"
	switch c.Status {
	case change.Succeeded:
		c.Summary = strings.Replace(c.Summary, "are being renewed", "were renewed", 1)
	case change.Failed:
		c.Summary = strings.Replace(c.Summary, "are being renewed", "could not be renewed", 1)
	}
}

// slotSwap reads that the slots of an app were swapped.
func (g *gridEvent) slotSwap(c *change.Change) {
	app := first(text(g.data, "name"), lastSegment(g.topic))
	c.Resource.Name = app
	c.Summary = "Slot swap of app " + app
	if from, to := text(g.data, "sourceSlot"), text(g.data, "targetSlot"); from != "" && to != "" {
		c.Summary += ", " + from + " to " + to
	}
	_, what, _ := strings.Cut(g.kind, "SlotSwap")
	c.Summary += ": " + spaced(what)
	c.CorrelationID = text(g.data, "correlationRequestId")
}

// app reads what was done to an app of App Service.
func (g *gridEvent) app(c *change.Change) {
	action := text(g.data.Get("appEventTypeDetail"), "action")
	switch action {
	case "Restarted", "Stopped", "Started":
		c.Type, c.Status = change.Maintenance, change.Succeeded
	case "Completed":
		c.Type = change.Deployment
	case "Failed":
		c.Type, c.Status = change.Deployment, change.Failed
	}
	app := first(text(g.data, "name"), lastSegment(g.topic))
	c.Resource.Name = app
	c.Summary = "App " + app + " updated"
	if action != "" {
		c.Summary = "App " + app + ": " + spaced(action)
	}
	c.CorrelationID = text(g.data, "correlationRequestId")
}

// policy reads how a resource does with a policy.
func (g *gridEvent) policy(c *change.Change) {
	c.Resource = change.Resource{ID: g.subject, Type: typeOf(g.subject), Name: lastSegment(g.subject)}
	assignment := lastSegment(text(g.data, "policyAssignmentId"))
	c.Summary = noun(shortType(c.Resource.Type), c.Resource.Type) + " " + c.Resource.Name + " is " +
		first(spaced(text(g.data, "complianceState")), "no longer assessed") + " for policy " + first(assignment, "?")
	c.Account = first(c.Account, segmentAfter(g.subject, "subscriptions"), text(g.data, "subscriptionId"))
}

// health reads whether a resource can be reached.
func (g *gridEvent) health(c *change.Change) {
	info := g.data.Get("resourceInfo")
	id := first(text(info.Get("properties"), "targetResourceId"), text(info, "id"), g.subject)
	if i := indexFold(id, "/providers/microsoft.resourcehealth/"); i > 0 {
		id = id[:i]
	}
	p := info.Get("properties")
	state, was := text(p, "availabilityState"), text(p, "previousAvailabilityState")
	c.Resource = change.Resource{ID: id, Type: typeOf(id), Name: lastSegment(id)}
	c.Account = first(c.Account, segmentAfter(id, "subscriptions"))
	c.Actor = change.Actor{ID: "azure", Name: "Azure", Type: "system"}
	c.ChangedBy = "Azure"
	c.CorrelationID = "azure:health:" + strings.ToLower(id)
	c.Status = change.Started
	if state == "Available" {
		c.Status = change.Succeeded
	}
	name := noun(shortType(c.Resource.Type), c.Resource.Type) + " " + c.Resource.Name
	switch {
	case state != "" && was != "":
		c.Summary = name + " is " + strings.ToLower(state) + ", was " + strings.ToLower(was)
	case state != "":
		c.Summary = name + " is " + strings.ToLower(state)
	default:
		c.Summary = name + ": " + first(text(p, "summary"), text(p, "annotationName"), "a note on its health")
		if text(p, "category") == "Planned" {
			c.Type = change.Maintenance
		}
	}
	c.Summary = sentence(c.Summary)
	c.Description = text(p, "summary", "reason")
}

// scheduled reads planned maintenance of an AKS cluster.
func (g *gridEvent) scheduled(c *change.Change) {
	info := g.data.Get("resourceInfo")
	p := info.Get("properties")
	id := first(text(info, "id"), g.subject)
	if cluster := segmentAfter(id, "managedclusters"); cluster != "" {
		c.Resource = change.Resource{ID: id, Type: "Microsoft.ContainerService/managedClusters", Name: cluster}
	}
	c.Account = first(c.Account, segmentAfter(id, "subscriptions"))
	state := text(p, "eventStatus")
	c.Status = statusOf(state, "")
	c.Summary = "Maintenance of AKS cluster " + c.Resource.Name
	if state != "" {
		c.Summary += ": " + spaced(state)
	}
	c.Description = text(p, "eventDetails", "eventType")
	c.CorrelationID = text(p, "eventId")
}

// sentence starts with a capital, unless a name stands there.
func sentence(s string) string {
	word, _, _ := strings.Cut(s, " ")
	if s == "" || s[0] < 'a' || s[0] > 'z' || strings.ContainsAny(word, "@.-_:/0123456789") {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// key is the event's id within its topic: an id alone is only unique there.
func (g *gridEvent) key() string { return "eventgrid|" + strings.ToLower(g.topic) + "|" + g.id }

// byWord goes by the last word of a kind of event that no row names.
func byWord(kind string) change.Type {
	switch {
	case strings.HasSuffix(kind, "Created"), strings.HasSuffix(kind, "Deleted"):
		return change.Infrastructure
	case strings.HasSuffix(kind, "Updated"), strings.HasSuffix(kind, "Modified"), strings.HasSuffix(kind, "Changed"):
		return change.ConfigChange
	}
	return change.Other
}

// matches compares with a pattern that may have one *.
func matches(pattern, s string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return s == pattern
	}
	rest, ok := strings.CutPrefix(s, before)
	return ok && strings.HasSuffix(rest, after)
}

func httpURL(s string) string {
	if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
		return s
	}
	return ""
}
