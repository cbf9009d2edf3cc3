package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/client"
)

func newLog(env *Environment) *cobra.Command {
	var in client.NewChange
	var opt client.WriteOptions
	var metadata []string
	cmd := &cobra.Command{
		Use:   "log SUMMARY",
		Short: "Report a change, from a shell or a CI job",
		Long: `Reports a change. In GitHub Actions, GitLab CI and Jenkins the repository,
commit, branch, author and link to the run are taken from the job's own
environment; flags override them. It needs nothing but this binary,
WHATCHANGED_URL and WHATCHANGED_KEY.`,
		Example: `  whatchanged log "Deploy v2.1.0 to production" --service svc_abc123 --version v2.1.0
  whatchanged log "Raise pool size to 40" --type config_change --meta old_value=20 --meta new_value=40
  whatchanged log "Migrate orders" --type database_migration --status started --risk high`,
		Args: args(cobra.ExactArgs(1)),
	}
	conn := connect(cmd, env)
	flags := cmd.Flags()
	flags.StringVar(&in.ServiceID, "service", "", "the service that changed (svc_...)")
	flags.StringVar(&in.Type, "type", "", "kind of change (default deployment)")
	flags.StringVar(&in.Status, "status", "", "started, succeeded, failed or cancelled")
	flags.StringVar(&in.Description, "description", "", "details")
	flags.StringVar(&in.Environment, "env", "", "target environment (default production)")
	flags.StringVar(&in.Risk, "risk", "", "low, medium, high or critical (default low)")
	flags.StringVar(&in.Version, "version", "", "version that was deployed")
	flags.StringVar(&in.ChangedBy, "by", "", "name or mail of who made it")
	flags.StringVar(&in.Source, "source", "", "source system (default: the CI system, else cli)")
	flags.StringVar(&in.Repository, "repository", "", "repository, as owner/name")
	flags.StringVar(&in.CommitSHA, "commit", "", "commit")
	flags.StringVar(&in.Branch, "branch", "", "branch")
	flags.StringVar(&in.PipelineURL, "pipeline-url", "", "link to the run")
	flags.StringVar(&in.CorrelationID, "correlation", "", "ties started and succeeded of one thing together")
	flags.StringSliceVar(&in.Tags, "tag", nil, "a tag; may be repeated")
	flags.StringArrayVar(&metadata, "meta", nil, "key=value to keep with it; may be repeated")
	flags.StringVar(&opt.IdempotencyKey, "idempotency-key", "", "names this change, so that a retried job records it once")
	flags.DurationVar(&opt.Wait, "wait", 0, "wait up to this long (at most 10s) until it can be queried")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Summary = strings.TrimSpace(args[0])
		for _, pair := range metadata {
			key, value, ok := strings.Cut(pair, "=")
			if !ok || key == "" {
				return usagef("--meta %q: want key=value", pair)
			}
			if in.Metadata == nil {
				in.Metadata = make(map[string]any)
			}
			in.Metadata[key] = value
		}
		fillFromCI(&in, env.Getenv)
		api, err := conn.client()
		if err != nil {
			return err
		}
		started := time.Now()
		logged, err := api.LogChange(cmd.Context(), in, opt)
		if err != nil {
			return err
		}
		if conn.json {
			return printJSON(env.Stdout, logged.Change)
		}
		fmt.Fprintln(env.Stdout, logged.ID)
		if opt.Wait > 0 && !logged.Visible {
			fmt.Fprintf(env.Stderr, "recorded, but not yet to be queried after %s\n", time.Since(started).Round(time.Millisecond))
		}
		return nil
	}
	return cmd
}

// fillFromCI completes a change with what the CI job it runs in says about
// itself. The variables are those the systems document: GitHub Actions
// "Default environment variables", GitLab "Predefined CI/CD variables",
// Jenkins "Using environment variables".
func fillFromCI(in *client.NewChange, getenv func(string) string) {
	fill := func(field *string, name string) {
		if *field == "" {
			*field = getenv(name)
		}
	}
	switch {
	case getenv("GITHUB_ACTIONS") == "true":
		defaultTo(&in.Source, "github_actions")
		fill(&in.Repository, "GITHUB_REPOSITORY")
		fill(&in.CommitSHA, "GITHUB_SHA")
		fill(&in.Branch, "GITHUB_REF_NAME")
		fill(&in.ChangedBy, "GITHUB_ACTOR")
		if run := getenv("GITHUB_RUN_ID"); run != "" {
			defaultTo(&in.PipelineURL, getenv("GITHUB_SERVER_URL")+"/"+getenv("GITHUB_REPOSITORY")+"/actions/runs/"+run)
		}
	case getenv("GITLAB_CI") == "true":
		defaultTo(&in.Source, "gitlab_ci")
		fill(&in.Repository, "CI_PROJECT_PATH")
		fill(&in.CommitSHA, "CI_COMMIT_SHA")
		fill(&in.Branch, "CI_COMMIT_REF_NAME")
		fill(&in.Version, "CI_COMMIT_TAG")
		fill(&in.ChangedBy, "GITLAB_USER_LOGIN")
		fill(&in.Environment, "CI_ENVIRONMENT_NAME")
		fill(&in.PipelineURL, "CI_PIPELINE_URL")
	case getenv("JENKINS_URL") != "":
		defaultTo(&in.Source, "jenkins")
		fill(&in.CommitSHA, "GIT_COMMIT")
		fill(&in.Branch, "GIT_BRANCH")
		fill(&in.PipelineURL, "BUILD_URL")
		fill(&in.ChangedBy, "BUILD_USER")
	default:
		defaultTo(&in.Source, "cli")
		fill(&in.ChangedBy, "USER")
	}
}

func defaultTo(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
