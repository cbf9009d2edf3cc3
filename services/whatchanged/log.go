package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/client"
)

func newLog(env *Environment) *cobra.Command {
	var in client.NewChange
	var opt client.WriteOptions
	var metadata []string
	var strict bool
	cmd := &cobra.Command{
		Use:   "log SUMMARY",
		Short: "Report a change, from a shell or a CI job",
		Long: `Reports a change. In GitHub Actions, GitLab CI, Jenkins, Bitbucket Pipelines,
CircleCI, Azure Pipelines and Argo the repository, commit, branch or tag,
author and link to the run are taken from the job's own environment; flags
override them. It needs nothing but this binary, WHATCHANGED_URL and
WHATCHANGED_KEY.

In a CI job a change that cannot be recorded is a warning, and the job goes on;
--strict makes it fail. The same change told again by the same run is recorded
once; a run that is started again is a change of its own.`,
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
	flags.StringVar(&opt.IdempotencyKey, "idempotency-key", "", "names this change, so that telling it again records it once (default in CI: the run's id, and what is told)")
	flags.DurationVar(&opt.Wait, "wait", 0, "wait up to this long (at most 10s) until it can be queried")
	flags.BoolVar(&strict, "strict", false, "fail when it cannot be recorded, in a CI job too (elsewhere: always)")
	record := func(ctx context.Context) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		started := time.Now()
		logged, err := api.LogChange(ctx, in, opt)
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
		job, inCI := detectCI(env.Getenv)
		if !inCI {
			job = ciJob{source: "cli", changedBy: env.Getenv("USER")}
		}
		job.fill(&in)
		if opt.IdempotencyKey == "" {
			var err error
			if opt.IdempotencyKey, err = job.key(in); err != nil {
				return err
			}
		}
		err := record(cmd.Context())
		if err == nil || strict || !inCI {
			return err
		}
		warn(env.Stderr, job, err)
		return nil
	}
	return cmd
}

// warn tells of a change that was not recorded, so that whoever looks at the
// job sees it: GitHub shows a line of this form at the top of the run.
func warn(w io.Writer, job ciJob, err error) {
	if job.source == "github_actions" {
		text := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(err.Error())
		fmt.Fprintf(w, "::warning title=whatchanged::the change was not recorded: %s\n", text)
		return
	}
	fmt.Fprintf(w, "whatchanged: warning: the change was not recorded: %s\n", printable(err.Error()))
}
