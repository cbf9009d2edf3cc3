// Package forge holds what the normalizers of places where code lives have in
// common: a change in the making, and the table of events which is code and
// document at once.
package forge

import (
	"strconv"
	"strings"

	"whatchanged/normalizers"
	"whatchanged/normalizers/fields"
	"whatchanged/pkg/change"
)

// Limits of what is looked at and what is a lot.
const (
	ManyCommits = 20 // more than these are a large change
	MaxPaths    = 64 // of the files in a push
)

// Builder makes the change of one event.
type Builder struct {
	Body   *fields.Object
	Change *change.Change
	Meta   normalizers.Meta
	// Project is the repository's name with its owner's, as summaries say it.
	Project string
	// Ignored says why there is nothing to record.
	Ignored string

	made []normalizers.Draft // the one draft that Change points into
}

// NewBuilder starts with a change of type other.
func NewBuilder(body *fields.Object) Builder {
	b := Builder{Body: body, made: make([]normalizers.Draft, 1)}
	b.Change = &b.made[0].Change
	b.Change.Type = change.Other
	return b
}

// Result is the change, or why there is none. A change of which nothing was
// said is named by the kind of its event.
func (b *Builder) Result(key, kind string) normalizers.Result {
	if b.Ignored != "" {
		return normalizers.Ignore(b.Ignored)
	}
	c := b.Change
	if c.Action == "" {
		c.Action = kind
	}
	if c.Summary == "" {
		c.Summary = strings.TrimSpace(c.ChangedBy+" "+Words(strings.NewReplacer(".", " ", ":", " ").Replace(kind))) + b.Where()
	}
	c.Metadata = b.Meta.JSON()
	b.made[0].Key = key
	return normalizers.Result{Drafts: b.made}
}

// Text is a member that is a text, number or boolean.
func (b *Builder) Text(path string) string { return b.Body.Text(path) }

// ID is a member that is an id; 0 is none.
func (b *Builder) ID(path string) string {
	if id := b.Body.Text(path); id != "0" {
		return id
	}
	return ""
}

// Copy copies members to the metadata, as fields.Object.Copy does.
func (b *Builder) Copy(members ...string) { b.Body.Copy(&b.Meta, members...) }

// Actor says who did it; nothing, when there is no name.
func (b *Builder) Actor(id, username, name string, bot bool) {
	by := First(username, name)
	if by == "" {
		return
	}
	kind := "user"
	if bot {
		kind = "bot"
	}
	b.Change.Actor = change.Actor{ID: id, Name: by, Type: kind}
	b.Change.ChangedBy = by
}

// Nobody says that the payload does not tell who did it.
func (b *Builder) Nobody() { b.Change.Actor, b.Change.ChangedBy = change.Actor{}, "" }

// Who is who did it, for summaries.
func (b *Builder) Who() string { return First(b.Change.ChangedBy, "someone") }

// Where names the repository at the end of a summary.
func (b *Builder) Where() string {
	if b.Project == "" {
		return ""
	}
	return " in " + b.Project
}

// Resource says what it was done to; nothing, when it has neither id nor name.
func (b *Builder) Resource(kind, id, name, url string) {
	if id != "" || name != "" {
		b.Change.Resource = change.Resource{Type: kind, ID: id, Name: name, URL: url}
	}
}

// Hint adds hints.
func (b *Builder) Hint(hints ...string) {
	b.Change.RiskHints = normalizers.AddHints(b.Change.RiskHints, hints...)
}

// At sets when it happened, by the first of the members that is a time; none
// leaves it open. Go's zero time, which some send for none, is none.
func (b *Builder) At(paths ...string) {
	for _, path := range paths {
		if t, ok := normalizers.ParseTime(b.Text(path)); ok && t.Year() > 1 {
			b.Change.OccurredAt = change.At(t)
			return
		}
	}
}

// Upgrade sets the type, or the one that the texts tell.
func (b *Builder) Upgrade(t change.Type, texts ...string) {
	b.Change.Type = normalizers.Upgrade(t, texts...)
	if b.Change.Type == change.Rollback {
		b.Hint(normalizers.HintRollback)
	}
}

// Status sets how far it has come, and hints when it failed.
func (b *Builder) Status(s change.Status) {
	b.Change.Status = s
	if s == change.Failed {
		b.Hint(normalizers.HintFailed)
	}
}

// Production hints that an environment is, by its tier or else by its name.
func (b *Builder) Production(tier, environment string) {
	env, ok := normalizers.Environment(environment)
	if tier == "production" || tier == "" && ok && env == normalizers.Production {
		b.Hint(normalizers.HintProduction)
	}
}

// First returns the first of the texts that is not empty.
func First(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// Words writes a name of several words with spaces.
func Words(s string) string { return strings.ReplaceAll(s, "_", " ") }

// Dotted joins a kind and what became of it, if that is said.
func Dotted(kind, what string) string { return strings.TrimSuffix(kind+"."+what, ".") }

// Count writes a number of things.
func Count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.FormatInt(n, 10) + " " + thing + "s"
}

// Commits writes how many commits there are and a space, where that is said.
func Commits(n int64) string {
	if n <= 0 {
		return ""
	}
	return Count(n, "commit") + " "
}

// IsZeros reports whether a hash stands for no commit: before a ref is created
// and after it is deleted.
func IsZeros(hash string) bool { return hash != "" && strings.Trim(hash, "0") == "" }

// Deploys reports whether the name of a pipeline, job or ref is one of a
// deployment.
func Deploys(names ...string) bool {
	for _, name := range names {
		name = strings.ToLower(name)
		for _, word := range [...]string{"deploy", "release", "rollout", "publish", "promote"} {
			if strings.Contains(name, word) {
				return true
			}
		}
	}
	return false
}
