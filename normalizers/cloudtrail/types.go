package cloudtrail

import (
	"strings"

	"github.com/tidwall/gjson"
)

// record is the part of a CloudTrail record that we read. Names are compared
// exactly: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
type record struct {
	eventVersion, eventTime, eventSource, eventName, eventType, eventCategory string
	eventID, sharedEventID, requestID                                         string
	originalEventID, addendumReason                                           string // of a correction
	region, account, sourceIP, userAgent, vpcEndpoint                         string
	errorCode                                                                 string
	fromConsole                                                               bool

	readOnly, managementEvent         gjson.Result
	identity                          identity
	request, response, serviceDetails gjson.Result
	resources                         gjson.Result
	context                           gjson.Result // tags of the caller and the resource, where the trail adds them

	service string // eventSource less ".amazonaws.com"
	name    string // eventName less the API date it may end with

	machines string // see instances
}

func parse(json []byte) *record {
	r := new(record)
	gjson.ParseBytes(json).ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "eventVersion":
			r.eventVersion = v.String()
		case "eventTime":
			r.eventTime = v.String()
		case "eventSource":
			r.eventSource = v.String()
		case "eventName":
			r.eventName = v.String()
		case "eventType":
			r.eventType = v.String()
		case "eventCategory":
			r.eventCategory = v.String()
		case "eventID":
			r.eventID = v.String()
		case "sharedEventID":
			r.sharedEventID = v.String()
		case "addendum":
			r.originalEventID, r.addendumReason = v.Get("originalEventID").String(), v.Get("reason").String()
		case "eventContext":
			r.context = v
		case "requestID", "requestId":
			r.requestID = v.String()
		case "awsRegion":
			r.region = v.String()
		case "recipientAccountId":
			r.account = v.String()
		case "sourceIPAddress":
			r.sourceIP = v.String()
		case "userAgent":
			r.userAgent = v.String()
		case "vpcEndpointId":
			r.vpcEndpoint = v.String()
		case "errorCode":
			r.errorCode = v.String()
		case "sessionCredentialFromConsole":
			r.fromConsole = v.String() == "true"
		case "readOnly":
			r.readOnly = v
		case "managementEvent":
			r.managementEvent = v
		case "userIdentity":
			r.identity = parseIdentity(v)
		case "requestParameters":
			r.request = v
		case "responseElements":
			r.response = v
		case "serviceEventDetails":
			r.serviceDetails = v
		case "resources":
			r.resources = v
		}
		return true
	})
	r.service = strings.TrimSuffix(strings.TrimSuffix(r.eventSource, ".cn"), ".amazonaws.com")
	r.name = trimDate(r.eventName)
	if r.account == "" {
		r.account = r.identity.account
	}
	return r
}

// trimDate takes off the API date that Lambda and CloudFront put behind their
// event names: UpdateFunctionCode20150331v2, CreateDistribution2020_05_31.
func trimDate(name string) string {
	cut := name
	if i := strings.LastIndexByte(cut, 'v'); i > 0 && i < len(cut)-1 && digits(cut[i+1:]) == len(cut)-i-1 {
		cut = cut[:i]
	}
	if n := digits(cut); n == 8 {
		return cut[:len(cut)-8]
	}
	if s := strings.ReplaceAll(name, "_", ""); len(s) == len(name)-2 && digits(s) == 8 && len(name) > 10 {
		return name[:len(name)-10]
	}
	return name
}

// digits counts the digits at the end of s.
func digits(s string) int {
	n := 0
	for n < len(s) && s[len(s)-1-n] >= '0' && s[len(s)-1-n] <= '9' {
		n++
	}
	return n
}
