package gcp

import (
	"strings"

	"github.com/tidwall/gjson"
)

// entry is the part of a Cloud Logging entry that we read.
// https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry
type entry struct {
	insertID, timestamp, received, severity, logName string

	payload, resource, operation, split gjson.Result

	auditLog
}

// auditLog is the protoPayload of an audit log's entry.
// https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog
type auditLog struct {
	kind, serviceName, methodName, resourceName string

	authentication, authorization, requestMetadata gjson.Result
	request, serviceData, metadata, status         gjson.Result
	location                                       gjson.Result

	service string // serviceName less ".googleapis.com"
	method  []string
	image   string // the container image that the request deploys
}

func parse(v gjson.Result) *entry {
	e := new(entry)
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "insertId":
			e.insertID = v.String()
		case "timestamp":
			e.timestamp = v.String()
		case "receiveTimestamp":
			e.received = v.String()
		case "severity":
			e.severity = v.String()
		case "logName":
			e.logName = v.String()
		case "protoPayload":
			e.payload = v
		case "resource":
			e.resource = v
		case "operation":
			e.operation = v
		case "split":
			e.split = v
		}
		return true
	})
	e.payload.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "@type", "at_sign_type", "at_type":
			e.kind = v.String()
		case "serviceName":
			e.serviceName = v.String()
		case "methodName":
			e.methodName = v.String()
		case "resourceName":
			e.resourceName = v.String()
		case "authenticationInfo":
			e.authentication = v
		case "authorizationInfo":
			e.authorization = v
		case "requestMetadata":
			e.requestMetadata = v
		case "request":
			e.request = v
		case "serviceData":
			e.serviceData = v
		case "metadata":
			e.metadata = v
		case "status":
			e.status = v
		case "resourceLocation":
			e.location = v
		}
		return true
	})
	e.service = strings.TrimSuffix(e.serviceName, ".googleapis.com")
	e.method = strings.Split(e.methodName, ".")
	e.image = e.imageOf()
	return e
}

// log returns the last part of the log's name: activity, data_access,
// system_event, policy.
func (e *entry) log() string {
	name := e.logName
	for _, sep := range []string{"%2F", "%2f", "/"} {
		if i := strings.LastIndex(name, sep); i >= 0 {
			name = name[i+len(sep):]
		}
	}
	return name
}

// verb is the last part of the method's name: insert, CreateService, patch.
func (e *entry) verb() string { return e.method[len(e.method)-1] }

// project is where it happened: the resource's label, else what names say.
func (e *entry) project() string {
	if p := e.resource.Get("labels.project_id").String(); p != "" {
		return p
	}
	for _, name := range []string{e.logName, e.resourceName} {
		if p := after(name, "projects/"); p != "" && p != "_" && p != "-" {
			return p
		}
	}
	for _, kind := range []string{"organizations/", "folders/", "billingAccounts/"} {
		if id := after(e.logName, kind); id != "" {
			return kind + id
		}
	}
	return ""
}

// region is the resource's region or zone; global is none.
func (e *entry) region() string {
	labels := e.resource.Get("labels")
	for _, v := range []string{
		labels.Get("location").String(), labels.Get("zone").String(), labels.Get("region").String(),
		e.location.Get("currentLocations.0").String(),
	} {
		if v != "" && v != "global" {
			return v
		}
	}
	for _, kind := range []string{"/zones/", "/regions/", "/locations/"} {
		if v := after(e.resourceName, kind); v != "" && v != "global" {
			return v
		}
	}
	return ""
}

// after returns the segment of a name that follows prefix.
func after(name, prefix string) string {
	_, rest, ok := strings.Cut(name, prefix)
	if !ok {
		return ""
	}
	segment, _, _ := strings.Cut(rest, "/")
	return segment
}

func lastSegment(name string) string {
	name = strings.TrimRight(name, "/")
	return name[strings.LastIndexByte(name, '/')+1:]
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
