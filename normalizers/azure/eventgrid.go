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

// gridKinds says what the events are that are not about resources (those go
// the way of the Activity Log). A kind that is not here goes by its last word.
// https://learn.microsoft.com/azure/event-grid/system-topics
var gridKinds = []struct {
	kind   string // less "Microsoft."; a last * stands for anything
	typ    change.Type
	ignore string
}{
	{"Storage.Blob*", "", "data event: blobs are not configuration"},
	{"Storage.Directory*", "", "data event: blobs are not configuration"},
	{"Storage.AsyncOperation*", "", "data event"},
	{"ServiceBus.*", "", "messages waiting, not a change"},
	{"EventHub.CaptureFileCreated", "", "data event"},
	{"Devices.DeviceConnected", "", "device telemetry"},
	{"Devices.DeviceDisconnected", "", "device telemetry"},
	{"Devices.DeviceTelemetry", "", "device telemetry"},
	{"Devices.*", change.Infrastructure, ""},
	{"KeyVault.*NearExpiry", "", "reminder: near expiry"},
	{"KeyVault.*Expired", "", "reminder: expired"},
	{"KeyVault.*NewVersionCreated", change.SecretRotation, ""},
	{"KeyVault.VaultAccessPolicyChanged", change.AccessChange, ""},
	{"AppConfiguration.*", change.ConfigChange, ""},
	{"ContainerRegistry.*Deleted", change.Infrastructure, ""},
	{"ContainerRegistry.*", change.Deployment, ""},
	{"ContainerService.NewKubernetesVersionAvailable", "", "offer of a new version"},
	{"ContainerService.*", change.Maintenance, ""},
	{"Web.SlotSwap*", change.Deployment, ""},
	{"Web.BackupOperation*", change.Maintenance, ""},
	{"Web.AppServicePlanUpdated", change.ConfigChange, ""},
	{"Web.*", change.Deployment, ""},
	{"PolicyInsights.*", change.ConfigChange, ""},
	{"HealthResources.*", change.Incident, ""},
	{"MachineLearningServices.ModelDeployed", change.Deployment, ""},
	{"MachineLearningServices.*", change.Other, ""},
	{"ResourceNotifications.HealthResources.*", change.Incident, ""},
	{"Maps.*", "", "telemetry"},
	{"Media.*", "", "telemetry"},
	{"EventGrid.Subscription*", "", "Event Grid subscription handshake"},
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
	typ := change.Type("")
	for _, row := range gridKinds {
		if !matches(row.kind, kind) {
			continue
		}
		if row.ignore != "" {
			return normalizers.Ignore(row.ignore)
		}
		typ = row.typ
		break
	}
	if typ == "" {
		typ = byWord(kind)
	}
	c := g.change(typ, kind, &m)
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
	res := fromActivityLog(e.complete(), m)
	for i := range res.Drafts {
		res.Drafts[i].ExternalID = g.id
		res.Drafts[i].Key = g.key()
	}
	return res
}

func (g *gridEvent) change(typ change.Type, kind string, m *normalizers.Meta) change.Change {
	m.Set("data", redact.JSON(g.data))
	c := change.Change{
		Type:       typ,
		Action:     g.kind,
		Status:     change.Succeeded,
		ExternalID: g.id,
		Account:    segmentAfter(g.topic, "subscriptions"),
		Resource:   change.Resource{ID: first(g.topic, g.subject), Type: typeOf(g.topic), Name: first(g.subject, lastSegment(g.topic))},
		Metadata:   m.JSON(),
	}
	if name := g.data.Get("actor.name").String(); name != "" {
		c.Actor = change.Actor{ID: name, Name: name, Type: "user"}
		c.ChangedBy = name
	}
	if t, ok := normalizers.ParseTime(g.time); ok {
		c.OccurredAt = change.At(t)
	}
	group := segmentAfter(g.topic, "resourcegroups")
	where := lastSegment(g.topic)
	switch {
	case strings.HasPrefix(kind, "AppConfiguration."):
		key := g.data.Get("key").String()
		c.Resource.Name, c.Resource.ID = key, first(g.topic, where)+"/keyValues/"+key
		if strings.HasPrefix(key, ".appconfig.featureflag/") {
			c.Type = change.FeatureFlag
			c.Resource.Name = strings.TrimPrefix(key, ".appconfig.featureflag/")
		}
		c.Summary = strings.TrimPrefix(kind, "AppConfiguration.") + ": " + c.Resource.Name
		if label := g.data.Get("label").String(); label != "" {
			c.Summary += " (label " + label + ")"
			if env, ok := normalizers.Environment(label); ok {
				c.Environment = env
			}
		}
		c.Summary += " in " + where
	case strings.HasPrefix(kind, "ContainerRegistry."):
		target := g.data.Get("target")
		image := first(target.Get("repository").String(), target.Get("name").String())
		tag := first(target.Get("tag").String(), target.Get("version").String())
		c.Version = first(tag, target.Get("digest").String())
		c.Resource = change.Resource{Type: "container_image", Name: image, ID: first(image, where), URL: httpURL(target.Get("url").String())}
		if tag != "" {
			image += ":" + tag
		}
		c.Summary = strings.TrimPrefix(kind, "ContainerRegistry.") + ": " + first(image, target.Get("digest").String()) + " in " + where
	case strings.HasPrefix(kind, "KeyVault."):
		c.Resource.Name = first(g.data.Get("ObjectName").String(), g.data.Get("objectName").String(), g.subject)
		c.Version = first(g.data.Get("Version").String(), g.data.Get("version").String())
		c.Summary = strings.TrimPrefix(kind, "KeyVault.") + ": " + c.Resource.Name + " in " + first(g.data.Get("VaultName").String(), where)
		c.RiskHints = normalizers.AddHints(c.RiskHints, secrets)
	default:
		c.Summary = kind + ": " + first(g.subject, where)
	}
	if strings.HasSuffix(kind, "Deleted") && c.Type == change.Infrastructure {
		c.RiskHints = normalizers.AddHints(c.RiskHints, destructive)
	}
	if env, ok := normalizers.Environment(c.Resource.Name, group); ok && c.Environment == "" {
		c.Environment = env
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintEnvInferred)
	}
	return c
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
