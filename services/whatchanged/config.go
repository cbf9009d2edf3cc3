package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/backup"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/config"
	"whatchanged/pkg/failpoint"
	"whatchanged/pkg/httpserver"
	"whatchanged/pkg/signin"
	"whatchanged/pkg/store"
	"whatchanged/pkg/telemetry"
	"whatchanged/services/api"
	"whatchanged/services/receiver"
)

// Config is the whole program's configuration: what belongs to the process,
// and the settings of each part.
type Config struct {
	// Listen is the address that webhooks, the API and the CLI come to.
	Listen string
	// AdminListen serves profiles (/debug/pprof) when set; keep it on loopback.
	AdminListen string
	// DataDir holds everything the embedded parts store, the master key and bootstrap.json.
	DataDir string
	// MasterKey seals secrets that must be read back; empty uses DataDir/master.key.
	MasterKey auth.Secret
	// Libchdb is the embedded ClickHouse engine's library; empty searches for it.
	Libchdb string
	// Bootstrap fixes what the first start would otherwise draw at random.
	Bootstrap Bootstrap
	Bus       bus.Config
	Store     store.Config
	Backup    backup.Config
	Receiver  receiver.Config
	API       api.Config
	OIDC      signin.Config
	HTTP      httpserver.Config
	Log       telemetry.Config
}

// Bootstrap has the fixed values of a first start.
type Bootstrap struct {
	// APIKey is the admin key.
	APIKey auth.Secret
	// Token is the first source's.
	Token auth.Secret
}

// DefaultConfig brings everything up on one machine with nothing written.
func DefaultConfig() Config {
	cfg := Config{
		Listen:   "127.0.0.1:8080",
		DataDir:  "data",
		Bus:      bus.DefaultConfig(),
		Store:    store.DefaultConfig(),
		Receiver: receiver.DefaultConfig(),
		API:      api.DefaultConfig(),
		OIDC:     signin.DefaultConfig(),
		HTTP:     httpserver.DefaultConfig(),
		Log:      telemetry.DefaultConfig(),
	}
	cfg.Bus.Dir = "" // below DataDir, unless set
	cfg.Store.DSN = ""
	cfg.API.PublicURL = "" // from Listen, unless set
	cfg.HTTP.Listen = ""   // Listen is the one
	return cfg
}

// complete fills what follows from other settings.
func (c *Config) complete() {
	if c.Bus.Dir == "" {
		c.Bus.Dir = filepath.Join(c.DataDir, "bus")
	}
	if c.Store.DSN == "" {
		c.Store.DSN = "embedded:" + filepath.Join(c.DataDir, "clickhouse")
	}
	if c.API.PublicURL == "" {
		c.API.PublicURL = "http://" + reachable(c.Listen)
	}
	if c.Store.BackupDir == "" {
		c.Store.BackupDir = filepath.Join(c.DataDir, "backups")
	}
	if dir, err := filepath.Abs(c.Store.BackupDir); err == nil { // ClickHouse compares whole paths
		c.Store.BackupDir = dir
	}
	if c.Backup.To == "" {
		c.Backup.To = "file:" + c.Store.BackupDir
	}
	c.HTTP.Listen = c.Listen
}

// Validate reports every fault of the configuration at once.
func (c *Config) Validate() error {
	var errs []error
	for name, listen := range map[string]string{"listen": c.Listen, "admin_listen": c.AdminListen} {
		if _, _, err := net.SplitHostPort(listen); err != nil && (listen != "" || name == "listen") {
			errs = append(errs, fmt.Errorf("%s: want host:port, such as 127.0.0.1:8080: %w", name, err))
		}
	}
	if c.DataDir == "" {
		errs = append(errs, errors.New("data_dir: must be set"))
	}
	errs = append(errs, c.Bus.Validate(), c.Store.Validate(), c.Backup.Validate(), c.Receiver.Validate(), c.API.Validate(), c.OIDC.Validate(), c.HTTP.Validate(), c.Log.Validate())
	return errors.Join(errs...)
}

// reachable turns an address to listen on into one that can be called.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// The environment variables under our prefix that are not settings of a server.
var notSettings = []string{"WHATCHANGED_URL", "WHATCHANGED_KEY", "WHATCHANGED_CONFIG", "WHATCHANGED_CORPUS"}

// configFlags are the flags of commands that run a server.
type configFlags struct {
	env         *Environment
	file        string
	check, dump bool
}

// flagKeys are the settings that have a flag, by the flag's name.
var flagKeys = map[string]struct{ key, help string }{
	"listen":           {"listen", "address for webhooks, the API and the CLI"},
	"admin-listen":     {"admin_listen", "address for profiles; keep it on loopback (default off)"},
	"data-dir":         {"data_dir", "where the embedded parts keep their data"},
	"nats":             {"bus.url", "NATS servers, as nats://host:4222; empty embeds one"},
	"clickhouse":       {"store.dsn", "ClickHouse, as clickhouse://host:9000 or http://host:8123; empty embeds it"},
	"api-cors-origins": {"api.cors_origins", "origins whose pages may call the API with a key, as https://tools.example.com (default none)"},

	"public-url": {"api.public_url", "how senders reach us, for the webhook URLs that are shown"},
	"log-level":  {"log.level", "debug, info, warn or error"},
	"log-format": {"log.format", "text for people, json for programs"},
}

func addConfigFlags(cmd *cobra.Command, env *Environment) *configFlags {
	f := &configFlags{env: env}
	defaults := DefaultConfig()
	values := make(map[string]any)
	for _, field := range config.Fields(&defaults) {
		values[field.Key] = field.Value
	}
	for name, setting := range flagKeys {
		value := fmt.Sprint(values[setting.key])
		if list, ok := values[setting.key].([]string); ok {
			value = strings.Join(list, ",")
		}
		cmd.Flags().String(name, value, setting.help)
	}
	cmd.Flags().StringVar(&f.file, "config", env.Getenv("WHATCHANGED_CONFIG"), "YAML file with settings (or WHATCHANGED_CONFIG)")
	cmd.Flags().BoolVar(&f.check, "check", false, "check the configuration and exit")
	cmd.Flags().BoolVar(&f.dump, "dump", false, "print the configuration, without secrets, and exit")
	return f
}

// load returns the configuration from defaults, file, environment and flags.
func (f *configFlags) load(cmd *cobra.Command) (Config, error) {
	given := make(map[string]string)
	for name, setting := range flagKeys {
		if flag := cmd.Flags().Lookup(name); flag != nil && flag.Changed {
			given[setting.key] = flag.Value.String()
		}
	}
	cfg := DefaultConfig()
	err := config.Load(&cfg, config.Sources{File: f.file, Environ: f.env.Environ, Ignore: slices.Concat(notSettings, failpoint.Variables()), Flags: given})
	if err != nil {
		return cfg, &usageError{err}
	}
	cfg.complete()
	if err := cfg.Validate(); err != nil {
		return cfg, &usageError{fmt.Errorf("configuration: %w", err)}
	}
	return cfg, nil
}

// print shows the configuration as the YAML it could be written as. Secrets
// print as <redacted>; a DSN may hold a password and is cut to its host.
func (c *Config) print(w io.Writer) {
	section := ""
	for _, field := range config.Fields(c) {
		group, name, nested := strings.Cut(field.Key, ".")
		if !nested {
			group, name = "", field.Key
		}
		if group != section && group != "" {
			fmt.Fprintf(w, "%s:\n", group)
		}
		section = group
		indent := ""
		if nested {
			indent = "  "
		}
		value := fmt.Sprintf("%v", field.Value)
		if field.Key == "store.dsn" || field.Key == "bus.url" {
			value = withoutPassword(value)
		}
		fmt.Fprintf(w, "%s%s: %q # %s\n", indent, name, value, config.Env(field.Key))
	}
}

func withoutPassword(dsn string) string {
	scheme, rest, ok := strings.Cut(dsn, "://")
	if !ok {
		return dsn
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = "<redacted>@" + rest[at+1:]
	}
	before, _, _ := strings.Cut(rest, "?")
	return scheme + "://" + before
}
