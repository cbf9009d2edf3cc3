package main

import (
	"strings"

	"github.com/spf13/cobra"

	"whatchanged/pkg/client"
)

func newServicesCommand(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "services",
		Short: "Manage the services that changes are about",
		Example: `  whatchanged services create "API Gateway" --repository acme/gateway --id svc_gateway
  whatchanged services list`,
	}
	conn := connect(cmd, env)
	cmd.AddCommand(newServicesCreate(env, conn), newServicesList(env, conn), newDelete(conn, "service", (*client.Client).DeleteService))
	return cmd
}

func newServicesCreate(env *Environment, conn *connection) *cobra.Command {
	var in client.NewService
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a service",
		Example: `  whatchanged services create "API Gateway" --repository acme/gateway --resource 'arn:aws:ecs:*:service/gateway'`,
		Args:    args(cobra.ExactArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&in.ID, "id", "", "wanted id, svc_ and letters or digits (default: made)")
	flags.StringVar(&in.Description, "description", "", "what it is")
	flags.StringSliceVar(&in.Repositories, "repository", nil, "repository whose changes are its own, as owner/name; may be repeated")
	flags.StringSliceVar(&in.Resources, "resource", nil, "name or id of a resource whose changes are its own; may be repeated")
	flags.StringSliceVar(&in.Tags, "tag", nil, "tag whose changes are its own, such as service:api; may be repeated")
	flags.StringSliceVar(&in.Accounts, "account", nil, "cloud account whose changes are its own; may be repeated")
	flags.StringSliceVar(&in.Owners, "owner", nil, "name or mail of who answers for it; may be repeated")
	flags.StringSliceVar(&in.Dependencies, "depends-on", nil, "id of a service that it needs to work; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Name = args[0]
		api, err := conn.client()
		if err != nil {
			return err
		}
		made, err := api.CreateService(cmd.Context(), in)
		if err != nil {
			return err
		}
		if conn.json {
			return printJSON(env.Stdout, made)
		}
		_, err = env.Stdout.Write([]byte(made.ID + "\n"))
		return err
	}
	return cmd
}

func newServicesList(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the services",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			services, err := api.Services(cmd.Context())
			if err != nil {
				return err
			}
			if conn.json {
				return printJSON(env.Stdout, services)
			}
			t := newTable(env.Stdout, "ID", "NAME", "OWNERS", "DEPENDS ON", "REPOSITORIES", "RESOURCES", "TAGS", "ACCOUNTS")
			list := func(words []string) string { return strings.Join(words, ",") }
			for _, s := range services {
				t.row(s.ID, s.Name, list(s.Owners), list(s.Dependencies), list(s.Repositories), list(s.Resources), list(s.Tags), list(s.Accounts))
			}
			return t.flush()
		},
	}
}
