package normalizers

import (
	"strings"

	"whatchanged/pkg/change"
)

// upgrades says which words in a title, branch, label, path or task name tell
// more than the event's own kind; the first row with a match wins. A word
// starts where the text has no letter or digit before it, and with whole set
// also ends there.
var upgrades = []struct {
	to    change.Type
	words []keyword
}{
	{change.Rollback, []keyword{{"rollback", true}, {"roll back", true}, {"rolled back", true}}},
	{change.DatabaseMigration, []keyword{
		{"migration/", false}, {"migrations/", false}, {"db/migrate/", false}, {"alembic/", false},
		{"flyway", true}, {"liquibase", true}, {"schema change", true},
	}},
	{change.FeatureFlag, []keyword{
		{"feature flag", true}, {"feature flags", true}, {"launchdarkly", true}, {"unleash", true},
		{"flagd", true}, {"toggle", true},
	}},
	{change.SecurityPatch, []keyword{{"cve-19", false}, {"cve-20", false}, {"ghsa-", false}, {"security patch", true}}},
	{change.Infrastructure, []keyword{
		{"terraform", true}, {"cloudformation", true}, {"pulumi", true}, {"ansible", true}, {"helm/", false},
	}},
	{change.Maintenance, []keyword{{"maintenance", true}, {"patch window", true}}},
	{change.Scaling, []keyword{
		{"autoscal", false}, {"scale up", true}, {"scale down", true}, {"replicas", true}, {"desiredcapacity", true},
	}},
}

type keyword struct {
	word  string
	whole bool
}

// Upgrade returns the type that words in the texts (title, branch, labels,
// paths, task names) tell, and t when they tell none.
func Upgrade(t change.Type, texts ...string) change.Type {
	var few [8]string
	lower := append(few[:0], texts...)
	for i, text := range texts {
		if strings.HasPrefix(text, `Revert "`) {
			return change.Rollback
		}
		lower[i] = strings.ToLower(text)
	}
	for _, row := range upgrades {
		for _, text := range lower {
			for _, k := range row.words {
				if k.in(text) {
					return row.to
				}
			}
			if row.to == change.Infrastructure && strings.HasSuffix(text, ".tf") {
				return row.to
			}
		}
	}
	return t
}

// in reports whether the lower-case text has the keyword.
func (k keyword) in(text string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], k.word)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(k.word)
		if (start == 0 || !isWordByte(text[start-1])) && (!k.whole || end == len(text) || !isWordByte(text[end])) {
			return true
		}
		from = start + 1
	}
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 0x80
}
