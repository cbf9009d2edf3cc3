package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"whatchanged/pkg/telemetry"
	"whatchanged/services/bench"
)

// Environment is the process as the program sees it.
type Environment struct {
	Args           []string
	Environ        []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Getenv returns the value of an environment variable, or "".
func (e *Environment) Getenv(name string) string {
	for _, pair := range slices.Backward(e.Environ) {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func newRoot(env *Environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "whatchanged",
		Short: "What changed? Takes in webhooks and audit logs, keeps every change, answers in milliseconds",
		Long: `whatchanged takes webhooks and audit logs from GitHub, GitLab, AWS, Azure, GCP,
CI jobs and anything else that can POST JSON, turns each into a change, and
answers what changed, where, by whom and when.`,
		Example: `  whatchanged serve                                  # everything, in one process
  whatchanged what-changed --env production          # what may have led to this?
  whatchanged changes --since 1h --env production    # what changed?
  whatchanged log "Deploy v2.1.0" --service checkout # say that something did`,
		Version:       telemetry.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("whatchanged {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run the product:"},
		&cobra.Group{ID: "use", Title: "Use it:"},
		&cobra.Group{ID: "look", Title: "Look after it:"},
	)
	group := func(id string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	group("run", newServe(env))
	group("run", newServices(env)...)
	group("run", newClickHouse(env), newMigrate(env), newConfigCommand(env), newNATS(env))
	group("use", newLog(env), newChanges(env), newWhatChanged(env), newIncidents(env), newServicesCommand(env), newDeliveries(env),
		newSources(env), newKeys(env), newOrg(env), newAudit(env))
	group("look", newDoctor(env), newBackup(env), newDeadCommand(env), newReplay(env), newNormalize(env))
	group("look", newHealthcheck(env), newVersion(env))
	for _, c := range bench.Commands() {
		group("look", c)
	}
	return root
}

// args wraps cobra's checks so that a wrong count is a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return usagef("%w; see %s --help", err, cmd.CommandPath())
		}
		return nil
	}
}
