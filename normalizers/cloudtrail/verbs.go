package cloudtrail

import (
	"strings"

	"whatchanged/pkg/change"
)

// verbs say what a call does that no row of operations names. Access goes
// first: PutBucketPolicy is about access, however it starts.
var verbs = []struct {
	words string // by spaces: a leading or trailing * stands for anything
	typ   change.Type
	hint  string
}{
	{"Restore* Rollback* Revert*", change.Rollback, rollback},
	{"*Permission* *Policy *PolicyVersion *Grant *Grants *AccessEntry *AccessPolicy *Access *Password*", change.AccessChange, ""},
	{"Rotate*Secret* Rotate*Key* Rotate*Credential*", change.SecretRotation, secrets},
	{"Delete* Terminate* Remove* Deregister* Release* Purge* Destroy*", change.Infrastructure, destructive},
	{"Create* Run* Launch* Register* Allocate* Provision*", change.Infrastructure, ""},
	{"Put* Set* Update* Modify* Enable* Disable* Associate* Disassociate* Attach* Detach* Tag* Untag* Add* Change* Configure*", change.ConfigChange, ""},
	{"Start* Stop* Reboot* Restart* Resume* Pause* Failover*", change.Maintenance, ""},
}

// byVerb returns the type that an event's name suggests.
func byVerb(name string) (change.Type, string) {
	for _, row := range verbs {
		for word := range strings.FieldsSeq(row.words) {
			if matches(word, name) {
				return row.typ, row.hint
			}
		}
	}
	return change.Other, ""
}

func matches(word, name string) bool {
	bare := strings.Trim(word, "*")
	start, end := word[0] != '*', word[len(word)-1] != '*'
	switch {
	case start:
		before, after, ok := strings.Cut(bare, "*")
		rest, found := strings.CutPrefix(name, before)
		return found && (!ok || strings.Contains(rest, after))
	case end:
		return strings.HasSuffix(name, bare)
	default:
		return strings.Contains(name, bare)
	}
}
