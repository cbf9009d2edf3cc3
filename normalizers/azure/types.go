package azure

import (
	"strings"

	"github.com/tidwall/gjson"
)

// event is what the forms of Azure's records have in common: Activity Log
// records as diagnostic settings stream them, as the REST API shows them, as
// alerts wrap them; and Event Grid's resource events.
type event struct {
	time, operation, localized, category, status, subStatus string
	eventName, eventID, correlationID, operationID          string
	resourceID, resourceGroup, resourceType, provider       string
	subscription, tenant, location, level, ip, caller       string
	description, signature, recordID                        string
	// statusName and categoryName are what the record calls them.
	statusName, categoryName string
	// outcome is how it ended where something outside the record says so.
	outcome string

	claims     []claim
	assignment *assignment // once somebody has asked for it

	authorization, properties, httpRequest gjson.Result
	request, response                      gjson.Result // of the properties: what was asked for, and the answer
}

// activityLog reads a record of the Activity Log in any of its forms.
// https://learn.microsoft.com/azure/azure-monitor/essentials/activity-log-schema
func activityLog(v gjson.Result) *event {
	e := new(event)
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "time", "eventTimestamp":
			e.time = v.String()
		case "operationName":
			e.operation, e.localized = pair(v)
		case "category", "eventSource":
			if s, _ := pair(v); e.category == "" {
				e.category, e.categoryName = s, key.Str
			}
		case "resultType", "status":
			e.status, _ = pair(v)
			e.statusName = key.Str
		case "resultSignature":
			e.signature = v.String()
		case "subStatus":
			e.subStatus, _ = pair(v)
		case "resultDescription", "description":
			e.description = v.String()
		case "eventName":
			e.eventName, _ = pair(v)
		case "id":
			e.recordID = v.String()
		case "eventDataId":
			e.eventID = v.String()
		case "correlationId":
			e.correlationID = v.String()
		case "operationId":
			e.operationID = v.String()
		case "resourceId":
			e.resourceID = v.String()
		case "resourceGroupName":
			e.resourceGroup = v.String()
		case "resourceType":
			e.resourceType, _ = pair(v)
		case "resourceProviderName":
			e.provider, _ = pair(v)
		case "subscriptionId":
			e.subscription = v.String()
		case "tenantId":
			e.tenant = v.String()
		case "location":
			e.location = v.String()
		case "level":
			e.level = v.String()
		case "callerIpAddress":
			e.ip = v.String()
		case "caller":
			e.caller = v.String()
		case "identity":
			identity := object(v)
			e.claims = claimsOf(object(member(identity, "claims", "claim"))) // Key Vault has the latter
			e.authorization = object(identity.Get("authorization"))
		case "claims":
			e.claims = claimsOf(object(v))
		case "authorization":
			e.authorization = object(v)
		case "httpRequest":
			e.httpRequest = object(v)
		case "properties":
			e.properties = object(v)
			e.request = object(member(e.properties, "requestbody", "requestBody"))
			e.response = member(e.properties, "responseBody", "responsebody")
		}
		return true
	})
	if category := e.properties.Get("eventCategory").String(); category != "" && !known(e.category) {
		e.category = category
	}
	return e.complete()
}

// complete fills in what other fields say too.
func (e *event) complete() *event {
	if e.resourceID == "" {
		e.resourceID = first(e.authorization.Get("scope").String(), e.properties.Get("entity").String())
	}
	if e.subscription == "" {
		e.subscription = segmentAfter(e.resourceID, "subscriptions")
	}
	if e.resourceGroup == "" {
		e.resourceGroup = segmentAfter(e.resourceID, "resourcegroups")
	}
	if e.ip == "" {
		e.ip = first(e.httpRequest.Get("clientIpAddress").String(), e.claim("ipaddr"))
	}
	if e.resourceType == "" {
		e.resourceType = typeOf(e.resourceID)
	}
	return e
}

// known reports whether a category is one of the Activity Log's, not the verb
// that old records have in its place.
func known(category string) bool {
	switch strings.ToLower(category) {
	case "", "write", "delete", "action":
		return false
	}
	return true
}

// claim is a claim of the caller's token, by the last part of its name: "upn"
// is http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn.
type claim struct {
	name, value string
	short       bool // the name is that alone
}

func claimsOf(v gjson.Result) []claim {
	if !v.IsObject() {
		return nil
	}
	claims := make([]claim, 0, 24)
	v.ForEach(func(key, v gjson.Result) bool {
		name := lastSegment(key.Str)
		claims = append(claims, claim{name, v.String(), len(name) == len(key.Str)})
		return true
	})
	return claims
}

// claim returns a claim; where two end in the same word, the one that is that word.
func (e *event) claim(name string) string {
	found := ""
	for i := range e.claims {
		c := &e.claims[i]
		if c.name == name && (c.short || found == "") {
			if found = c.value; c.short {
				break
			}
		}
	}
	return found
}

// pair reads a value that the REST API shows as {"value", "localizedValue"}.
func pair(v gjson.Result) (value, localized string) {
	if v.IsObject() {
		return v.Get("value").String(), v.Get("localizedValue").String()
	}
	return v.String(), ""
}

// object returns an object that may come as JSON inside a string.
func object(v gjson.Result) gjson.Result {
	if v.Type == gjson.String && strings.HasPrefix(strings.TrimSpace(v.Str), "{") && gjson.Valid(v.Str) {
		return gjson.Parse(v.Str)
	}
	return v
}

// segmentAfter returns the segment of a resource id behind name, whose case varies.
func segmentAfter(id, name string) string {
	for rest := id; rest != ""; {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		if strings.EqualFold(segment, name) {
			value, _, _ := strings.Cut(rest, "/")
			return value
		}
	}
	return ""
}

// typeOf returns the type in a resource id: of .../providers/Microsoft.Sql/servers/a/databases/b
// it is Microsoft.Sql/servers/databases.
func typeOf(id string) string {
	segments := strings.Split(id, "/")
	at := -1
	for i, s := range segments {
		if strings.EqualFold(s, "providers") {
			at = i
		}
	}
	if at < 0 {
		if segmentAfter(id, "resourcegroups") != "" {
			return "Microsoft.Resources/subscriptions/resourceGroups"
		}
		return ""
	}
	var b strings.Builder
	for i := at + 1; i < len(segments); i++ {
		switch {
		case i == at+1:
			b.WriteString(segments[i])
		case (i-at)%2 == 0:
			b.WriteString("/" + segments[i])
		}
	}
	return b.String()
}

func lastSegment(id string) string {
	id = strings.TrimRight(id, "/")
	return id[strings.LastIndexByte(id, '/')+1:]
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// member returns the first member that is there.
func member(v gjson.Result, paths ...string) gjson.Result {
	for _, p := range paths {
		if r := v.Get(p); r.Exists() {
			return r
		}
	}
	return gjson.Result{}
}
