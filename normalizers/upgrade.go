package normalizers

import (
	"slices"
	"strconv"
	"strings"

	"whatchanged/pkg/change"
)

// upgrades says which words in a title, branch, label, path or task name tell
// more than the event's own kind; the first row with a match wins. A word
// starts where the text has no letter or digit before it, and with whole set
// also ends there. Words that are weak say nothing of code: who writes "add a
// toggle button" has not touched a flag.
var upgrades = []upgrade{
	{change.Rollback, []keyword{
		{"rollback", whole | weak}, {"roll back", whole | weak}, {"rolled back", whole | weak}, {"rolling back", whole | weak},
		{"rollback to", whole}, {"rollback of", whole}, {"rollback from", whole}, {"roll back to", whole}, {"rolled back to", whole}, {"rolling back to", whole},
		{"revert to", whole}, {"reverts commit", whole}, {"revert commit", whole},
	}},
	{change.DatabaseMigration, []keyword{
		{"migration/", 0}, {"migrations/", 0}, {"db/migrate/", 0}, {"alembic/", 0},
		{"flyway", whole}, {"liquibase", whole}, {"schema change", whole},
	}},
	{change.FeatureFlag, []keyword{
		{"feature flag", whole}, {"feature flags", whole}, {"feature-flag", whole}, {"feature toggle", whole}, {"launchdarkly", whole}, {"flagd", whole},
		{"unleash", whole | weak}, {"toggle", whole | weak},
	}},
	{change.SecurityPatch, []keyword{{"cve-19", 0}, {"cve-20", 0}, {"ghsa-", 0}, {"security patch", whole}}},
	{change.Infrastructure, []keyword{
		{"terraform", whole}, {"cloudformation", whole}, {"pulumi", whole}, {"ansible", whole}, {"helm/", 0},
	}},
	{change.Maintenance, []keyword{
		{"planned maintenance", whole}, {"scheduled maintenance", whole}, {"maintenance window", whole}, {"patch window", whole}, {"maintenance", whole | weak},
	}},
	{change.Scaling, []keyword{
		{"autoscal", 0}, {"scale up", whole | weak}, {"scale down", whole | weak}, {"replicas", whole}, {"desiredcapacity", whole},
	}},
}

type upgrade struct {
	to    change.Type
	words []keyword
}

type keyword struct {
	word string
	how  int
}

const (
	whole = 1 << iota // the word ends where the keyword does
	weak              // says nothing in a text about code
)

// Upgrade returns the type that words in the texts (title, branch, labels,
// paths, task names) tell, and t when they tell none.
func Upgrade(t change.Type, texts ...string) change.Type {
	var few [8]string
	lower := append(few[:0], texts...)
	for i, text := range texts {
		if isRevert(text) || goesBack(text) {
			return change.Rollback
		}
		lower[i] = strings.ToLower(text)
	}
	best := len(upgrades)
	for _, text := range lower {
		best = min(best, rowOf(text, t, best))
	}
	if best == len(upgrades) {
		return t
	}
	return upgrades[best].to
}

// rowOf returns the first row of upgrades, among those before limit, that has
// a word in the lower-case text, else limit. It goes over the text once: there
// are many words, and in most texts none of them.
func rowOf(text string, t change.Type, limit int) int {
	for i := range len(text) {
		if i > 0 && isWordByte(text[i-1]) {
			continue
		}
		for _, k := range keywords[text[i]] {
			if k.row < limit && (k.how&weak == 0 || t != change.Code) && k.at(text[i:]) {
				limit = k.row
			}
		}
	}
	if strings.HasSuffix(text, ".tf") {
		limit = min(limit, terraformRow)
	}
	return limit
}

// keywords are the words of all rows by their first letter.
var keywords = func() (by [256][]rowKeyword) {
	for row := range upgrades {
		for _, k := range upgrades[row].words {
			by[k.word[0]] = append(by[k.word[0]], rowKeyword{k, row})
		}
	}
	return by
}()

type rowKeyword struct {
	keyword
	row int
}

// terraformRow is what a file of Terraform tells.
var terraformRow = slices.IndexFunc(upgrades, func(u upgrade) bool { return u.to == change.Infrastructure })

// reverts are how a title or a branch begins that takes something back:
// Git's, conventional commits', and people's.
var reverts = []string{`revert "`, "revert:", "revert(", "revert!:", "revert-", "rollback ", "rollback:", "rollback/", "rollback-", "roll back ", "rolled back ", "rolling back "}

// isRevert reports whether a text says that something is taken back.
func isRevert(text string) bool {
	for _, start := range reverts {
		if len(text) >= len(start) && strings.EqualFold(text[:len(start)], start) {
			return true
		}
	}
	return strings.EqualFold(text, "rollback") || strings.EqualFold(text, "revert")
}

// goesBack reports whether a text says so by its versions: "from 1.4.0 to
// 1.3.9".
func goesBack(text string) bool {
	_, after, ok := strings.Cut(text, "from ")
	if !ok {
		return false
	}
	words := strings.Fields(after)
	if len(words) < 3 || words[1] != "to" {
		return false
	}
	old, okOld := versionOf(words[0])
	now, okNow := versionOf(words[2])
	if !okOld || !okNow {
		return false
	}
	for k := range old {
		if old[k] != now[k] {
			return now[k] < old[k]
		}
	}
	return false
}

// versionOf reads a version of two to four numbers: v1.4.0, 2.1.
func versionOf(s string) (v [4]int, ok bool) {
	s = strings.TrimRight(strings.TrimPrefix(s, "v"), ".,;:)")
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 4 {
		return v, false
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || n > 1_000_000 {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

// at reports whether the lower-case text begins with the keyword.
func (k keyword) at(text string) bool {
	return strings.HasPrefix(text, k.word) && (k.how&whole == 0 || len(text) == len(k.word) || !isWordByte(text[len(k.word)]))
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 0x80
}
