package cloudtrail

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"whatchanged/normalizers/aws/phrase"
	"whatchanged/normalizers/normtest"
)

const page = "../../docs/providers/aws.md"

func TestDocument_CallsAreTheOnesOfTheTable(t *testing.T) {
	var rows [][]string
	for _, op := range operations {
		look := ""
		if op.look != nil {
			look = op.look.says
		}
		rows = append(rows, []string{op.service, strings.ReplaceAll(op.names, " ", ", "), normtest.Code(string(op.typ)), codes(op.hints), look})
	}
	normtest.Document(t, page, "calls", normtest.Table([]string{"service", "calls", "type", "risk", "a closer look"}, rows))
}

func TestDocument_Verbs(t *testing.T) {
	var rows [][]string
	for _, verb := range verbs {
		rows = append(rows, []string{codes(verb.words), normtest.Code(string(verb.typ)), codes(verb.hint)})
	}
	rows = append(rows, []string{"anything else", normtest.Code("other"), ""})
	normtest.Document(t, page, "verbs", normtest.Table([]string{"call", "type", "risk"}, rows))
}

func TestDocument_Hints(t *testing.T) {
	rows := [][]string{
		{normtest.Code(public), "a security group or network ACL lets in `0.0.0.0/0` or `::/0`; a policy allows `Principal: *` without a condition; an ACL for `AllUsers`; a public access block with holes; a snapshot or image for `all`; `publiclyAccessible`; an EKS endpoint for everybody; a function URL without authentication"},
		{normtest.Code(privilege), "`AdministratorAccess`, `PowerUserAccess`, `IAMFullAccess`; a policy that allows `*`, `iam:*` or `NotAction`; into a group called admin; a role that another account may assume"},
		{normtest.Code(noProtect), "`deletionProtection`, `disableApiTermination`, `enableTerminationProtection` and the like set to false on something that exists"},
		{normtest.Code(noCrypt), "storage, transport or a queue without encryption where the call says so"},
		{normtest.Code(destructive), "`skipFinalSnapshot`, `forceDeleteWithoutRecovery`"},
		{normtest.Code(noMFA), "a person in the console without a second factor"},
		{normtest.Code("root_or_owner_actor"), "the root user"},
		{normtest.Code(breakGlass), "a role or user called break-glass, firefighter or emergency"},
	}
	normtest.Document(t, page, "hints", normtest.Table([]string{"risk", "when"}, rows))
}

func TestDocument_Phrases(t *testing.T) {
	calls := slices.Collect(maps.Keys(phrases))
	for c := range sayings {
		if phrases[c] == "" {
			calls = append(calls, c)
		}
	}
	slices.SortFunc(calls, func(a, b call) int { return strings.Compare(a.service+":"+a.name, b.service+":"+b.name) })
	var rows [][]string
	for _, c := range calls {
		said := phrase.Show(phrases[c])
		if sayings[c] != nil {
			said = "what its parameters say"
		}
		rows = append(rows, []string{normtest.Code(c.service + ":" + c.name), said})
	}
	normtest.Document(t, page, "phrases", normtest.Table([]string{"call", "in words"}, rows))
}

func TestDocument_IgnoredCalls(t *testing.T) {
	rows := [][]string{
		{"read-only call", "`readOnly: true`; where the record does not say, a name that begins with " + strings.Join(readOnlyPrefixes, ", ")},
		{"data event", "`eventCategory: Data`: objects, items, invocations"},
		{"network activity event", "`eventCategory: NetworkActivity`"},
		{"insight event", "`AwsCloudTrailInsight`"},
		{"failed call: *code*", "`errorCode`, also within the answer"},
		{"dry run", "`dryRun: true`"},
	}
	for _, service := range slices.Sorted(maps.Keys(noise)) {
		names := strings.Join(noise[service], ", ")
		if names == "*" {
			names = "everything"
		}
		rows = append(rows, []string{"noise: " + service + ":*call*", names})
	}
	rows = append(rows, []string{"noise: kms:*call*", "CreateGrant, RetireGrant by a service"})
	normtest.Document(t, page, "ignored-calls", normtest.Table([]string{"reason", "what"}, rows))
}

func codes(words string) string {
	var out []string
	for word := range strings.FieldsSeq(words) {
		out = append(out, normtest.Code(word))
	}
	return strings.Join(out, ", ")
}
