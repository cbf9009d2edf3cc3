package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// The snippets of deploy/ci, and those that the documents print, run as their
// CI system would run them: their shell parts by a real shell and curl, with
// the variables that the system sets. What arrives is then compared.

// expression is what GitHub and Jinja put values into; reference is Groovy's.
var (
	expression = regexp.MustCompile(`\$?\{\{\s*(.*?)\s*\}\}`)
	reference  = regexp.MustCompile(`\$\{(.*?)\}`)
)

// evaluate puts values into a text. An expression that the test does not know
// is an error: whoever changes a snippet says what it stands for.
func evaluate(t *testing.T, form *regexp.Regexp, text string, values map[string]string) string {
	t.Helper()
	return form.ReplaceAllStringFunc(text, func(match string) string {
		value, ok := values[form.FindStringSubmatch(match)[1]]
		if !ok {
			t.Fatalf("nothing is known of %s", match)
		}
		return value
	})
}

// readYAML reads a file of YAML, in which no key may stand twice.
func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// arrives checks what came by one CI system, and that it came once.
func (s *live) arrives(t *testing.T, path string, query url.Values, want map[string]any) {
	t.Helper()
	if err := contains(want, s.list(t, path, query, 1)[0], "$"); err != nil {
		t.Error(err)
	}
}

// step is a step of a GitHub workflow.
type step struct {
	Name string            `yaml:"name"`
	If   string            `yaml:"if"`
	Env  map[string]string `yaml:"env"`
	Run  string            `yaml:"run"`
}

// S0-7: the snippets of deploy/ci for GitHub Actions, GitLab CI, Jenkins, Argo
// CD, Terraform and Ansible are recorded, once, also when a step is retried.
func TestSnippets(t *testing.T) {
	s := startLive(t)
	const key = "wc_live_snippets-0123456789"
	s.newKey(t, key, "changes:write")
	of := func(source string) url.Values { return url.Values{"source": {source}} }
	// A name that would end a string, run a command, or both.
	const evil = `v2.1.0-"'$(touch${IFS}pwned)` + "`id`"

	t.Run("GitHub Actions", func(t *testing.T) {
		var workflow struct {
			Jobs map[string]struct{ Steps []step }
		}
		readYAML(t, deployed+"/ci/github-actions.yml", &workflow)
		steps := workflow.Jobs["deploy"].Steps
		last := steps[len(steps)-1]
		if strings.Contains(last.Run, "${{") {
			t.Error("an expression inside a script lets a branch's name run commands")
		}
		env := []string{
			"GITHUB_REF_NAME=" + evil, "GITHUB_REF_TYPE=tag", "GITHUB_SHA=6dcb09b", "GITHUB_REPOSITORY=acme/shop", "GITHUB_ACTOR=mona",
			"GITHUB_SERVER_URL=https://github.com", "GITHUB_RUN_ID=7", "GITHUB_RUN_ATTEMPT=1", "GITHUB_JOB=deploy",
		}
		for name, value := range last.Env {
			env = append(env, name+"="+evaluate(t, expression, value, map[string]string{
				"secrets.WHATCHANGED_URL": s.url, "secrets.WHATCHANGED_KEY": key,
				"job.status == 'success' && 'succeeded' || 'failed'": "succeeded",
			}))
		}
		dir := t.TempDir()
		twice(t, func() string { return command(t, dir, env, "bash", "-e", "-c", last.Run) }) // so does the runner
		if _, err := os.Stat(filepath.Join(dir, "pwned")); err == nil {
			t.Error("the tag's name was run")
		}
		s.arrives(t, "/api/v1/changes", of("github_actions"), map[string]any{
			"summary": "Deploy " + evil + " to production", "change_type": "deployment", "status": "succeeded", "environment": "production",
			"repository": "acme/shop", "commit_sha": "6dcb09b", "version": evil, "changed_by": "mona",
			"pipeline_url": "https://github.com/acme/shop/actions/runs/7",
		})
	})

	t.Run("GitLab CI", func(t *testing.T) {
		var jobs map[string]any
		readYAML(t, deployed+"/ci/gitlab-ci.yml", &jobs)
		env := []string{
			"WHATCHANGED_URL=" + s.url, "WHATCHANGED_KEY=" + key, "CI_COMMIT_TAG=" + evil, "CI_COMMIT_SHA=6dcb09b", "CI_PROJECT_PATH=acme/shop",
			"CI_ENVIRONMENT_NAME=production", "GITLAB_USER_LOGIN=mona", "CI_JOB_ID=8", "CI_PIPELINE_URL=https://gitlab.com/acme/shop/-/pipelines/7",
		}
		twice(t, func() string { return gitlabScript(t, jobs["tell-whatchanged"], env) })
		s.arrives(t, "/api/v1/changes", of("gitlab_ci"), map[string]any{
			"summary": "Deploy " + evil + " to production", "change_type": "deployment", "status": "succeeded", "environment": "production",
			"repository": "acme/shop", "commit_sha": "6dcb09b", "version": evil, "changed_by": "mona",
			"pipeline_url": "https://gitlab.com/acme/shop/-/pipelines/7",
		})
	})

	t.Run("Jenkins", func(t *testing.T) {
		text := readText(t, deployed+"/ci/Jenkinsfile")
		script := between(t, text, "sh '''", "'''")
		if strings.Contains(strings.ReplaceAll(script, "\\\n", ""), `\`) {
			t.Error("Groovy takes backslashes away")
		}
		env := []string{
			"WHATCHANGED_URL=" + s.url, "WHATCHANGED_KEY=" + key, "STATUS=failed", "JOB_NAME=shop/deploy", "BUILD_NUMBER=17",
			"BUILD_TAG=jenkins-shop-deploy-17", "BUILD_URL=https://jenkins.example/job/shop/17/", "GIT_COMMIT=6dcb09b",
		}
		twice(t, func() string {
			return command(t, t.TempDir(), env, "sh", "-xe", "-c", strings.ReplaceAll(script, "\\\n", ""))
		})
		s.arrives(t, "/api/v1/changes", of("jenkins"), map[string]any{
			"summary": "Deploy shop/deploy #17", "change_type": "deployment", "status": "failed", "environment": "production",
			"version": "17", "commit_sha": "6dcb09b", "pipeline_url": "https://jenkins.example/job/shop/17/",
		})
		// Nobody answers: the build goes on.
		out := command(t, t.TempDir(), append(env, "WHATCHANGED_URL=http://127.0.0.1:1"), "sh", "-e", "-c",
			strings.ReplaceAll(strings.ReplaceAll(script, "\\\n", ""), "--retry 4", "--retry 0"))
		if !strings.Contains(out, "was not told") {
			t.Errorf("it prints %q", out)
		}
	})

	t.Run("Argo CD", func(t *testing.T) {
		var config struct{ Data map[string]string }
		readYAML(t, deployed+"/ci/argocd-notifications.yaml", &config)
		var service struct {
			URL      string
			RetryMax int                            `yaml:"retryMax"`
			Headers  []struct{ Name, Value string } `yaml:"headers"`
		}
		var message struct {
			Webhook map[string]struct{ Method, Path, Body string }
		}
		for name, into := range map[string]any{
			"service.webhook.whatchanged": &service, "template.whatchanged": &message,
			"trigger.whatchanged": new(any), "subscriptions": new(any),
		} {
			if err := yaml.Unmarshal([]byte(config.Data[name]), into); err != nil || config.Data[name] == "" {
				t.Fatalf("%s: %v", name, err)
			}
		}
		hook := message.Webhook["whatchanged"]
		app := `{"app": {"metadata": {"name": "shop"}, "spec": {"destination": {"namespace": "prod-eu"}, "source": {"repoURL": "https://bot:token@git.example/acme/shop.git",
			"targetRevision": "main"}}, "status": {"operationState": {"phase": "Failed", "message": "said \"no\"", "finishedAt": "2026-03-30T15:00:00Z",
			"syncResult": {"revision": "6dcb09b5b57875f334f61aebed695e2e4193db5e"}}}}, "context": {"argocdUrl": "https://argocd.example"}}`
		for _, app := range []string{app, `{"app": {"metadata": {"name": "other"}, "spec": {"destination": {}}, "status": {"operationState": {
			"phase": "Error", "message": "no", "finishedAt": "2026-03-30T15:00:00Z"}}}, "context": {"argocdUrl": "https://argocd.example"}}`} {
			header := http.Header{}
			for _, h := range service.Headers {
				header.Set(h.Name, strings.ReplaceAll(h.Value, "$whatchanged-key", key))
			}
			s.post(t, hook.Path, header, argoTemplate(t, hook.Body, app))
		}
		query := of("argocd")
		query.Set("repository", "acme/shop")
		s.arrives(t, "/api/v1/changes", query, map[string]any{
			"summary": "Sync shop to 6dcb09b", "change_type": "deployment", "status": "failed", "description": `said "no"`, "environment": "prod-eu",
			"commit_sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e", "branch": "main", "pipeline_url": "https://argocd.example/applications/shop",
			"occurred_at": "2026-03-30T15:00:00.000Z", "resource": map[string]any{"id": "shop"},
		})
		s.list(t, "/api/v1/changes", of("argocd"), 2)
	})

	t.Run("Terraform", func(t *testing.T) {
		text := readText(t, deployed+"/ci/terraform/main.tf")
		change := hclObject(t, between(t, text, "jsonencode({", "})"), map[string]any{
			"var.summary": "Resize the workers", "var.environment": "production", "self.id": "0d5a",
			"{ workspace = terraform.workspace, triggers = var.triggers }": map[string]any{"workspace": "default", "triggers": map[string]any{"workers": "6"}},
		})
		body, err := json.Marshal(change)
		if err != nil {
			t.Fatal(err)
		}
		env := []string{"WHATCHANGED_URL=" + s.url, "WHATCHANGED_KEY=" + key, "IDEMPOTENCY_KEY=terraform:0d5a", "CHANGE=" + string(body)}
		twice(t, func() string {
			return command(t, t.TempDir(), env, "/bin/sh", "-c", between(t, text, "<<-EOT\n", "EOT\n"))
		})
		s.arrives(t, "/api/v1/changes", of("terraform"), map[string]any{
			"summary": "Resize the workers", "change_type": "infrastructure", "status": "succeeded", "environment": "production", "external_id": "0d5a",
			"metadata": map[string]any{"workspace": "default", "triggers": map[string]any{"workers": "6"}},
		})
	})

	t.Run("Ansible", func(t *testing.T) {
		var tasks []struct {
			Facts map[string]string `yaml:"ansible.builtin.set_fact"`
			URI   *struct {
				URL     string            `yaml:"url"`
				Method  string            `yaml:"method"`
				Headers map[string]string `yaml:"headers"`
				Body    map[string]any    `yaml:"body"`
			} `yaml:"ansible.builtin.uri"`
			NoLog bool `yaml:"no_log"`
		}
		readYAML(t, deployed+"/ci/ansible/tell-whatchanged.yml", &tasks)
		told := tasks[1]
		if len(tasks) != 2 || tasks[0].Facts["whatchanged_idempotency_key"] == "" || told.URI == nil || !told.NoLog {
			t.Fatalf("want a task that names the change and one that tells it, without a log: %+v", tasks)
		}
		values := map[string]string{
			"whatchanged_url | default(lookup('env', 'WHATCHANGED_URL'))": s.url, "whatchanged_key | default(lookup('env', 'WHATCHANGED_KEY'))": key,
			"whatchanged_idempotency_key": "ansible:x", "whatchanged_summary": "Deploy the shop", "whatchanged_type | default('deployment')": "deployment",
			"whatchanged_environment | default('production')": "production", "whatchanged_version | default('')": "2.1.0", "lookup('env', 'USER')": "mona",
			"ansible_play_name": "web", "ansible_play_hosts": "web-1",
		}
		header := http.Header{"Content-Type": {"application/json"}}
		for name, value := range told.URI.Headers {
			header.Set(name, evaluate(t, expression, value, values))
		}
		body, err := json.Marshal(told.URI.Body)
		if err != nil {
			t.Fatal(err)
		}
		s.post(t, strings.TrimPrefix(evaluate(t, expression, told.URI.URL, values), s.url), header, evaluate(t, expression, string(body), values))
		s.arrives(t, "/api/v1/changes", of("ansible"), map[string]any{
			"summary": "Deploy the shop", "change_type": "deployment", "environment": "production", "version": "2.1.0", "changed_by": "mona",
			"metadata": map[string]any{"play": "web", "hosts": "web-1"},
		})
	})
}

// post sends what is no shell script's to send.
func (s *live) post(t *testing.T, path string, header http.Header, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		var answer bytes.Buffer
		answer.ReadFrom(res.Body)
		t.Fatalf("POST %s: %s: %s\n%s", path, res.Status, &answer, body)
	}
}

// twice runs a step again, as a CI system does that lost sight of it: both
// answers name the same change.
func twice(t *testing.T, run func() string) {
	t.Helper()
	first, again := run(), run()
	var recorded struct{ Data struct{ ID string } }
	if err := json.Unmarshal([]byte(first), &recorded); err != nil || recorded.Data.ID == "" {
		t.Fatalf("%v: %s", err, first)
	}
	if first != again {
		t.Errorf("first %s\nthen %s", first, again)
	}
}

// gitlabScript runs a job's script as the runner does: one line after the other.
func gitlabScript(t *testing.T, job any, env []string) (printed string) {
	t.Helper()
	lines, ok := job.(map[string]any)["script"].([]any)
	if !ok {
		t.Fatalf("no script in %v", job)
	}
	for _, line := range lines {
		printed += command(t, t.TempDir(), env, "sh", "-e", "-c", fmt.Sprint(line))
	}
	return printed
}

// argoTemplate is a message as Argo CD makes it of an application. Its
// templates have sprig's functions; those that the snippet uses are these.
func argoTemplate(t *testing.T, text, app string) string {
	t.Helper()
	var data any
	if err := json.Unmarshal([]byte(app), &data); err != nil {
		t.Fatal(err)
	}
	tmpl, err := template.New("message").Funcs(template.FuncMap{
		"toJson":          func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
		"trimSuffix":      func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
		"regexReplaceAll": func(re, s, by string) string { return regexp.MustCompile(re).ReplaceAllString(s, by) },
	}).Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := tmpl.Execute(&out, data); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// hclObject reads the members of an object in Terraform's language: a string,
// or an expression that the test knows.
func hclObject(t *testing.T, text string, values map[string]any) map[string]any {
	t.Helper()
	out := map[string]any{}
	for line := range strings.Lines(strings.TrimSpace(text)) {
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok {
			t.Fatalf("not a member: %s", line)
		}
		if known, ok := values[value]; ok {
			out[name] = known
		} else if strings.HasPrefix(value, `"`) && !strings.Contains(value, "${") {
			out[name] = strings.Trim(value, `"`)
		} else {
			t.Fatalf("nothing is known of %s", value)
		}
	}
	return out
}

func between(t *testing.T, text, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, from)
	inside, _, closed := strings.Cut(rest, to)
	if !ok || !closed {
		t.Fatalf("there is nothing between %q and %q", from, to)
	}
	return inside
}

// S0-20, S0-21, S0-22, S0-23: what the documents print runs as it is printed,
// with host and key replaced.
func TestSnippets_AsPrinted(t *testing.T) {
	s := startLive(t)
	const key = "wc_live_printed-0123456789"
	s.newKey(t, key, "change-events:write")
	titled := func(title string) url.Values { return url.Values{"q": {title}} }

	// S0-20
	t.Run("curl", func(t *testing.T) {
		script := strings.NewReplacer("https://onepam.example.com", s.url, "YOUR_API_KEY", key).Replace(readText(t, "testdata/clients/printed-curl.sh"))
		command(t, t.TempDir(), nil, "bash", "-c", script)
		s.arrives(t, "/api/v1/change-events", titled("v2.4.1"), map[string]any{
			"title": "Deploy v2.4.1 to production", "type": "deployment", "environment": "production", "version": "v2.4.1", "commit_sha": "abc123def456",
		})
	})

	// S0-21
	t.Run("GitHub Actions", func(t *testing.T) {
		var steps []step
		readYAML(t, "testdata/clients/printed-github.yml", &steps)
		if len(steps) != 1 || steps[0].If != "success()" {
			t.Fatalf("steps %+v", steps)
		}
		command(t, t.TempDir(), nil, "bash", "-e", "-c", evaluate(t, expression, steps[0].Run, map[string]string{
			"secrets.ONEPAM_URL": s.url, "secrets.ONEPAM_API_KEY": key, "github.ref_name": "v3.0.1", "github.sha": "6dcb09b",
			"github.repository": "onepam/webapp", "github.actor": "mona",
		}))
		s.arrives(t, "/api/v1/change-events", titled("v3.0.1"), map[string]any{
			"title": "Deploy v3.0.1 to production", "type": "deployment", "environment": "production", "version": "v3.0.1",
			"commit_sha": "6dcb09b", "repository": "onepam/webapp", "author": "mona",
		})
	})

	// S0-22
	t.Run("GitLab CI", func(t *testing.T) {
		var jobs map[string]any
		readYAML(t, "testdata/clients/printed-gitlab.yml", &jobs)
		gitlabScript(t, jobs["notify_onepam"], []string{
			"ONEPAM_URL=" + s.url, "ONEPAM_API_KEY=" + key, "CI_COMMIT_TAG=v3.0.2", "CI_COMMIT_SHA=6dcb09b",
			"CI_PROJECT_PATH=onepam/webapp", "GITLAB_USER_LOGIN=mona",
		})
		s.arrives(t, "/api/v1/change-events", titled("v3.0.2"), map[string]any{
			"title": "Deploy v3.0.2 to production", "type": "deployment", "environment": "production", "version": "v3.0.2",
			"commit_sha": "6dcb09b", "repository": "onepam/webapp", "author": "mona",
		})
	})

	// S0-23: without the plugin that knows it, Groovy prints BUILD_USER as null.
	t.Run("Jenkins", func(t *testing.T) {
		script := strings.ReplaceAll(between(t, readText(t, "testdata/clients/printed-Jenkinsfile"), `sh """`, `"""`), "\\\n", "")
		command(t, t.TempDir(), nil, "sh", "-xe", "-c", evaluate(t, reference, script, map[string]string{
			"ONEPAM_URL": s.url, "API_KEY": key, "env.BUILD_TAG": "jenkins-webapp-17", "env.BUILD_NUMBER": "17",
			"env.GIT_COMMIT": "6dcb09b", "env.BUILD_USER": "null",
		}))
		s.arrives(t, "/api/v1/change-events", titled("jenkins-webapp-17"), map[string]any{
			"title": "Deploy jenkins-webapp-17", "type": "deployment", "environment": "production", "version": "17",
			"commit_sha": "6dcb09b", "author": "null",
		})
	})
}
