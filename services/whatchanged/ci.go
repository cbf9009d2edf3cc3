package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"

	"whatchanged/pkg/client"
)

// ciJob is what a CI job says of itself.
type ciJob struct {
	source      string // the CI system, as a change's source
	run         string // this run and no other, also when the same commit is built again
	repository  string
	commit      string
	branch      string
	version     string // the tag that is built
	environment string
	changedBy   string
	pipelineURL string
	prNumber    string
	prURL       string
}

// fill completes a change: what it says already stays.
func (j ciJob) fill(in *client.NewChange) {
	defaultTo(&in.Source, j.source)
	defaultTo(&in.Repository, j.repository)
	defaultTo(&in.CommitSHA, j.commit)
	defaultTo(&in.Branch, j.branch)
	defaultTo(&in.Version, j.version)
	defaultTo(&in.Environment, j.environment)
	defaultTo(&in.ChangedBy, j.changedBy)
	defaultTo(&in.PipelineURL, j.pipelineURL)
	defaultTo((*string)(&in.PRNumber), j.prNumber)
	defaultTo(&in.PRURL, j.prURL)
}

// key names a change of this run: the same statement, told again because the
// first answer was lost or the step was retried, is recorded once. A run that
// is started again deploys again, and says so again.
func (j ciJob) key(in client.NewChange) (string, error) {
	if j.run == "" {
		return "", nil
	}
	body, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	return j.source + ":" + j.run + ":" + hex.EncodeToString(sum[:8]), nil
}

// ciSystem reads what one CI system puts into the environment of its jobs; it
// returns false in any other environment.
type ciSystem func(get func(string) string) (ciJob, bool)

// ciSystems are tried in turn. Jenkins goes last: its agents may be set up with
// variables of others.
var ciSystems = [...]ciSystem{githubActions, gitlabCI, bitbucketPipelines, circleCI, azurePipelines, argoCD, argoWorkflows, jenkins}

// detectCI returns the CI job that the program runs in, if it does.
func detectCI(get func(string) string) (ciJob, bool) {
	for _, system := range ciSystems {
		if job, ok := system(get); ok {
			return job, true
		}
	}
	return ciJob{}, false
}

// githubActions reads "Default environment variables". For a pull request the
// ref is named 7/merge; the branch is the one it comes from.
func githubActions(get func(string) string) (ciJob, bool) {
	if get("GITHUB_ACTIONS") != "true" {
		return ciJob{}, false
	}
	j := ciJob{
		source:     "github_actions",
		run:        runID(get("GITHUB_RUN_ID"), get("GITHUB_RUN_ATTEMPT"), get("GITHUB_JOB")),
		repository: get("GITHUB_REPOSITORY"),
		commit:     get("GITHUB_SHA"),
		changedBy:  get("GITHUB_ACTOR"),
	}
	home := strings.TrimRight(get("GITHUB_SERVER_URL"), "/") + "/" + j.repository
	number, pull := strings.CutSuffix(get("GITHUB_REF_NAME"), "/merge")
	switch {
	case get("GITHUB_REF_TYPE") == "tag":
		j.version = get("GITHUB_REF_NAME")
	case pull && get("GITHUB_HEAD_REF") != "":
		j.branch, j.prNumber, j.prURL = get("GITHUB_HEAD_REF"), number, home+"/pull/"+number
	default:
		j.branch = get("GITHUB_REF_NAME")
	}
	if id := get("GITHUB_RUN_ID"); id != "" {
		j.pipelineURL = home + "/actions/runs/" + id
	}
	return j, true
}

// gitlabCI reads "Predefined CI/CD variables".
func gitlabCI(get func(string) string) (ciJob, bool) {
	if get("GITLAB_CI") != "true" {
		return ciJob{}, false
	}
	j := ciJob{
		source:      "gitlab_ci",
		run:         runID(get("CI_JOB_ID")), // a job that is retried has another
		repository:  get("CI_PROJECT_PATH"),
		commit:      get("CI_COMMIT_SHA"),
		version:     get("CI_COMMIT_TAG"),
		environment: get("CI_ENVIRONMENT_NAME"),
		changedBy:   get("GITLAB_USER_LOGIN"),
		pipelineURL: get("CI_PIPELINE_URL"),
		prNumber:    get("CI_MERGE_REQUEST_IID"),
	}
	if j.version == "" {
		j.branch = cmp.Or(get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"), get("CI_COMMIT_BRANCH"), get("CI_COMMIT_REF_NAME"))
	}
	if home := get("CI_PROJECT_URL"); home != "" && j.prNumber != "" {
		j.prURL = home + "/-/merge_requests/" + j.prNumber
	}
	return j, true
}

// bitbucketPipelines reads "Variables and secrets: default variables". Who
// started it is told as an id only.
func bitbucketPipelines(get func(string) string) (ciJob, bool) {
	number := get("BITBUCKET_BUILD_NUMBER")
	if number == "" {
		return ciJob{}, false
	}
	j := ciJob{
		source:      "bitbucket_pipelines",
		run:         runID(get("BITBUCKET_REPO_FULL_NAME"), number, get("BITBUCKET_STEP_UUID"), get("BITBUCKET_STEP_RUN_NUMBER")),
		repository:  get("BITBUCKET_REPO_FULL_NAME"),
		commit:      get("BITBUCKET_COMMIT"),
		branch:      get("BITBUCKET_BRANCH"),
		version:     get("BITBUCKET_TAG"),
		environment: get("BITBUCKET_DEPLOYMENT_ENVIRONMENT"),
		changedBy:   get("BITBUCKET_STEP_TRIGGERER_UUID"),
		prNumber:    get("BITBUCKET_PR_ID"),
	}
	if j.repository != "" {
		j.pipelineURL = "https://bitbucket.org/" + j.repository + "/pipelines/results/" + url.PathEscape(number)
	}
	return j, true
}

// circleCI reads "Built-in environment variables".
func circleCI(get func(string) string) (ciJob, bool) {
	if get("CIRCLECI") != "true" {
		return ciJob{}, false
	}
	j := ciJob{
		source:      "circleci",
		run:         runID(cmp.Or(get("CIRCLE_WORKFLOW_JOB_ID"), get("CIRCLE_BUILD_URL"))),
		commit:      get("CIRCLE_SHA1"),
		branch:      get("CIRCLE_BRANCH"),
		version:     get("CIRCLE_TAG"),
		changedBy:   get("CIRCLE_USERNAME"),
		pipelineURL: get("CIRCLE_BUILD_URL"),
		prNumber:    get("CIRCLE_PR_NUMBER"),
		prURL:       get("CIRCLE_PULL_REQUEST"),
	}
	if owner := get("CIRCLE_PROJECT_USERNAME"); owner != "" {
		j.repository = owner + "/" + get("CIRCLE_PROJECT_REPONAME")
	}
	return j, true
}

// azurePipelines reads "Predefined variables".
func azurePipelines(get func(string) string) (ciJob, bool) {
	if !strings.EqualFold(get("TF_BUILD"), "true") {
		return ciJob{}, false
	}
	j := ciJob{
		source:      "azure_pipelines",
		run:         runID(get("BUILD_BUILDID"), get("SYSTEM_JOBID"), get("SYSTEM_STAGEATTEMPT"), get("SYSTEM_JOBATTEMPT")),
		repository:  get("BUILD_REPOSITORY_NAME"),
		commit:      get("BUILD_SOURCEVERSION"),
		environment: get("ENVIRONMENT_NAME"),
		changedBy:   cmp.Or(get("BUILD_REQUESTEDFOREMAIL"), get("BUILD_REQUESTEDFOR")),
		prNumber:    cmp.Or(get("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER"), get("SYSTEM_PULLREQUEST_PULLREQUESTID")),
	}
	ref := cmp.Or(get("SYSTEM_PULLREQUEST_SOURCEBRANCH"), get("BUILD_SOURCEBRANCH"))
	if tag, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		j.version = tag
	} else {
		j.branch = strings.TrimPrefix(ref, "refs/heads/")
	}
	if home := strings.TrimRight(get("SYSTEM_COLLECTIONURI"), "/"); home != "" {
		j.pipelineURL = home + "/" + url.PathEscape(get("SYSTEM_TEAMPROJECT")) + "/_build/results?buildId=" + url.QueryEscape(get("BUILD_BUILDID"))
	}
	return j, true
}

// argoCD reads the "Build environment", which plugins and their hooks have.
func argoCD(get func(string) string) (ciJob, bool) {
	app := get("ARGOCD_APP_NAME")
	if app == "" {
		return ciJob{}, false
	}
	return ciJob{
		source:      "argocd",
		run:         runID(get("ARGOCD_APP_NAMESPACE"), app, get("ARGOCD_APP_REVISION")),
		repository:  repositoryOf(get("ARGOCD_APP_SOURCE_REPO_URL")),
		commit:      get("ARGOCD_APP_REVISION"),
		branch:      get("ARGOCD_APP_SOURCE_TARGET_REVISION"),
		environment: get("ARGOCD_ENV_ENVIRONMENT"),
	}, true
}

// argoWorkflows reads what Argo Workflows gives a step: which one it is, and no more.
func argoWorkflows(get func(string) string) (ciJob, bool) {
	node := get("ARGO_NODE_ID")
	return ciJob{source: "argo_workflows", run: runID(node)}, node != ""
}

// jenkins reads "Using environment variables", with those that the git and
// user build vars plugins and multibranch pipelines add. What a script prints of
// a variable that is not there is "null".
func jenkins(get func(string) string) (ciJob, bool) {
	if get("JENKINS_URL") == "" {
		return ciJob{}, false
	}
	known := func(name string) string {
		if value := get(name); value != "null" {
			return value
		}
		return ""
	}
	return ciJob{
		source:      "jenkins",
		run:         runID(cmp.Or(known("BUILD_URL"), known("BUILD_TAG"))),
		repository:  repositoryOf(known("GIT_URL")),
		commit:      known("GIT_COMMIT"),
		branch:      cmp.Or(known("CHANGE_BRANCH"), strings.TrimPrefix(cmp.Or(known("GIT_BRANCH"), known("BRANCH_NAME")), "origin/")),
		version:     known("TAG_NAME"),
		changedBy:   cmp.Or(known("BUILD_USER_EMAIL"), known("BUILD_USER"), known("CHANGE_AUTHOR")),
		pipelineURL: known("BUILD_URL"),
		prNumber:    known("CHANGE_ID"),
		prURL:       known("CHANGE_URL"),
	}, true
}

// runID joins what tells one run from all others; without its first part, nothing does.
func runID(parts ...string) string {
	if parts[0] == "" {
		return ""
	}
	return strings.Join(parts, ":")
}

// repositoryOf returns owner/name of a repository's URL. Its host is left out,
// and so is the token that some put before it.
func repositoryOf(remote string) string {
	path := remote
	if strings.Contains(remote, "://") {
		u, err := url.Parse(remote)
		if err != nil {
			return ""
		}
		path = u.Path
	} else if _, after, scp := strings.Cut(remote, ":"); scp { // git@host:owner/name.git
		path = after
	}
	return strings.TrimSuffix(strings.Trim(path, "/"), ".git")
}

func defaultTo(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
