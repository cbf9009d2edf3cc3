package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/backup"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/config"
	"whatchanged/pkg/failpoint"
	"whatchanged/pkg/fair"
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
	// AdminListen serves /metrics, /healthz, /readyz and profiles (/debug/pprof)
	// without a key when set; keep it where only those who run the product reach it.
	AdminListen string
	// DrainDelay is how long a process that is told to stop goes on serving while
	// /readyz says that it is not ready, for what sends to it to notice.
	DrainDelay time.Duration
	// DataDir holds everything the embedded parts store, the master key and bootstrap.json.
	DataDir string
	// MasterKey seals secrets that must be read back; empty uses the file
	// master.key in DataDir. It must be the same for all services.
	MasterKey auth.Secret
	// Libchdb is the file of the embedded ClickHouse engine's library; empty
	// searches beside the program, in the user's cache and in /usr/local/lib.
	Libchdb string
	// Bootstrap fixes what the first start would otherwise draw at random.
	Bootstrap Bootstrap
	Bus       bus.Config
	Store     store.Config
	Backup    backup.Config
	Receiver  receiver.Config
	API       api.Config
	Fair      fair.Config
	OIDC      signin.Config
	HTTP      httpserver.Config
	Log       telemetry.Config
}

const maxDrainDelay = time.Minute

// Bootstrap has the fixed values of a first start.
type Bootstrap struct {
	// APIKey is the admin key that the first start makes (wc_live_...); empty
	// draws one in `serve`, and makes none in services that run apart.
	APIKey auth.Secret
	// Token is the token in the first source's webhook URL (wct_...), likewise.
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
		Fair:     fair.DefaultConfig(),
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
	c.Store = c.Store.WithLibrary(c.Libchdb)
	if c.Store.BackupDir == "" {
		c.Store.BackupDir = filepath.Join(c.DataDir, "backups")
	}
	if c.Backup.To == "" {
		c.Backup.To = "file:" + c.Store.BackupDir
	}
	c.HTTP.Listen = c.Listen
}

// locate makes the directory of backups whole: ClickHouse compares whole paths.
func (c *Config) locate() error {
	dir, err := filepath.Abs(c.Store.BackupDir)
	if err != nil {
		return fmt.Errorf("store.backup_dir: %w", err)
	}
	if c.Backup.To == "file:"+c.Store.BackupDir {
		c.Backup.To = "file:" + dir
	}
	c.Store.BackupDir = dir
	return nil
}

// Validate reports every fault of the configuration at once.
func (c *Config) Validate() error {
	var errs []error
	for name, listen := range map[string]string{"listen": c.Listen, "admin_listen": c.AdminListen} {
		if _, _, err := net.SplitHostPort(listen); err != nil && (listen != "" || name == "listen") {
			errs = append(errs, fmt.Errorf("%s: want host:port, such as 127.0.0.1:8080: %w", name, err))
		}
	}
	if c.DrainDelay < 0 || c.DrainDelay > maxDrainDelay {
		errs = append(errs, fmt.Errorf("drain_delay: %s: want 0s to %s", c.DrainDelay, maxDrainDelay))
	}
	if c.DataDir == "" {
		errs = append(errs, errors.New("data_dir: must be set"))
	}
	if c.MasterKey != "" {
		if _, err := auth.OpenSealer("", c.MasterKey, true); err != nil { // with a key it opens no file
			errs = append(errs, fmt.Errorf("master_key: %w", err))
		}
	}
	for _, part := range []struct {
		section string
		fault   error
	}{
		{"bus", c.Bus.Validate()}, {"store", c.Store.Validate()}, {"receiver", c.Receiver.Validate()}, {"api", c.API.Validate()}, {"fair", c.Fair.Validate()},
		{"oidc", c.OIDC.Validate()}, {"http", c.HTTP.Validate()}, {"log", c.Log.Validate()},
	} {
		errs = append(errs, under(part.section, part.fault))
	}
	errs = append(errs, c.Backup.Validate()) // names its section itself
	return errors.Join(errs...)
}

// under puts the section before each fault, which begins with a key in it.
func under(section string, fault error) error {
	if fault == nil {
		return nil
	}
	several, ok := fault.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("%s.%w", section, fault)
	}
	var errs []error
	for _, err := range several.Unwrap() {
		errs = append(errs, under(section, err))
	}
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

// listenTwice is the key that Listen stands for.
const listenTwice = "http.listen"

// configFlags are the flags of commands that run a server.
type configFlags struct {
	env         *Environment
	file        string
	check, dump bool
}

// flagKeys are the settings that have a flag, by the flag's name.
var flagKeys = map[string]struct{ key, help string }{
	"listen":           {"listen", "address for webhooks, the API and the CLI"},
	"admin-listen":     {"admin_listen", "address for metrics without a key, health and profiles; not for the outside (default off)"},
	"data-dir":         {"data_dir", "where the embedded parts keep their data"},
	"nats":             {"bus.url", "NATS servers, as nats://host:4222; empty embeds one"},
	"clickhouse":       {"store.dsn", "ClickHouse, as clickhouse://host:9000 or http://host:8123; empty embeds it"},
	"api-cors-origins": {"api.cors_origins", "origins whose pages may call the API with a key, as https://tools.example.com (default none)"},

	"public-url": {"api.public_url", "how senders reach us, for the webhook URLs that are shown"},
	"log-level":  {"log.level", "debug, info, warn or error"},
	"log-format": {"log.format", "text for people, json for programs"},
}

func addConfigFlags(cmd *cobra.Command, env *Environment) *configFlags {
	f := addSettingFlags(cmd, env)
	cmd.Flags().BoolVar(&f.check, "check", false, "check the configuration and exit")
	cmd.Flags().BoolVar(&f.dump, "dump", false, "print the configuration, without secrets, and exit")
	return f
}

// addSettingFlags adds the flags that say what the configuration is.
func addSettingFlags(cmd *cobra.Command, env *Environment) *configFlags {
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
	if cfg.HTTP.Listen != "" {
		return cfg, usagef("configuration: %s: say it as listen (%s)", listenTwice, config.Env("listen"))
	}
	cfg.complete()
	if err := cfg.locate(); err != nil {
		return cfg, err
	}
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
		if field.Key == listenTwice {
			continue
		}
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
		comment := "" // a secret that is not shown cannot be read back
		if _, secret := field.Value.(auth.Secret); secret {
			comment = "# "
		}
		fmt.Fprintf(w, "%s%s%s: %s # %s\n", comment, indent, name, shown(field), config.Env(field.Key))
	}
}

// shown is a setting's value as YAML.
func shown(field config.Field) string {
	if list, ok := field.Value.([]string); ok {
		quoted := make([]string, len(list))
		for i, s := range list {
			quoted[i] = strconv.Quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	value := fmt.Sprint(field.Value)
	if field.Key == "store.dsn" || field.Key == "bus.url" {
		value = withoutPassword(value)
	}
	return strconv.Quote(value)
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
