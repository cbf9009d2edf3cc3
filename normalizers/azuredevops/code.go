package azuredevops

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// maxRefs is the most branches and tags of one push that are changes.
const maxRefs = 100

// fromPush makes a change of each branch and tag that a push moved.
func fromPush(e *event, k *kind) normalizers.Result {
	p := e.resource
	repo := p.Get("repository")
	commits := p.Get("commits").Array()
	var res normalizers.Result
	push := e.change(k.typ, text(p.Get("date")))
	e.setRepository(&push, repo)
	setActor(&push, p.Get("pushedBy"))
	p.Get("refUpdates").ForEach(func(_, ref gjson.Result) bool {
		c := push
		name := text(ref.Get("name"))
		before, after := text(ref.Get("oldObjectId")), text(ref.Get("newObjectId"))
		if !isZero(after) {
			c.CommitSHA = after
		}
		tag, isTag := strings.CutPrefix(name, "refs/tags/")
		if isTag {
			c.Version = tag
		} else {
			c.Branch = branch(name)
		}
		if len(commits) > 0 && !isTag && !isZero(after) {
			c.CommitMessage = text(commits[0].Get("comment"))
		}
		c.Summary = pushed(&c, before, after, len(commits), text(repo.Get("name")))
		if isDirect(name, repo, before, after, c.CommitMessage) {
			c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintDirectPush)
		}
		c.Type = normalizers.Upgrade(c.Type, normalizers.FirstLine(c.CommitMessage))
		res.Drafts = append(res.Drafts, normalizers.Draft{Change: c, Key: e.key("|" + name)})
		return len(res.Drafts) < maxRefs
	})
	if len(res.Drafts) == 0 { // the subscription may leave out the details
		c := push
		c.Summary = first(normalizers.FirstLine(e.text), who(&c, "Somebody")+"pushed to "+first(c.Repository, "a repository"))
		return e.one(c)
	}
	return res
}

// pushed says what a push did to one branch or tag.
func pushed(c *change.Change, before, after string, commits int, repo string) string {
	what := "branch " + c.Branch
	if c.Version != "" {
		what = "tag " + c.Version
	}
	in := ""
	if repo != "" {
		in = " in " + repo
	}
	switch {
	case isZero(after):
		return who(c, "Somebody") + "deleted " + what + in
	case isZero(before):
		return who(c, "Somebody") + "created " + what + in
	case commits == 1:
		return who(c, "Somebody") + fmt.Sprintf("pushed %q to %s%s", normalizers.FirstLine(c.CommitMessage), first(c.Branch, what), in)
	case commits == 0:
		return who(c, "Somebody") + "moved " + what + " to " + normalizers.ShortSHA(after) + in
	}
	return who(c, "Somebody") + fmt.Sprintf("pushed %d commits to %s%s", commits, first(c.Branch, what), in)
}

// isDirect reports whether a push went to the default branch without a pull
// request; a completed one is a push too, and says so in its message.
func isDirect(ref string, repo gjson.Result, before, after, message string) bool {
	return ref != "" && ref == text(repo.Get("defaultBranch")) && !isZero(before) && !isZero(after) &&
		!strings.HasPrefix(message, "Merged PR ") && !strings.HasPrefix(message, "Merge pull request ")
}

// isZero knows the commit that stands for none.
func isZero(sha string) bool { return sha != "" && strings.Trim(sha, "0") == "" }

// fromPullRequest reads that a pull request was opened, merged or given up.
// Two events tell of a merge, so the key is the pull request's own.
func fromPullRequest(e *event, k *kind) normalizers.Result {
	p := e.resource
	if inner := p.Get("pullRequest"); inner.IsObject() {
		p = inner
	}
	status := text(p.Get("status"))
	verb, key := "", e.key("")
	switch {
	case text(p.Get("pullRequestId")) == "":
		return normalizers.Ignore("no details of the pull request: the subscription has to send all resource details")
	case strings.HasSuffix(e.kind, ".created"):
		verb = "opened"
	case status == "completed":
		verb = "merged"
		key = strings.Join([]string{"merged", text(p.Get("repository.id")), text(p.Get("pullRequestId"))}, "|")
	case status == "abandoned":
		verb = "abandoned"
	case strings.HasSuffix(e.kind, ".merged"):
		return normalizers.Ignore("a trial merge: the pull request is still open")
	default:
		return normalizers.Ignore("the pull request is still open")
	}
	when := "closedDate"
	if verb == "opened" {
		when = "creationDate"
	}
	c := e.change(k.typ, text(p.Get(when)))
	e.setRepository(&c, p.Get("repository"))
	c.PRNumber = text(p.Get("pullRequestId"))
	c.PRURL = first(link(p.Get("_links.web.href")), webURL(p))
	c.CorrelationID = "azure_devops:pr:" + text(p.Get("repository.id")) + ":" + c.PRNumber
	c.Branch = branch(text(p.Get("targetRefName")))
	title := normalizers.FirstLine(text(p.Get("title")))
	c.Description = text(p.Get("description"))
	switch verb {
	case "merged":
		c.Status = change.Succeeded
		c.CommitSHA = first(text(p.Get("lastMergeCommit.commitId")), text(p.Get("lastMergeSourceCommit.commitId")))
		c.CommitMessage = text(p.Get("lastMergeCommit.comment"))
		setActor(&c, p.Get("closedBy"), p.Get("createdBy"))
		if unreviewed(p) {
			c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintUnreviewedMerge)
		}
	case "abandoned":
		c.Status = change.Cancelled
		c.CommitSHA = text(p.Get("lastMergeSourceCommit.commitId"))
		setActor(&c, p.Get("closedBy"), p.Get("createdBy"))
	default:
		c.CommitSHA = text(p.Get("lastMergeSourceCommit.commitId"))
		setActor(&c, p.Get("createdBy"))
	}
	c.Summary = who(&c, "Somebody") + verb + " !" + c.PRNumber
	if title != "" {
		c.Summary += " '" + title + "'"
	}
	if c.Branch != "" {
		c.Summary += " into " + c.Branch
	}
	if c.Repository != "" {
		c.Summary += " in " + c.Repository
	}
	c.Type = normalizers.Upgrade(c.Type, title, branch(text(p.Get("sourceRefName"))))
	return normalizers.One(c, key)
}

// unreviewed reports whether nobody voted for a pull request whose reviewers
// are listed. A vote of 10 approves, 5 approves with suggestions.
func unreviewed(p gjson.Result) bool {
	reviewers := p.Get("reviewers")
	if !reviewers.IsArray() {
		return false
	}
	approved := false
	reviewers.ForEach(func(_, r gjson.Result) bool {
		approved = r.Get("vote").Int() >= 5
		return !approved
	})
	return !approved
}

// webURL makes the page of a pull request from its repository's.
func webURL(p gjson.Result) string {
	repo := first(link(p.Get("repository.webUrl")), link(p.Get("repository.remoteUrl")))
	if repo == "" || text(p.Get("pullRequestId")) == "" {
		return ""
	}
	return repo + "/pullrequest/" + text(p.Get("pullRequestId"))
}

// fromRepository reads that a repository came, went or changed its name.
func fromRepository(e *event, k *kind) normalizers.Result {
	c := e.change(k.typ, text(e.resource.Get("utcTimestamp")))
	e.setRepository(&c, e.resource.Get("repository"))
	setActor(&c, e.resource.Get("initiatedBy"))
	verb := strings.TrimPrefix(e.kind, "git.repo.")
	switch verb {
	case "deleted":
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintDestructive)
	case "statuschanged":
		verb = "disabled"
		if d := e.resource.Get("disabled"); d.IsBool() && !d.Bool() {
			verb = "enabled"
		}
	}
	c.Summary = who(&c, "Somebody") + verb + " the repository " + first(c.Repository, text(e.resource.Get("repositoryName")))
	return e.one(c)
}

// fromCheckin reads a changeset.
func fromCheckin(e *event, k *kind) normalizers.Result {
	r := e.resource
	c := e.change(k.typ, text(r.Get("createdDate")))
	id := text(r.Get("changesetId"))
	c.Version = id
	c.CommitMessage = text(r.Get("comment"))
	c.Resource = change.Resource{Type: "changeset", ID: id, Name: "changeset " + id, URL: link(r.Get("_links.web.href"))}
	setActor(&c, r.Get("checkedInBy"), r.Get("author"))
	c.Summary = who(&c, "Somebody") + "checked in changeset " + id
	if title := normalizers.FirstLine(c.CommitMessage); title != "" {
		c.Summary += " '" + title + "'"
	}
	c.Type = normalizers.Upgrade(c.Type, normalizers.FirstLine(c.CommitMessage))
	return e.one(c)
}

// setRepository says where the code is.
func (e *event) setRepository(c *change.Change, repo gjson.Result) {
	c.Repository = text(repo.Get("name"))
	c.Resource = change.Resource{
		Type: "repository", ID: first(text(repo.Get("id")), c.Repository), Name: c.Repository,
		URL: first(link(repo.Get("webUrl")), link(repo.Get("remoteUrl"))),
	}
}
