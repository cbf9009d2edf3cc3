// Package cloudtrail makes changes of AWS CloudTrail records, by whatever
// path they came: a log file, EventBridge, SNS, Firehose, CloudWatch Logs. It
// leaves out what changes nothing: reads, data events, agents reporting, calls
// that failed.
package cloudtrail

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// Normalizer reads CloudTrail records.
type Normalizer struct {
	operations *table
}

// New returns the normalizer.
func New() *Normalizer { return &Normalizer{operations: newTable(operations)} }

// Provider returns "cloudtrail".
func (*Normalizer) Provider() string { return "cloudtrail" }

// Version counts the changes of what this normalizer makes of the same record.
func (*Normalizer) Version() int { return 2 }

// Normalize makes at most one change of a record.
func (n *Normalizer) Normalize(rec normalizers.Record) (normalizers.Result, error) {
	r := parse(rec.JSON)
	if r.eventName == "" && r.eventType == "" {
		return normalizers.Ignore("not a CloudTrail record: no eventName"), nil
	}
	if reason := r.notAChange(); reason != "" {
		return normalizers.Ignore(reason), nil
	}
	c := change.Change{
		Action:        r.service + "." + r.name,
		Account:       r.account,
		Region:        r.region,
		ExternalID:    r.eventID,
		CorrelationID: first(r.sharedEventID, r.requestID),
	}
	c.Type, c.RiskHints = n.classify(r)
	actor, hints := r.actor()
	c.Actor, c.ChangedBy = actor, actor.Name
	c.RiskHints = normalizers.AddHints(c.RiskHints, hints...)
	c.Resource = r.resource()
	c.Tags = r.tags()
	if cluster := arnName(r.request.Get("cluster").String()); r.service == "ecs" && len(c.Tags) == 0 { // services are often named alike in all of them
		if env, ok := normalizers.Environment(cluster); ok {
			c.Environment = env
			c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintEnvInferred)
		}
	}
	c.Version, c.CommitSHA = r.version()
	c.Status = r.status()
	c.Summary = r.summary(actor.Name, c.Resource)
	c.Metadata = r.metadata(rec)
	if t, ok := normalizers.ParseTime(first(r.eventTime, rec.EnvelopeTime)); ok {
		c.OccurredAt = change.At(t)
	}
	return normalizers.One(c, r.key()), nil
}

// status is how far the call has brought it. A call that succeeded has done
// what it says, but for those that only begin something, and for what a service
// tells of its own work.
func (r *record) status() change.Status {
	switch {
	case r.eventType == "AwsServiceEvent" && strings.HasSuffix(r.name, "Failed"), strings.HasSuffix(r.name, "Abandoned"):
		return change.Failed
	case r.eventType == "AwsServiceEvent" && strings.HasSuffix(r.name, "Started"):
		return change.Started
	}
	return change.Succeeded
}

// classify finds the type of a call and what is risky about it.
func (n *Normalizer) classify(r *record) (change.Type, []string) {
	var typ change.Type
	var hints []string
	if op := n.operations.find(r.service, r.name); op != nil {
		typ = op.typ
		for hint := range strings.FieldsSeq(op.hints) {
			hints = append(hints, hint)
		}
		if op.look != nil {
			closer, hint := op.look.at(r)
			if closer != "" {
				typ = closer
			}
			hints = normalizers.AddHints(hints, hint)
		}
	} else {
		var hint string
		typ, hint = byVerb(r.name)
		hints = normalizers.AddHints(hints, hint)
	}
	if typ == change.Rollback {
		hints = normalizers.AddHints(hints, rollback)
	}
	return typ, normalizers.AddHints(hints, r.dangers()...)
}

// key is the record's own id. A record that corrects an earlier one is the same
// fact, so it has that one's. Records before version 1.01 have none: what they
// say then stands in for it.
func (r *record) key() string {
	if id := first(r.originalEventID, r.eventID); id != "" {
		return id
	}
	h := sha256.New()
	for _, part := range []string{
		r.eventTime, r.eventSource, r.eventName, r.region, r.requestID, r.sourceIP,
		r.identity.arn, r.resource().Name,
	} {
		fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)[:16])
}

// latest is Lambda's name for code that has no version of its own.
const latest = "$LATEST"

// version is what a deployment brought: an image's tag, a function's version,
// a task definition's revision.
func (r *record) version() (version, commit string) {
	switch r.service + "." + r.name {
	case "ecr.PutImage":
		version = r.request.Get("imageTag").String()
	case "ecs.UpdateService", "ecs.CreateService", "ecs.RunTask":
		version = arnName(r.request.Get("taskDefinition").String())
		if arn := r.request.Get("taskDefinition").String(); strings.HasPrefix(arn, "arn:") {
			version = afterLast(arn, '/')
		}
	case "ecs.RegisterTaskDefinition":
		version = afterLast(r.response.Get("taskDefinition.taskDefinitionArn").String(), '/')
	case "lambda.PublishVersion", "lambda.UpdateFunctionCode":
		if v := r.response.Get("version").String(); v != latest {
			version = v
		}
	case "lambda.UpdateAlias", "lambda.CreateAlias":
		version = r.request.Get("functionVersion").String()
	case "elasticbeanstalk.UpdateEnvironment", "elasticbeanstalk.CreateApplicationVersion":
		version = r.request.Get("versionLabel").String()
	case "codebuild.StartBuild":
		commit = r.request.Get("sourceVersion").String()
	case "codedeploy.CreateDeployment":
		commit = r.request.Get("revision.gitHubLocation.commitId").String()
	case "rds.ModifyDBInstance", "rds.ModifyDBCluster":
		version = r.request.Get("engineVersion").String()
	case "eks.UpdateClusterVersion", "eks.UpdateNodegroupVersion":
		version = r.request.Get("version").String()
	}
	return version, commit
}
