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
  whatchanged services update svc_gateway --owner jane.doe --depends-on svc_auth
  whatchanged services list`,
	}
	conn := connect(cmd, env)
	cmd.AddCommand(newServicesCreate(env, conn), newServicesUpdate(env, conn), newServicesList(env, conn), newDelete(conn, "service", (*client.Client).DeleteService))
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

func newServicesUpdate(env *Environment, conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change a service",
		Long: "Changes what is given and leaves the rest; a list is replaced, and an empty one ('') empties it.\n" +
			"Changes that are recorded keep the service and the name that they have.",
		Example: `  whatchanged services update svc_gateway --name "API Gateway" --depends-on svc_auth,svc_db
  whatchanged services update svc_gateway --tag ''`,
		Args: args(cobra.ExactArgs(1)),
	}
	flags := cmd.Flags()
	var patch client.ServicePatch
	text := map[string]**string{"name": &patch.Name, "description": &patch.Description}
	lists := map[string]**[]string{
		"repository": &patch.Repositories, "resource": &patch.Resources, "tag": &patch.Tags,
		"account": &patch.Accounts, "owner": &patch.Owners, "depends-on": &patch.Dependencies,
	}
	flags.String("name", "", "what people call it")
	flags.String("description", "", "what it is")
	flags.StringSlice("repository", nil, "repositories whose changes are its own, as owner/name")
	flags.StringSlice("resource", nil, "names or ids of resources whose changes are its own")
	flags.StringSlice("tag", nil, "tags whose changes are its own, such as service:api")
	flags.StringSlice("account", nil, "cloud accounts whose changes are its own")
	flags.StringSlice("owner", nil, "names or mails of those who answer for it")
	flags.StringSlice("depends-on", nil, "ids of the services that it needs to work")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		for name, field := range text {
			if flags.Changed(name) {
				value, _ := flags.GetString(name)
				*field = &value
			}
		}
		for name, field := range lists {
			if flags.Changed(name) {
				value, _ := flags.GetStringSlice(name)
				value = append([]string{}, value...) // [] empties, null would not
				*field = &value
			}
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		changed, err := api.UpdateService(cmd.Context(), ids[0], patch)
		if err != nil {
			return err
		}
		if conn.json {
			return printJSON(env.Stdout, changed)
		}
		_, err = env.Stdout.Write([]byte(changed.ID + "\n"))
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
