// Package observe_test checks what watches the product: Prometheus' settings and
// alerts with promtool, the expressions of the dashboards too, and that each
// alert has a runbook whose commands exist. That metrics of those names are
// there is checked on a running server (services/e2e).
package observe_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/deploy/check/program"
)

// promtool runs Prometheus' own tool: PROMTOOL, or the one in the path.
func promtool(t *testing.T, dir string, args ...string) {
	t.Helper()
	path := os.Getenv("PROMTOOL")
	if path == "" {
		var err error
		if path, err = exec.LookPath("promtool"); err != nil {
			t.Fatal("promtool is not here: install Debian's package prometheus, or name it in PROMTOOL")
		}
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func deploy(t *testing.T, parts ...string) string {
	t.Helper()
	return filepath.Join(append([]string{program.Root(t), "deploy"}, parts...)...)
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPrometheus_ReadsItsSettingsAndRules(t *testing.T) {
	dir := t.TempDir()
	rules := deploy(t, "prometheus", "alerts.yml")
	write(t, filepath.Join(dir, "prometheus.yml"), strings.ReplaceAll(text(t, deploy(t, "prometheus", "prometheus.yml")), "/etc/prometheus/alerts.yml", rules))
	promtool(t, dir, "check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")
}

func TestAlerts_FireWhenTheyShouldAndElseNot(t *testing.T) {
	promtool(t, deploy(t, "prometheus"), "test", "rules", "alerts_test.yml")
	tested := text(t, deploy(t, "prometheus", "alerts_test.yml"))
	for _, name := range alerts(t) {
		for _, does := range []string{" fires\n", " stays quiet\n"} {
			if !strings.Contains(tested, "  - name: "+name+does) {
				t.Errorf("no test says that %s%s", name, strings.TrimSuffix(does, "\n"))
			}
		}
	}
}

// alerts lists the names of all alerts.
func alerts(t *testing.T) (names []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(text(t, deploy(t, "prometheus", "alerts.yml")), -1) {
		names = append(names, m[1])
	}
	if len(names) < 10 {
		t.Fatalf("only %d alerts were found", len(names))
	}
	slices.Sort(names)
	return names
}

func TestRunbooks_EachAlertHasOneAndEachIsOfAnAlert(t *testing.T) {
	pages, err := filepath.Glob(deploy(t, "runbooks", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, page := range pages {
		if name := strings.TrimSuffix(filepath.Base(page), ".md"); name != "README" {
			names = append(names, name)
		}
	}
	if diff := cmp.Diff(alerts(t), names); diff != "" {
		t.Errorf("runbooks (-alerts +pages):\n%s", diff)
	}
	rules, index := text(t, deploy(t, "prometheus", "alerts.yml")), text(t, deploy(t, "runbooks", "README.md"))
	for _, rule := range strings.Split(rules, "- alert: ")[1:] {
		name, _, _ := strings.Cut(rule, "\n")
		if !regexp.MustCompile(`runbook_url: https://\S+/deploy/runbooks/` + name + `\.md\n`).MatchString(rule) {
			t.Errorf("%s does not name its runbook", name)
		}
		expr := regexp.MustCompile(`expr: >-\n\s+(.*)\n`).FindStringSubmatch(rule)
		page := text(t, deploy(t, "runbooks", name+".md"))
		if expr == nil || !strings.Contains(page, expr[1]) {
			t.Errorf("the runbook of %s asks something else than the alert", name)
		}
		for _, part := range []string{"## What it means", "## How to see it", "## What to do"} {
			if !strings.Contains(page, part) {
				t.Errorf("the runbook of %s lacks %q", name, part)
			}
		}
		if !strings.Contains(index, "("+name+".md)") {
			t.Errorf("%s is not in the list of runbooks", name)
		}
	}
}

// Commands in a runbook exist, with their flags, and so do the pages it leads to.
func TestRunbooks_SayWhatExists(t *testing.T) {
	bin := program.Path(t)
	pages, err := filepath.Glob(deploy(t, "runbooks", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string]string{} // and where they are
	for _, page := range pages {
		content := text(t, page)
		for _, m := range regexp.MustCompile("(?m)(?:^|`)(whatchanged [a-z][^`\n]*)").FindAllStringSubmatch(content, -1) {
			commands[m[1]] = filepath.Base(page)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(content, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s leads nowhere: %v", filepath.Base(page), err)
			}
		}
	}
	if len(commands) < 5 {
		t.Fatalf("only %d commands were found", len(commands))
	}
	for command, page := range maps.All(commands) {
		var path, flags []string
		for _, word := range strings.Fields(command)[1:] {
			switch {
			case strings.HasPrefix(word, "--"):
				flags = append(flags, word)
			case strings.ToLower(word) == word && len(flags) == 0:
				path = append(path, word)
			}
		}
		help, err := program.Run(t.Context(), bin, nil, append(path, "--help")...)
		if err != nil || !strings.Contains(help, "whatchanged "+strings.Join(path, " ")+" ") {
			t.Errorf("%s: %q is no command: %v", page, command, err)
		}
		for _, flag := range flags {
			if !regexp.MustCompile(`(?m)^ .*` + regexp.QuoteMeta(flag) + `\b`).MatchString(help) {
				t.Errorf("%s: %q has no flag %s", page, command, flag)
			}
		}
	}
}

// Every expression of the dashboards is PromQL, as Prometheus reads it.
func TestDashboards_AskPrometheusWhatItUnderstands(t *testing.T) {
	boards, err := filepath.Glob(deploy(t, "grafana", "dashboards", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboards\n    rules:\n")
	n := 0
	for _, board := range boards {
		var whole any
		if err := json.Unmarshal([]byte(text(t, board)), &whole); err != nil {
			t.Fatal(err)
		}
		for _, expr := range expressions(whole) {
			expr = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: an unknown variable: %s", board, expr)
			}
			quoted, err := json.Marshal(expr) // is YAML too
			if err != nil {
				t.Fatal(err)
			}
			n++
			fmt.Fprintf(&rules, "      - {record: \"dashboards:panel:%d\", expr: %s}\n", n, quoted)
		}
	}
	if n < 50 {
		t.Fatalf("only %d expressions were found", n)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rules.yml"), rules.String())
	promtool(t, dir, "check", "rules", "--lint=all", "--lint-fatal", "rules.yml")
}

// expressions finds every PromQL expression of a dashboard.
func expressions(v any) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			all = append(all, expressions(one)...)
		}
	case map[string]any:
		if expr, ok := v["expr"].(string); ok {
			all = append(all, expr)
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			all = append(all, expressions(v[name])...)
		}
	}
	return all
}
