package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/client"
)

func TestParseWhen_ReadsTimesAsPeopleWriteThem(t *testing.T) {
	now := time.Date(2026, 3, 30, 12, 0, 0, 0, time.Local)
	f := func(text string, want time.Time) {
		t.Helper()
		got, err := parseWhen(text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("parseWhen(%q) = %s, %v, want %s", text, got, err, want)
		}
	}
	f("", time.Time{})
	f("30m", now.Add(-30*time.Minute))
	f("2h", now.Add(-2*time.Hour))
	f("3d", now.Add(-72*time.Hour))
	f("1.5d", now.Add(-36*time.Hour))
	f("2026-03-29", time.Date(2026, 3, 29, 0, 0, 0, 0, time.Local))
	f("2026-03-29 08:30", time.Date(2026, 3, 29, 8, 30, 0, 0, time.Local))
	f("2026-03-29T08:30:00Z", time.Date(2026, 3, 29, 8, 30, 0, 0, time.UTC))
	if _, err := parseWhen("yesterday", now); err == nil || !strings.Contains(err.Error(), "say 30m") {
		t.Errorf("error = %v, want one that says what to write", err)
	}
}

func TestPrintable_NothingReachesTheTerminalAsControl(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	f("Deploy v2 → prod", "Deploy v2 → prod")
	f("\x1b[2J\x1b[31mred", `\u001b[2J\u001b[31mred`)
	f("a\rb\nc\x00", `a\u000db\u000ac\u0000`)
	f("\u202eabc", `\u202eabc`)
}

func TestFillFromCI_TakesWhatTheJobSaysAndFlagsWin(t *testing.T) {
	f := func(vars map[string]string, given, want client.NewChange) {
		t.Helper()
		fillFromCI(&given, func(name string) string { return vars[name] })
		if diff := cmp.Diff(want, given); diff != "" {
			t.Errorf("change (-want +got):\n%s", diff)
		}
	}
	f(map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/shop", "GITHUB_SHA": "abc", "GITHUB_REF_NAME": "main",
		"GITHUB_ACTOR": "mona", "GITHUB_RUN_ID": "7", "GITHUB_SERVER_URL": "https://github.com",
	}, client.NewChange{ChangedBy: "lisa"}, client.NewChange{
		Source: "github_actions", Repository: "acme/shop", CommitSHA: "abc", Branch: "main", ChangedBy: "lisa",
		PipelineURL: "https://github.com/acme/shop/actions/runs/7",
	})
	f(map[string]string{
		"GITLAB_CI": "true", "CI_PROJECT_PATH": "acme/shop", "CI_COMMIT_SHA": "abc", "CI_COMMIT_TAG": "v2",
		"GITLAB_USER_LOGIN": "mona", "CI_PIPELINE_URL": "https://gitlab.com/p/1",
	}, client.NewChange{}, client.NewChange{
		Source: "gitlab_ci", Repository: "acme/shop", CommitSHA: "abc", Version: "v2", ChangedBy: "mona",
		PipelineURL: "https://gitlab.com/p/1",
	})
	f(map[string]string{"JENKINS_URL": "http://ci", "GIT_COMMIT": "abc", "BUILD_URL": "http://ci/7", "BUILD_USER": "null"},
		client.NewChange{}, client.NewChange{Source: "jenkins", CommitSHA: "abc", PipelineURL: "http://ci/7", ChangedBy: "null"})
	f(map[string]string{"USER": "mona"}, client.NewChange{}, client.NewChange{Source: "cli", ChangedBy: "mona"})
}
