package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/telemetry"
)

// grace is how long the parts together may take to stop, so that the process
// ends within 10 s of SIGTERM: less than any supervisor waits before it kills.
// What takes long is requests being answered (httpserver's own grace) and a
// batch on its way into ClickHouse.
const grace = 7 * time.Second

// memoryLimit is when the garbage collector works harder to stay below; the
// engine's memory comes on top. GOMEMLIMIT overrides it.
const memoryLimit = 768 << 20

func newServe(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run everything in one process: bus, ClickHouse, receiver, normalizer, writer, API",
		Long: `Runs the whole product in one process with nothing to install beside it. The
first start makes an org, an admin API key and a webhook URL, prints them, and
keeps them in bootstrap.json in the data directory.

Every setting can be given in a YAML file (--config), in the environment and, if
it has one, with a flag; the later wins. --dump prints them all.`,
		Example: `  whatchanged serve
  whatchanged serve --listen 0.0.0.0:8080 --data-dir /var/lib/whatchanged --public-url https://changes.example.com
  whatchanged serve --nats nats://nats:4222 --clickhouse clickhouse://clickhouse:9000
  WHATCHANGED_BUS_MAX_BYTES=50000000000 whatchanged serve --dump`,
		Args: args(cobra.NoArgs),
	}
	flags := addConfigFlags(cmd, env)
	names := cmd.Flags().StringSlice("services", allServices, "which services to run in this process")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(*names) == 0 {
			return usagef("--services: give one or more of %s", strings.Join(allServices, ", "))
		}
		for _, name := range *names {
			if !slices.Contains(allServices, name) {
				return usagef("--services: %q is not one of %s", name, strings.Join(allServices, ", "))
			}
		}
		return runServer(cmd, env, flags, *names, true)
	}
	return cmd
}

// The services that a process can run.
const (
	serviceReceiver   = "receiver"
	serviceNormalizer = "normalizer"
	serviceWriter     = "writer"
	serviceAPI        = "api"
)

var allServices = []string{serviceReceiver, serviceNormalizer, serviceWriter, serviceAPI}

// newServices returns one subcommand a service, for those who run them apart.
func newServices(env *Environment) []*cobra.Command {
	about := map[string]string{
		serviceReceiver:   "Run the receiver alone: webhooks in, onto the bus, answered",
		serviceNormalizer: "Run the normalizer alone: deliveries become changes",
		serviceWriter:     "Run the writer alone: what is on the bus goes into ClickHouse",
		serviceAPI:        "Run the REST API alone",
	}
	var cmds []*cobra.Command
	for _, name := range allServices {
		cmd := &cobra.Command{
			Use:   name,
			Short: about[name],
			Example: fmt.Sprintf("  whatchanged %s --nats nats://nats:4222 --clickhouse clickhouse://clickhouse:9000",
				name),
			Args: args(cobra.NoArgs),
		}
		flags := addConfigFlags(cmd, env)
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			return runServer(cmd, env, flags, []string{name}, false)
		}
		cmds = append(cmds, cmd)
	}
	return cmds
}

// runServer runs services until the command's context ends. whole says that
// this process owns the installation: it embeds what is not configured
// elsewhere, migrates by itself, and does the first start.
func runServer(cmd *cobra.Command, env *Environment, flags *configFlags, services []string, whole bool) error {
	cfg, err := flags.load(cmd)
	if err != nil {
		return err
	}
	if flags.dump {
		cfg.print(env.Stdout)
		return nil
	}
	if !whole {
		if err := cfg.validateApart(services); err != nil {
			return err
		}
		if err := cfg.nameApart(services); err != nil {
			return err
		}
	}
	if flags.check {
		fmt.Fprintln(env.Stdout, "the configuration is fine")
		return nil
	}
	log, err := telemetry.NewLogger(env.Stderr, cfg.Log)
	if err != nil {
		return err
	}
	if env.Getenv("GOMAXPROCS") == "" {
		// More than processors, and than parts that work in batches: a request that
		// comes while those are at it is seen at once by a thread of its own, and the
		// system, which knows of priorities, lets that one run.
		runtime.GOMAXPROCS(4 * runtime.GOMAXPROCS(0)) // which keeps to a container's limit
	}
	if env.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	server, err := start(cmd.Context(), cfg, services, whole, log, env.Getenv)
	if err != nil {
		return err
	}
	if whole {
		server.greet(env.Stdout)
	}
	err = server.parts.Wait(cmd.Context())
	if err == nil { // asked to, and not because a part failed
		server.drain()
	}
	log.Info("stopping")
	return errors.Join(err, server.close())
}

// validateApart checks what a service that runs alone needs: nothing can be
// embedded, since others could not reach it.
func (c *Config) validateApart(services []string) error {
	var errs []error
	if c.Bus.URL == "" {
		errs = append(errs, errors.New("bus.url: a service that runs alone needs NATS servers: say --nats nats://host:4222"))
	}
	needsStore := slices.ContainsFunc(services, func(s string) bool { return s != serviceReceiver })
	if needsStore && strings.HasPrefix(c.Store.DSN, "embedded:") {
		errs = append(errs, errors.New("store.dsn: a service that runs alone needs a ClickHouse server: say --clickhouse clickhouse://host:9000, "+
			"or run `whatchanged clickhouse` and say --clickhouse http://host:8123"))
	}
	if len(errs) == 0 {
		return nil
	}
	return &usageError{errors.Join(errs...)}
}

// nameApart gives services on one machine names of their own on the bus, where
// each is a publisher with a chain to remember.
func (c *Config) nameApart(services []string) error {
	if c.Bus.Name != "" {
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find a name on the bus; set bus.name: %w", err)
	}
	c.Bus.Name = host + "-" + strings.Join(services, "-")
	return nil
}

// greet tells a person what to do next. Secrets are shown on the first start
// only, and not those that were given: who gave them has them, and a container's
// output goes to where logs are kept.
func (s *server) greet(w io.Writer) {
	url := s.cfg.API.PublicURL
	fmt.Fprintf(w, "\nwhatchanged %s is ready at %s\n\n", telemetry.Version(), url)
	given := s.cfg.Bootstrap.APIKey != "" || s.cfg.Bootstrap.Token != ""
	if s.first == nil || given {
		fmt.Fprintf(w, "  webhook URL and API key are in %s\n", s.bootstrapPath())
		fmt.Fprintf(w, "  see what changed:  whatchanged changes --data-dir %s\n\n", s.cfg.DataDir)
		return
	}
	fmt.Fprintf(w, "  webhook URL  %s\n", s.first.WebhookURL)
	fmt.Fprintf(w, "  API key      %s\n", s.first.APIKey)
	fmt.Fprintf(w, "  (shown once; kept in %s)\n\n", s.bootstrapPath())
	fmt.Fprintf(w, "Send a first change, and ask for it back:\n\n")
	fmt.Fprintf(w, "  curl -X POST '%s' -d '{\"title\":\"Raise pool size to 40\",\"author\":\"me\",\"environment\":\"production\"}'\n", s.first.WebhookURL)
	fmt.Fprintf(w, "  curl -H 'Authorization: Bearer %s' '%s/api/v1/changes'\n\n", s.first.APIKey, url)
}
