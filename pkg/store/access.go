package store

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Access is what one service does with tables, and all that its user may do. A
// test takes down every statement of every service and compares: a service that
// begins to use another table is not noticed first by its users.
type Access struct {
	Service string
	Select  []string // tables, and with a dot those of another database
	Insert  []string
	Remove  []string // tables from which rows go that an org does not keep any longer
	Mend    bool     // look at damaged parts and put them aside, where there are no replicas
}

// Accesses lists the services. A new one is a line here.
func Accesses() []Access {
	return []Access{
		{
			Service: "api",
			Select: []string{
				"audit_events", "change_revisions", "changes", "deliveries", "incidents", "org_usage", "payloads", "receipts", "replay_differences", "token_uses",
			},
			Insert: []string{"audit_events", "token_uses"}, // those that were dead letters
		},
		{
			Service: "normalizer",
			Select:  []string{"changes", "deliveries", "payloads"},
			Insert:  []string{"replay_differences"},
		},
		{
			Service: "writer",
			Select:  []string{"change_revisions", "changes", "deliveries", "org_usage", "payloads", "receipts", "system.detached_parts", "system.parts"},
			Insert: []string{
				"audit_events", "change_revisions", "changes", "deliveries", "incidents", "org_usage", "payloads", "receipts", "token_uses",
			},
			Remove: []string{"change_revisions", "changes", "deliveries", "payloads", "receipts"},
			Mend:   true,
		},
	}
}

// startSelects is what every service reads when it starts: is the schema of its
// version there, and are the settings in force that acknowledgements rest on?
var startSelects = []string{"schema_migrations", "system.columns", "system.databases", "system.tables"}

// The tables that people may look at with tools of their own, such as Grafana.
// Bodies, audit trail and uses of keys are not among them. In a cluster a row
// policy must be on their local tables: docs/operating/clickhouse.md.
var readerSelects = []string{"changes", "deliveries", "incidents", "receipts"}

// GrantConfig says how the statements are written.
type GrantConfig struct {
	// Hashes are the SHA-256 hashes of passwords in hexadecimal, by user. One
	// that is missing is a parameter of the statement: {api_sha256:String}.
	Hashes map[string]string
}

// Users lists the users there are, without the database's name in front.
func Users() []string {
	var users []string
	for _, a := range Accesses() {
		users = append(users, a.Service)
	}
	return append(users, "migrate", "backup", "grafana")
}

// Grants returns the statements that make the users, one for each service, with
// what each needs and nothing else. They may be run again, with the next
// version's: what is no longer needed is taken back.
func Grants(cfg Config, g GrantConfig) []string {
	t := templateData{cfg}
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for _, user := range Users() {
		// A role needs a name of its own: GRANT ... TO would find the user first.
		name, role, on := cfg.Database+"_"+user, cfg.Database+"_"+user+"_role", t.OnCluster()
		add("CREATE SETTINGS PROFILE OR REPLACE %s%s SETTINGS\n    %s", name, on, strings.Join(profile(cfg, user), ",\n    "))
		add("CREATE ROLE IF NOT EXISTS %s%s", role, on)
		add("GRANT%s\n    %s\n    TO %s WITH REPLACE OPTION", on, strings.Join(privileges(cfg, user), ",\n    "), role)
		hash := "{" + user + "_sha256:String}"
		if h, ok := g.Hashes[user]; ok {
			hash = "'" + h + "'"
		}
		add("CREATE USER OR REPLACE %s%s IDENTIFIED WITH sha256_hash BY %s\n    DEFAULT ROLE %s SETTINGS PROFILE '%s'", name, on, hash, role, name)
		add("GRANT%s %s TO %s", on, role, name)
		if limits := quota(cfg, user); limits != "" {
			add("CREATE QUOTA OR REPLACE %s%s KEYED BY user_name FOR INTERVAL 1 minute MAX %s TO %s", name, on, limits, role)
		}
	}
	return all
}

// privileges is what a user may do, as GRANT has it.
func privileges(cfg Config, user string) []string {
	t := templateData{cfg}
	var out []string
	on := func(verbs string, tables ...string) {
		for _, table := range tables {
			names := []string{cfg.Database + "." + table}
			switch {
			case strings.Contains(table, "."):
				names = []string{table}
			case cfg.Cluster != "" && table != "schema_migrations":
				// A Distributed table asks its shards as the same user.
				names = append(names, cfg.Database+"."+t.Local(table))
			}
			for _, name := range names {
				out = append(out, verbs+" ON "+name)
			}
		}
	}
	switch user {
	case "migrate":
		out = append(out, "SELECT, INSERT, SHOW, CREATE DATABASE, CREATE TABLE, ALTER ADD COLUMN, ALTER ADD INDEX, ALTER SETTINGS, ALTER TTL ON "+cfg.Database+".*")
		on("SELECT", "system.databases", "system.tables", "system.columns")
		engines := []string{"ReplacingMergeTree", "MergeTree"}
		if cfg.Cluster != "" {
			engines = []string{"ReplicatedReplacingMergeTree", "ReplicatedMergeTree", "Distributed"}
			out = append(out, "CLUSTER ON *.*", "REMOTE ON *.*")
		}
		for _, engine := range engines {
			out = append(out, "TABLE ENGINE ON "+engine)
		}
	case "backup":
		for _, database := range []string{cfg.Database, cfg.Database + restoringSuffix} {
			out = append(out, "SELECT, INSERT, SHOW, BACKUP, CREATE DATABASE, CREATE TABLE, DROP DATABASE, DROP TABLE ON "+database+".*")
		}
		on("SELECT", "system.backups", "system.databases", "system.tables")
		out = append(out, "S3 ON *.*", "TABLE ENGINE ON *")
		if cfg.Cluster != "" {
			out = append(out, "CLUSTER ON *.*", "REMOTE ON *.*")
		}
	case "grafana":
		on("SELECT", readerSelects...)
	default:
		a := access(user)
		on("SELECT", startSelects...)
		on("SELECT", a.Select...)
		on("INSERT, SHOW COLUMNS", a.Insert...)
		on("ALTER DELETE", a.Remove...)
		if len(a.Remove) > 0 && cfg.Cluster != "" {
			out = append(out, "CLUSTER ON *.*", "REMOTE ON *.*") // it is done on all shards, and asks each what it has
		}
		if a.Mend && cfg.Cluster == "" {
			on("CHECK, ALTER DELETE", ownTables()...) // what another service cannot read, too
		}
	}
	return out
}

// ownTables lists the tables that services use.
func ownTables() []string {
	used := map[string]bool{}
	for _, a := range Accesses() {
		for _, table := range slices.Concat(a.Select, a.Insert) {
			if !strings.Contains(table, ".") {
				used[table] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(used))
}

func access(service string) Access {
	all := Accesses()
	return all[slices.IndexFunc(all, func(a Access) bool { return a.Service == service })]
}

// driverMargin is what clickhouse-go adds to the time that a context has left,
// which it sends as max_execution_time.
const driverMargin = 5 * time.Second

// profile is a user's settings. What people ask for is limited here too: a
// fault of ours must not take the server. Nobody has a priority: ClickHouse has
// those of lower priority wait while any of a higher one runs, and the pipeline
// always does.
func profile(cfg Config, user string) []string {
	switch user {
	case "api":
		return []string{
			"allow_ddl = 0 CONST",
			"async_insert = 0",
			fmt.Sprintf("max_memory_usage = %d MAX %d", cfg.QueryMemory, cfg.QueryMemory),
			fmt.Sprintf("max_memory_usage_for_user = %d CONST", 4*cfg.QueryMemory),
			fmt.Sprintf("max_execution_time = %d MAX %d", cfg.QueryTimeout/time.Second, (max(cfg.QueryTimeout, cfg.ExportTimeout)+driverMargin)/time.Second),
			fmt.Sprintf("max_concurrent_queries_for_user = %d CONST", 8*cfg.MaxConns),
		}
	case "grafana":
		return []string{
			"readonly = 2", // questions only, with settings
			"allow_ddl = 0 CONST",
			fmt.Sprintf("max_memory_usage = %d CONST", cfg.QueryMemory/2),
			fmt.Sprintf("max_memory_usage_for_user = %d CONST", cfg.QueryMemory),
			fmt.Sprintf("max_execution_time = %d MAX %d", cfg.QueryTimeout/time.Second, cfg.QueryTimeout/time.Second),
			fmt.Sprintf("max_rows_to_read = %d CONST", cfg.QueryRows),
			"max_concurrent_queries_for_user = 8 CONST",
		}
	case "migrate", "backup":
		return []string{"async_insert = 0", "max_execution_time = 0"}
	default:
		return []string{"allow_ddl = " + ddl(cfg, user) + " CONST", "async_insert = 0"}
	}
}

// ddl is whether a service alters tables: the writer removes what an org does not
// keep any longer, which ClickHouse counts as that, and puts damaged parts aside
// where there are no replicas.
func ddl(cfg Config, service string) string {
	if a := access(service); len(a.Remove) > 0 || a.Mend && cfg.Cluster == "" {
		return "1"
	}
	return "0"
}

// quota is what a user may ask for in a minute. The pipeline has none: it must
// go on however much there is.
func quota(cfg Config, user string) string {
	switch user {
	case "api":
		return fmt.Sprintf("queries = 60000, read_rows = %d", 60*cfg.QueryRows)
	case "grafana":
		return fmt.Sprintf("queries = 600, read_rows = %d, execution_time = 300", 10*cfg.QueryRows)
	default:
		return ""
	}
}

// GrantsSQL returns the statements of Grants as a file for clickhouse-client.
func GrantsSQL(cfg Config, g GrantConfig) string {
	var out strings.Builder
	out.WriteString(`-- A user for each service, with what it needs and no more. Run by an administrator,
-- and again with each new version; printed by: whatchanged clickhouse grants
-- {api_sha256:String} and the like are the SHA-256 hashes of passwords:
--   clickhouse-client --param_api_sha256="$(printf %s "$API_PASSWORD" | sha256sum | cut -d' ' -f1)" ... --queries-file users.sql
`)
	for _, s := range Grants(cfg, g) {
		out.WriteString("\n" + s + ";\n")
	}
	return out.String()
}
