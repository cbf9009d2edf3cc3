package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/client"
)

// S0-7: what each CI system puts into the environment of a job fills a change.
func TestDetectCI_TakesWhatTheJobSaysOfItself(t *testing.T) {
	f := func(vars string, want client.NewChange) {
		t.Helper()
		environ := Environment{Environ: strings.Split(vars, "\n")}
		job, ok := detectCI(environ.Getenv)
		if !ok {
			t.Errorf("no CI job seen in %s", vars)
			return
		}
		var got client.NewChange
		job.fill(&got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("change (-want +got):\n%s", diff)
		}
	}
	const github = "GITHUB_ACTIONS=true\nGITHUB_REPOSITORY=acme/shop\nGITHUB_SHA=abc\nGITHUB_ACTOR=mona\nGITHUB_RUN_ID=7\nGITHUB_SERVER_URL=https://github.com\n"
	ofGitHub := client.NewChange{
		Source: "github_actions", Repository: "acme/shop", CommitSHA: "abc", ChangedBy: "mona",
		PipelineURL: "https://github.com/acme/shop/actions/runs/7",
	}
	branch, tag, pull := ofGitHub, ofGitHub, ofGitHub
	branch.Branch = "main"
	tag.Version = "v2"
	pull.Branch, pull.PRNumber, pull.PRURL = "fix", "12", "https://github.com/acme/shop/pull/12"
	f(github+"GITHUB_REF_NAME=main\nGITHUB_REF_TYPE=branch", branch)
	f(github+"GITHUB_REF_NAME=v2\nGITHUB_REF_TYPE=tag", tag)
	f(github+"GITHUB_REF_NAME=12/merge\nGITHUB_REF_TYPE=branch\nGITHUB_HEAD_REF=fix", pull)

	f("GITLAB_CI=true\nCI_PROJECT_PATH=acme/shop\nCI_COMMIT_SHA=abc\nCI_COMMIT_TAG=v2\nCI_COMMIT_REF_NAME=v2\nGITLAB_USER_LOGIN=mona\nCI_PIPELINE_URL=https://gitlab.com/p/1",
		client.NewChange{
			Source: "gitlab_ci", Repository: "acme/shop", CommitSHA: "abc", Version: "v2", ChangedBy: "mona", PipelineURL: "https://gitlab.com/p/1",
		})
	f("GITLAB_CI=true\nCI_MERGE_REQUEST_IID=3\nCI_MERGE_REQUEST_SOURCE_BRANCH_NAME=fix\nCI_COMMIT_REF_NAME=fix\nCI_PROJECT_URL=https://gitlab.com/acme/shop\nCI_ENVIRONMENT_NAME=staging",
		client.NewChange{
			Source: "gitlab_ci", Branch: "fix", Environment: "staging", PRNumber: "3", PRURL: "https://gitlab.com/acme/shop/-/merge_requests/3",
		})

	f("JENKINS_URL=http://ci\nGIT_COMMIT=abc\nGIT_BRANCH=origin/main\nGIT_URL=https://bot:token@git.example/acme/shop.git\nBUILD_URL=http://ci/7\nBUILD_USER=null",
		client.NewChange{Source: "jenkins", Repository: "acme/shop", CommitSHA: "abc", Branch: "main", PipelineURL: "http://ci/7"})
	f("JENKINS_URL=http://ci\nBRANCH_NAME=PR-5\nCHANGE_BRANCH=fix\nCHANGE_ID=5\nCHANGE_URL=http://git/5\nCHANGE_AUTHOR=mona\nGIT_URL=git@git.example:acme/shop.git",
		client.NewChange{Source: "jenkins", Repository: "acme/shop", Branch: "fix", PRNumber: "5", PRURL: "http://git/5", ChangedBy: "mona"})

	f("BITBUCKET_BUILD_NUMBER=8\nBITBUCKET_REPO_FULL_NAME=acme/shop\nBITBUCKET_COMMIT=abc\nBITBUCKET_BRANCH=main\nBITBUCKET_DEPLOYMENT_ENVIRONMENT=prod\nBITBUCKET_STEP_TRIGGERER_UUID={u}",
		client.NewChange{
			Source: "bitbucket_pipelines", Repository: "acme/shop", CommitSHA: "abc", Branch: "main", Environment: "prod", ChangedBy: "{u}",
			PipelineURL: "https://bitbucket.org/acme/shop/pipelines/results/8",
		})
	f("CIRCLECI=true\nCIRCLE_PROJECT_USERNAME=acme\nCIRCLE_PROJECT_REPONAME=shop\nCIRCLE_SHA1=abc\nCIRCLE_TAG=v2\nCIRCLE_USERNAME=mona\nCIRCLE_BUILD_URL=https://circleci.com/9",
		client.NewChange{
			Source: "circleci", Repository: "acme/shop", CommitSHA: "abc", Version: "v2", ChangedBy: "mona", PipelineURL: "https://circleci.com/9",
		})
	f("TF_BUILD=True\nBUILD_REPOSITORY_NAME=shop\nBUILD_SOURCEVERSION=abc\nBUILD_SOURCEBRANCH=refs/heads/a/b\nBUILD_REQUESTEDFOR=Mona Lisa\nSYSTEM_COLLECTIONURI=https://dev.azure.com/acme/\nSYSTEM_TEAMPROJECT=The Shop\nBUILD_BUILDID=4",
		client.NewChange{
			Source: "azure_pipelines", Repository: "shop", CommitSHA: "abc", Branch: "a/b", ChangedBy: "Mona Lisa",
			PipelineURL: "https://dev.azure.com/acme/The%20Shop/_build/results?buildId=4",
		})
	f("TF_BUILD=True\nBUILD_SOURCEBRANCH=refs/tags/v2", client.NewChange{Source: "azure_pipelines", Version: "v2"})
	f("ARGOCD_APP_NAME=shop\nARGOCD_APP_REVISION=abc\nARGOCD_APP_SOURCE_TARGET_REVISION=main\nARGOCD_APP_SOURCE_REPO_URL=https://git.example/acme/shop",
		client.NewChange{Source: "argocd", Repository: "acme/shop", CommitSHA: "abc", Branch: "main"})
	f("ARGO_NODE_ID=deploy-x2x4z", client.NewChange{Source: "argo_workflows"})

	if job, ok := detectCI((&Environment{Environ: []string{"USER=mona", "CI=true"}}).Getenv); ok {
		t.Errorf("%v is a CI job", job)
	}
}

func TestCIJob_FlagsWinOverWhatTheJobSays(t *testing.T) {
	got := client.NewChange{ChangedBy: "lisa", Source: "mine"}
	ciJob{source: "jenkins", changedBy: "mona", commit: "abc"}.fill(&got)
	if diff := cmp.Diff(client.NewChange{ChangedBy: "lisa", Source: "mine", CommitSHA: "abc"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// logIn runs `whatchanged log` in an environment, against a server that answers
// with a status, and returns what the server was sent.
func logIn(t *testing.T, status int, environ string, args ...string) (code int, stderr string, key string, in client.NewChange) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key = r.Header.Get("Idempotency-Key")
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
		w.Write([]byte(`{"data": {"id": "chg_01kjx2v5c0qj3m8z4n6r7t9w1y"}}`))
	}))
	defer server.Close()
	var errs bytes.Buffer
	code = run(t.Context(), Environment{
		Args:    append([]string{"log"}, args...),
		Environ: append(strings.Fields(environ), "WHATCHANGED_URL="+server.URL, "WHATCHANGED_KEY=wc_live_x"),
		Stdin:   strings.NewReader(""), Stdout: &bytes.Buffer{}, Stderr: &errs,
	})
	return code, errs.String(), key, in
}

func TestLog_ThePipelineGoesOnUnlessItIsStrict(t *testing.T) {
	f := func(environ, args string, want int, says string) {
		t.Helper()
		code, stderr, _, _ := logIn(t, http.StatusForbidden, environ, strings.Fields(args)...)
		if code != want || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit code %d, want %d; it says %q", environ, code, want, stderr)
		}
	}
	f("GITHUB_ACTIONS=true", "deploy", exitOK, "::warning title=whatchanged::the change was not recorded: ")
	f("GITLAB_CI=true", "deploy", exitOK, "whatchanged: warning: the change was not recorded: ")
	f("GITLAB_CI=true", "deploy --strict", exitFailed, "403")
	f("USER=mona", "deploy", exitFailed, "403")
	f("GITLAB_CI=true", "deploy --no-such-flag", exitUsage, "unknown flag") // it would be so every time
}

func TestLog_ARunThatSaysTheSameTwiceIsOneChange(t *testing.T) {
	key := func(environ string, args ...string) string {
		t.Helper()
		code, stderr, key, _ := logIn(t, http.StatusCreated, environ, args...)
		if code != exitOK || key == "" {
			t.Fatalf("exit code %d, key %q: %s", code, key, stderr)
		}
		return key
	}
	const job = "GITHUB_ACTIONS=true GITHUB_RUN_ID=7 GITHUB_JOB=deploy GITHUB_RUN_ATTEMPT="
	first := key(job+"1", "deploy")
	if !strings.HasPrefix(first, "github_actions:7:1:deploy:") {
		t.Errorf("key %q does not name the run", first)
	}
	if again := key(job+"1", "deploy"); again != first {
		t.Errorf("told again: %s, then %s", first, again)
	}
	for _, other := range []string{key(job+"2", "deploy"), key(job+"1", "deploy", "--status", "failed"), key("USER=mona", "deploy")} {
		if other == first {
			t.Errorf("%s is the key of two changes", other)
		}
	}
	if own := key(job+"1", "deploy", "--idempotency-key", "mine"); own != "mine" {
		t.Errorf("key %s, want the one that was given", own)
	}
	if a, b := key("USER=mona", "deploy"), key("USER=mona", "deploy"); a == b {
		t.Error("outside of CI, two changes that read the same were made one")
	}
}

func TestRepositoryOf_LeavesHostAndTokenOut(t *testing.T) {
	f := func(remote, want string) {
		t.Helper()
		if got := repositoryOf(remote); got != want {
			t.Errorf("repositoryOf(%q) = %q, want %q", remote, got, want)
		}
	}
	f("https://git.example/acme/shop.git", "acme/shop")
	f("https://bot:s3cret@git.example/acme/shop.git", "acme/shop")
	f("https://bot:s3 cret%zz@git.example/acme/shop.git", "")
	f("ssh://git@git.example:22/acme/shop", "acme/shop")
	f("git@git.example:acme/group/shop.git", "acme/group/shop")
	f("", "")
}
