package aws

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// notices are what services write to SNS by themselves, without EventBridge.
var notices = []struct {
	has  []string // members that tell it
	from func(Normalizer, gjson.Result, normalizers.Record) (normalizers.Result, error)
}{
	{[]string{"AlarmName", "NewStateValue"}, func(_ Normalizer, v gjson.Result, r normalizers.Record) (normalizers.Result, error) {
		return fromAlarm(v, r), nil
	}},
	{[]string{"detailType", "detail", "source"}, Normalizer.fromEvent}, // the developer tools' notification rules
	{[]string{"messageType", "configurationItem"}, fromConfig},
	{[]string{"messageType", "newEvaluationResult"}, fromConfig},
	{[]string{"eventTriggerName", "deploymentId", "applicationName"}, fromDeployment},
	{[]string{"Event", "AutoScalingGroupName"}, fromScaling},
	{[]string{"Event Source", "Event Message", "Source ID"}, fromRDS},
}

// fromNotice makes a change of such a message.
func (n Normalizer) fromNotice(v gjson.Result, r normalizers.Record) (res normalizers.Result, ok bool, err error) {
	if !v.IsObject() {
		return res, false, nil
	}
next:
	for _, notice := range notices {
		for _, name := range notice.has {
			if !v.Get(name).Exists() {
				continue next
			}
		}
		res, err = notice.from(n, v, r)
		return res, true, err
	}
	return res, false, nil
}

// fromAlarm makes a change of an alarm as CloudWatch posts it to SNS.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
func fromAlarm(v gjson.Result, r normalizers.Record) normalizers.Result {
	var name, state, arn, when string
	c := change.Change{
		Type:       change.Incident,
		ExternalID: r.EnvelopeID,
		Actor:      change.Actor{ID: "cloudwatch", Name: "CloudWatch", Type: "alerting"},
		ChangedBy:  "CloudWatch",
	}
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "AlarmName":
			name = v.String()
		case "NewStateValue":
			state = v.String()
		case "NewStateReason":
			c.Description = v.String()
		case "AWSAccountId":
			c.Account = v.String()
		case "Region": // "EU (Ireland)": the ARN has its name
			c.Region = v.String()
		case "AlarmArn":
			arn = v.String()
		case "StateChangeTime":
			when = v.String()
		}
		return true
	})
	if state == "INSUFFICIENT_DATA" {
		return normalizers.Ignore("an alarm has too little data")
	}
	c.Action, c.Status = "alarm."+strings.ToLower(state), statusOf(state)
	c.CorrelationID = orElse(arn, name)
	c.Resource = change.Resource{Type: "cloudwatch.alarm", ID: c.CorrelationID, Name: name}
	c.Summary = "Alarm " + name + ": " + state
	if c.Description != "" {
		c.Summary += ", " + c.Description
	}
	if parts := strings.Split(arn, ":"); len(parts) > 4 {
		c.Region = parts[3]
	}
	at := orElse(when, r.EnvelopeTime)
	if utc, ok := strings.CutSuffix(at, "+0000"); ok { // how CloudWatch writes RFC 3339's Z
		at = utc + "Z"
	}
	if t, ok := normalizers.ParseTime(at); ok {
		c.OccurredAt = change.At(t)
	}
	c.Metadata = redact.JSON(v)
	return normalizers.One(c, alarmKey(c.CorrelationID, state, when))
}

// alarmKey names one change of an alarm's state, by whatever path it comes.
func alarmKey(alarm, state, when string) string { return "alarm|" + alarm + "|" + state + "|" + when }

// fromConfig takes what AWS Config's delivery channel writes for the detail of
// the event that EventBridge has of it.
func fromConfig(n Normalizer, v gjson.Result, r normalizers.Record) (normalizers.Result, error) {
	kind := "Config Configuration Item Change"
	if v.Get("newEvaluationResult").Exists() {
		kind = "Config Rules Compliance Change"
	}
	b := []byte(`{"detail-type":`)
	b = normalizers.AppendString(b, kind)
	b = append(b, `,"source":"aws.config","account":`...)
	b = normalizers.AppendString(b, orElse(v.Get("configurationItem.awsAccountId").String(), v.Get("awsAccountId").String()))
	b = append(b, `,"region":`...)
	b = normalizers.AppendString(b, orElse(v.Get("configurationItem.awsRegion").String(), v.Get("awsRegion").String()))
	b = append(b, `,"time":`...)
	b = normalizers.AppendString(b, v.Get("notificationCreationTime").String())
	b = append(b, `,"detail":`...)
	b = append(append(b, v.Raw...), '}')
	return n.fromEvent(gjson.ParseBytes(b), r)
}

// fromDeployment takes what a trigger of CodeDeploy writes.
// https://docs.aws.amazon.com/codedeploy/latest/userguide/monitoring-sns-event-notifications-json-format.html
func fromDeployment(_ Normalizer, v gjson.Result, _ normalizers.Record) (normalizers.Result, error) {
	if v.Get("instanceId").Exists() {
		return normalizers.Ignore(oneOfMany), nil
	}
	id, app, group, state := v.Get("deploymentId").String(), v.Get("applicationName").String(), v.Get("deploymentGroupName").String(), v.Get("status").String()
	c := change.Change{
		Type: change.Deployment, Action: "codedeploy." + strings.ToLower(state), Status: statusOf(state),
		Account: v.Get("accountId").String(), Region: v.Get("region").String(), CorrelationID: id,
		Resource: change.Resource{Type: "codedeploy.application", ID: app, Name: app},
	}
	e := event{state: state, change: c}
	c.Summary = "Deployment " + id + " of " + app + " to " + group + " " + e.verb()
	if back := gjson.Parse(v.Get("rollbackInformation").String()); back.Get("RollbackTriggeringDeploymentId").Exists() {
		c.Type = change.Rollback
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintRollback)
		c.Description = back.Get("RollbackMessage").String()
		c.Summary += " (a rollback of " + back.Get("RollbackTriggeringDeploymentId").String() + ")"
	}
	if c.Status == change.Failed {
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintFailed)
		c.Description = orElse(gjson.Parse(v.Get("errorInformation").String()).Get("ErrorMessage").String(), c.Description)
	}
	if env, ok := normalizers.Environment(group); ok {
		c.Environment = env
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintEnvInferred)
	}
	c.Metadata = redact.JSON(v)
	return normalizers.One(c, ""), nil
}

// fromScaling takes what an Auto Scaling group writes.
func fromScaling(_ Normalizer, v gjson.Result, _ normalizers.Record) (normalizers.Result, error) {
	group, name := v.Get("AutoScalingGroupName").String(), v.Get("Event").String()
	if strings.HasSuffix(name, "TEST_NOTIFICATION") {
		return normalizers.Ignore("test notification"), nil
	}
	c := change.Change{
		Type: change.Scaling, Action: name, Status: change.Succeeded, Account: v.Get("AccountId").String(),
		CorrelationID: orElse(v.Get("ActivityId").String(), v.Get("RequestId").String()), Description: v.Get("Cause").String(),
		Resource: change.Resource{Type: "autoscaling.group", ID: orElse(v.Get("AutoScalingGroupARN").String(), group), Name: group},
	}
	verb := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "autoscaling:EC2_INSTANCE_"), "_", " "))
	if strings.HasSuffix(name, "_ERROR") {
		c.Status = change.Failed
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintFailed)
	}
	c.Summary = strings.TrimSpace(group + ": " + verb + " " + v.Get("EC2InstanceId").String())
	if t, ok := normalizers.ParseTime(v.Get("Time").String()); ok {
		c.OccurredAt = change.At(t)
	}
	c.Metadata = redact.JSON(v)
	return normalizers.One(c, ""), nil
}

// fromRDS takes what an event subscription of RDS writes.
func fromRDS(_ Normalizer, v gjson.Result, _ normalizers.Record) (normalizers.Result, error) {
	id, message := v.Get("Source ID").String(), v.Get("Event Message").String()
	typ := change.Infrastructure
	lower := strings.ToLower(message)
	for _, row := range []struct {
		word string
		typ  change.Type
	}{
		{"backing up", ""}, {"backup", ""}, {"maintenance", change.Maintenance}, {"patch", change.SecurityPatch}, {"parameter", change.ConfigChange},
		{"restored", change.Rollback}, {"failed", change.Incident}, {"storage", change.Scaling},
	} {
		if strings.Contains(lower, row.word) {
			typ = row.typ
			break
		}
	}
	if typ == "" {
		return normalizers.Ignore(routine), nil
	}
	c := change.Change{
		Type: typ, Action: "rds." + orElse(lastAfter(v.Get("Event ID").String(), '#'), "event"), Summary: id + ": " + message,
		RiskHints: []string{normalizers.HintDatabase},
		Resource:  change.Resource{Type: "rds." + v.Get("Event Source").String(), ID: orElse(v.Get("Source ARN").String(), id), Name: id},
		Metadata:  redact.JSON(v),
	}
	if t, ok := normalizers.ParseTime(v.Get("Event Time").String()); ok {
		c.OccurredAt = change.At(t)
	}
	return normalizers.One(c, ""), nil
}

// fromStackNotice takes what CloudFormation writes: a line for each fact.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-console-view-stack-data-resources.html
func fromStackNotice(text string) (res normalizers.Result, ok bool) {
	if !strings.HasPrefix(text, "StackId='") {
		return res, false
	}
	facts := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found && len(facts) < 50 {
			facts[name] = strings.Trim(value, "'")
		}
	}
	if facts["ResourceType"] != "AWS::CloudFormation::Stack" || facts["PhysicalResourceId"] != facts["StackId"] {
		return normalizers.Ignore(oneOfMany), true
	}
	e := event{state: facts["ResourceStatus"]}
	e.change = change.Change{
		Type: change.Infrastructure, Action: "cloudformation." + strings.ToLower(e.state), Status: statusOf(e.state),
		ExternalID: facts["EventId"], CorrelationID: orElse(facts["ClientRequestToken"], facts["StackId"]),
		Resource: change.Resource{Type: "cloudformation.stack", ID: facts["StackId"]},
	}
	if why := stack.at(&e, &e.change); why != "" {
		return normalizers.Ignore(why), true
	}
	c := &e.change
	c.Resource.Name = orElse(facts["StackName"], c.Resource.Name)
	c.Summary = "Stack " + c.Resource.Name + " is " + e.word("$state")
	if why := facts["ResourceStatusReason"]; why != "" {
		c.Summary += ": " + why
	}
	e.rollbacks()
	if c.Status == change.Failed {
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintFailed)
	}
	if t, ok := normalizers.ParseTime(facts["Timestamp"]); ok {
		c.OccurredAt = change.At(t)
	}
	var m normalizers.Meta
	for _, name := range []string{"LogicalResourceId", "ResourceStatus", "ResourceStatusReason", "ResourceType"} {
		m.Set(name, facts[name])
	}
	c.Metadata = m.JSON()
	return normalizers.One(*c, ""), true
}

func lastAfter(s string, sep byte) string { return s[strings.LastIndexByte(s, sep)+1:] }
