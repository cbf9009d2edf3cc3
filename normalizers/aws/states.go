package aws

import (
	"strings"

	"whatchanged/pkg/change"
)

// states are AWS's words for how far something has come.
var states = map[string]change.Status{
	"STARTED": change.Started, "START": change.Started, "IN_PROGRESS": change.Started, "INPROGRESS": change.Started, "RESUMED": change.Started,
	"RUNNING": change.Started, "READY": change.Started, "SERVICE_DEPLOYMENT_IN_PROGRESS": change.Started, "OPEN": change.Started, "ALARM": change.Started,
	"PENDING": change.Started, "SHUTTING-DOWN": change.Started, "STOPPING": change.Started, "CREATED": change.Started, "CREATING": change.Started, "UPDATING": change.Started,
	"SUCCEEDED": change.Succeeded, "SUCCEED": change.Succeeded, "SUCCESS": change.Succeeded, "SUCCESSFUL": change.Succeeded, "SERVICE_DEPLOYMENT_COMPLETED": change.Succeeded,
	"CLOSED": change.Succeeded, "OK": change.Succeeded, "TERMINATED": change.Succeeded, "COMPLETED": change.Succeeded, "COMPLETE": change.Succeeded,
	"AVAILABLE": change.Succeeded, "RESOLVED": change.Succeeded, "INSERVICE": change.Succeeded, "IN_SERVICE": change.Succeeded, "APPROVED": change.Succeeded,
	"FAILED": change.Failed, "FAILURE": change.Failed, "SERVICE_DEPLOYMENT_FAILED": change.Failed, "TIMED_OUT": change.Failed, "TIMEDOUT": change.Failed,
	"FAULT": change.Failed, "ERROR": change.Failed, "REJECTED": change.Failed, "EXPIRED": change.Failed, "PARTIAL": change.Failed,
	"CANCELED": change.Cancelled, "CANCELLED": change.Cancelled, "SUPERSEDED": change.Cancelled, "STOP": change.Cancelled, "STOPPED": change.Cancelled,
	"ABORTED": change.Cancelled, "ABORTING": change.Cancelled, "ABANDONED": change.Cancelled,
}

// statusOf reads a state, in full or by its ending as CloudFormation writes it.
func statusOf(state string) change.Status {
	state = strings.ToUpper(strings.TrimSpace(state))
	if s, ok := states[state]; ok {
		return s
	}
	switch {
	case strings.HasSuffix(state, "_IN_PROGRESS"):
		return change.Started
	case strings.HasSuffix(state, "_COMPLETE"):
		return change.Succeeded
	case strings.HasSuffix(state, "_FAILED"), strings.HasSuffix(state, "FAILED"):
		return change.Failed
	case strings.HasSuffix(state, "SUCCESSFULLY"):
		return change.Succeeded
	}
	return ""
}
