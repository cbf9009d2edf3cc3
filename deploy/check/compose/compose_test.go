// Package compose checks docker-compose.yml, as docker compose itself reads it,
// against the program and the files that it mounts.
package compose

import (
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"

	"whatchanged/deploy/check/program"
)

// ours are the services that are a subcommand of the program. A new one is a
// name here and an entry in docker-compose.yml.
var ours = []string{"api", "backup", "migrate", "normalizer", "receiver", "writer"}

// others are the services that are not.
var others = []string{"access", "clickhouse", "grafana", "nats", "prometheus"}

// once are the services that do something and end.
var once = []string{"access", "backup", "migrate"}

// probes are the programs that the images of others are known to have.
var probes = map[string][]string{
	"nats":       {"wget"}, // of Alpine's busybox
	"clickhouse": {"wget"},
	"prometheus": {"wget"}, // busybox
	"grafana":    {"wget"}, // of Alpine's busybox
}

// project is docker-compose.yml, with secrets drawn for the test.
type project struct {
	*types.Project
	secrets string
}

// load reads docker-compose.yml with the defaults, as compose would on a machine
// whose environment has nothing to say.
func load(t *testing.T) project {
	t.Helper()
	root, secrets := program.Root(t), filepath.Join(t.TempDir(), "secrets")
	draw := exec.CommandContext(t.Context(), "sh", filepath.Join(root, "deploy", "compose", "secrets.sh"), secrets)
	if out, err := draw.CombinedOutput(); err != nil {
		t.Fatalf("draw the secrets: %v\n%s", err, out)
	}
	file := filepath.Join(root, "docker-compose.yml")
	options, err := cli.NewProjectOptions([]string{file}, cli.WithEnv([]string{"SECRETS=" + secrets}),
		cli.WithProfiles([]string{"*"}), cli.WithInterpolation(true), cli.WithConsistency(true), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project{loaded, secrets}
}

func TestThereIsEachService(t *testing.T) {
	got := slices.Sorted(maps.Keys(load(t).Services))
	want := slices.Sorted(slices.Values(slices.Concat(ours, others)))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}

func TestThePortsAreOnLoopback(t *testing.T) {
	got := map[string]string{}
	for name, s := range load(t).Services {
		for _, p := range s.Ports {
			got[name] = fmt.Sprintf("%s:%s:%d", p.HostIP, p.Published, p.Target)
		}
	}
	want := map[string]string{
		"receiver": "127.0.0.1:8081:8080", "api": "127.0.0.1:8080:8080",
		"prometheus": "127.0.0.1:9091:9090", "grafana": "127.0.0.1:3000:3000",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
}

// settings returns the variables of one of our services, as the program gets
// them: the file of its secrets is where this machine has it.
func (p project) settings(t *testing.T, name string) []string {
	t.Helper()
	s := p.Services[name]
	files := map[string]string{}
	for _, secret := range s.Secrets {
		target := secret.Target
		if target == "" {
			target = secret.Source
		}
		files[filepath.Join("/run/secrets", target)] = p.Secrets[secret.Source].File
	}
	var environ []string
	for key, value := range s.Environment {
		if value == nil {
			t.Errorf("%s: %s has no value", name, key)
			continue
		}
		if file, ok := files[*value]; ok {
			*value = file
		}
		environ = append(environ, key+"="+*value)
	}
	return environ
}

func TestTheProgramKnowsEverySetting(t *testing.T) {
	p, path := load(t), program.Path(t)
	_, err := program.Run(t.Context(), path, nil, "healthcheck", "http://127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("healthcheck where nobody listens: %v, want exit status 1", err)
	}
	for _, name := range ours {
		s := p.Services[name]
		want, reader := []string{name}, name
		if name == "backup" {
			want, reader = []string{"/whatchanged", "backup", "create"}, "migrate" // which has the same settings
		}
		if got := slices.Concat([]string(s.Entrypoint), []string(s.Command)); !slices.Equal(got, want) {
			t.Errorf("%s runs %q", name, got)
		}
		environ := p.settings(t, name)
		if err := program.CheckConfig(t.Context(), path, reader, environ); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// And would say so, if it did not: in the environment and in the secrets.
		err := program.CheckConfig(t.Context(), path, reader, append(environ, "WHATCHANGED_LISTNE=0.0.0.0:8080"))
		if err == nil || !strings.Contains(err.Error(), "WHATCHANGED_LISTNE") {
			t.Errorf("%s: an unknown variable: %v, want an error that names it", name, err)
		}
		odd := filepath.Join(t.TempDir(), "odd.yaml")
		if err := os.WriteFile(odd, []byte("bus: {pasword: x}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		err = program.CheckConfig(t.Context(), path, reader, append(environ, "WHATCHANGED_CONFIG="+odd))
		if err == nil || !strings.Contains(err.Error(), "bus.pasword") {
			t.Errorf("%s: an unknown key in a file: %v, want an error that names it", name, err)
		}
	}
}

func TestNoSecretIsInTheFileOrInOurServicesEnvironment(t *testing.T) {
	p := load(t)
	text, err := os.ReadFile(filepath.Join(program.Root(t), "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	inline := regexp.MustCompile(`(?im)^\s*[A-Z_]*(PASSWORD|SECRET|TOKEN|API_KEY|MASTER_KEY): *\S`)
	if found := inline.Find(text); found != nil {
		t.Errorf("docker-compose.yml has %q", found)
	}
	for _, file := range []string{"master.key", "first.key", "first.token", "nats-api.password", "clickhouse-api.password"} {
		secret, err := os.ReadFile(filepath.Join(p.secrets, file))
		if err != nil {
			t.Fatal(err)
		}
		if len(secret) < 40 {
			t.Errorf("%s has %d bytes", file, len(secret))
		}
		for _, name := range ours {
			for key, value := range p.Services[name].Environment {
				if strings.Contains(*value, strings.TrimSpace(string(secret))) {
					t.Errorf("%s of %s holds %s", key, name, file)
				}
			}
		}
	}
}

func TestSecretsAreDrawnOnce(t *testing.T) {
	p := load(t)
	read := func() map[string]string {
		files, err := filepath.Glob(filepath.Join(p.secrets, "*"))
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Base(file)] = string(text)
		}
		return all
	}
	before := read()
	again := exec.CommandContext(t.Context(), "sh", filepath.Join(program.Root(t), "deploy", "compose", "secrets.sh"), p.secrets)
	if out, err := again.CombinedOutput(); err != nil {
		t.Fatalf("draw the secrets again: %v\n%s", err, out)
	}
	if diff := cmp.Diff(before, read()); diff != "" {
		t.Errorf("drawn again, the secrets differ (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(p.secrets); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v (%v), want it for its owner alone", info.Mode(), err)
	}
}

func TestEveryMountedFileIsThere(t *testing.T) {
	p := load(t)
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			switch v.Type {
			case types.VolumeTypeBind:
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s mounts %s at %s: %v", name, v.Source, v.Target, err)
				}
				if !v.ReadOnly {
					t.Errorf("%s can write %s", name, v.Source)
				}
			case types.VolumeTypeVolume:
				if _, ok := p.Volumes[v.Source]; !ok {
					t.Errorf("%s: there is no volume %s", name, v.Source)
				}
			}
		}
		for _, secret := range s.Secrets {
			if _, err := os.Stat(p.Secrets[secret.Source].File); err != nil {
				t.Errorf("%s: secret %s: %v", name, secret.Source, err)
			}
		}
		// A path in a command line is one that is mounted.
		for _, arg := range slices.Concat([]string(s.Entrypoint), []string(s.Command)) {
			_, file, _ := strings.Cut(arg, "=")
			if file == "" {
				file = arg
			}
			if !strings.HasPrefix(file, "/") || file == "/whatchanged" && slices.Contains(ours, name) { // which our image has
				continue
			}
			if !mounted(s, file) {
				t.Errorf("%s is started with %s, which nothing mounts", name, file)
			}
		}
	}
}

// mounted reports whether a path in a container is in a volume, or a file of
// this machine.
func mounted(s types.ServiceConfig, path string) bool {
	for _, v := range s.Volumes {
		rest, ok := strings.CutPrefix(path, v.Target)
		if !ok || rest != "" && !strings.HasPrefix(rest, "/") {
			continue
		}
		if v.Type == types.VolumeTypeVolume {
			return true
		}
		_, err := os.Stat(filepath.Join(v.Source, rest))
		return err == nil
	}
	return false
}

// Prometheus scrapes each of our services that stays, at its admin listener.
func TestEveryServiceIsScraped(t *testing.T) {
	p := load(t)
	text, err := os.ReadFile(filepath.Join(program.Root(t), "deploy", "prometheus", "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range ours {
		_, port, _ := strings.Cut(*p.Services[name].Environment["WHATCHANGED_ADMIN_LISTEN"], ":")
		target := regexp.MustCompile(`(?m)\b` + name + ":" + port + `\b`)
		if !slices.Contains(once, name) && !target.Match(text) {
			t.Errorf("nothing scrapes %s:%s", name, port)
		}
	}
}

func TestEveryServiceIsWatchedLimitedAndWithoutRights(t *testing.T) {
	p := load(t)
	for name, s := range p.Services {
		say := func(format string, args ...any) {
			t.Helper()
			t.Errorf(name+": "+format, args...)
		}
		if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			say("it may do more than it needs to")
		}
		if s.Deploy == nil || s.Deploy.Resources.Limits == nil || s.Deploy.Resources.Limits.MemoryBytes == 0 ||
			s.Deploy.Resources.Limits.NanoCPUs == 0 || s.Deploy.Resources.Limits.Pids == 0 {
			say("memory, processors or processes have no limit")
		} else if cpus := s.Deploy.Resources.Limits.NanoCPUs; cpus > 2 {
			say("it may use %v processors: Docker refuses that on a machine with two", cpus)
		}
		if s.Privileged || s.NetworkMode != "" || s.Pid != "" {
			say("it shares more of the machine than its network")
		}
		want := "unless-stopped"
		switch {
		case name == "backup":
			want = "no" // whoever asked for it is told
		case slices.Contains(once, name):
			want = "on-failure:5"
		}
		if s.Restart != want {
			say("restart is %q, want %q", s.Restart, want)
		}
		if slices.Contains(ours, name) {
			if s.User != "65532:65532" {
				say("it runs as %q", s.User)
			}
			if s.Build == nil || s.Build.Target != "whatchanged" || s.Build.Dockerfile != filepath.Join("deploy", "Dockerfile") {
				say("it is not built from deploy/Dockerfile")
			}
		} else if !regexp.MustCompile(`:v?[0-9]+\.[0-9]+[0-9a-z.-]*$`).MatchString(s.Image) {
			say("the image %s has no version", s.Image)
		}
		checkHealth(t, name, s)
		for on, d := range s.DependsOn {
			if _, ok := p.Services[on]; !ok {
				say("it waits for %s, which is not there", on)
			}
			if d.Condition == types.ServiceConditionStarted {
				say("it waits for %s to start, not to work", on)
			}
		}
	}
}

// checkHealth fails when a service's health check is none, or runs what its
// image does not have.
func checkHealth(t *testing.T, name string, s types.ServiceConfig) {
	t.Helper()
	switch {
	case slices.Contains(once, name):
		return
	case s.HealthCheck == nil || s.HealthCheck.Disable || len(s.HealthCheck.Test) < 2 || s.HealthCheck.Test[0] != "CMD":
		t.Errorf("%s has no health check that runs a program", name)
	case slices.Contains(ours, name):
		if diff := cmp.Diff([]string{"CMD", "/whatchanged", "healthcheck"}, []string(s.HealthCheck.Test)); diff != "" {
			t.Errorf("%s's health check (-want +got):\n%s", name, diff)
		}
	case !slices.Contains(probes[name], s.HealthCheck.Test[1]):
		t.Errorf("%s has no %s to be checked with", name, s.HealthCheck.Test[1])
	}
}

// What a mounted settings file takes from the environment is in it.
func TestTheServersAreGivenWhatTheirFilesName(t *testing.T) {
	p := load(t)
	named := regexp.MustCompile(`\$\{?([A-Z][A-Z_]+)\b|from_env="([A-Z_0-9]+)"`)
	comment := regexp.MustCompile(`(?m)^\s*#.*$|(?s)<!--.*?-->`)
	f := func(service string, files ...string) {
		t.Helper()
		for _, file := range files {
			text, err := os.ReadFile(filepath.Join(program.Root(t), "deploy", filepath.FromSlash(file)))
			if err != nil {
				t.Error(err)
				continue
			}
			for _, match := range named.FindAllStringSubmatch(comment.ReplaceAllString(string(text), ""), -1) {
				name := match[1] + match[2]
				if ours := name == "JS" || name == "KV" || name == "SYS"; ours { // subjects of NATS itself
					continue
				}
				if value := p.Services[service].Environment[name]; value == nil || *value == "" {
					t.Errorf("%s: %s wants %s, which is not in the environment", service, file, name)
				}
			}
		}
	}
	f("nats", "nats/single.conf", "nats/accounts.conf")
	f("clickhouse", "compose/clickhouse/config.xml", "compose/clickhouse/users.xml")
	f("grafana", "grafana/provisioning/datasources/whatchanged.yaml")
}

// Each parameter of the statements that make users is given, from a variable
// that there is.
func TestEveryUserOfClickHouseGetsAPassword(t *testing.T) {
	s := load(t).Services["access"]
	command := strings.Join(s.Entrypoint, " ")
	statements, err := os.ReadFile(filepath.Join(program.Root(t), "deploy", "clickhouse", "users.sql"))
	if err != nil {
		t.Fatal(err)
	}
	users := regexp.MustCompile(`\{([a-z]+)_sha256:String\}`).FindAllStringSubmatch(string(statements), -1)
	if len(users) == 0 {
		t.Error("users.sql has no parameters")
	}
	for _, user := range users {
		name := "CLICKHOUSE_" + strings.ToUpper(user[1]) + "_SHA256"
		if !strings.Contains(command, fmt.Sprintf(`--param_%s_sha256="$%s"`, user[1], name)) {
			t.Errorf("the parameter %s_sha256 is not given", user[1])
		}
		if value := s.Environment[name]; value == nil || len(*value) != 64 {
			t.Errorf("%s is not a hash", name)
		}
	}
	for _, name := range ours { // whose passwords are of users that are made
		dsn := regexp.MustCompile(`clickhouse://whatchanged_([a-z]+):`)
		text, err := os.ReadFile(load(t).Secrets[name].File)
		if err != nil {
			t.Fatal(err)
		}
		m := dsn.FindStringSubmatch(string(text))
		if name != "receiver" && (m == nil || !strings.Contains(string(statements), "CREATE USER OR REPLACE whatchanged_"+m[1]+" ")) {
			t.Errorf("%s is nobody to ClickHouse", name)
		}
	}
}

// nats-server itself reads its settings, with the passwords that were drawn.
func TestNATSUnderstandsItsSettings(t *testing.T) {
	p := load(t)
	server := filepath.Join(t.TempDir(), "nats-server")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", server, "github.com/nats-io/nats-server/v2")
	build.Dir = program.Root(t)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	var environ []string
	for key, value := range p.Services["nats"].Environment {
		environ = append(environ, key+"="+*value)
	}
	config := filepath.Join(program.Root(t), "deploy", "nats", "single.conf")
	for _, f := range []struct {
		environ []string
		want    string
	}{{environ, "is valid"}, {nil, "NATS_RECEIVER_PASSWORD"}} {
		check := exec.CommandContext(t.Context(), server, "-c", config, "-t")
		check.Env = append([]string{}, f.environ...)
		out, err := check.CombinedOutput()
		if (err == nil) != (f.environ != nil) || !strings.Contains(string(out), f.want) {
			t.Errorf("nats-server -t with %d variables: %v, want %q in:\n%s", len(f.environ), err, f.want, out)
		}
	}
}

func TestWhoCanBeReachedFromOutside(t *testing.T) {
	p := load(t)
	if !p.Networks["inside"].Internal {
		t.Error("the network inside reaches out")
	}
	for name, s := range p.Services {
		_, out := s.Networks["outside"]
		if _, in := s.Networks["inside"]; !in || out != slices.Contains([]string{"api", "clickhouse", "grafana", "normalizer", "prometheus", "receiver"}, name) {
			t.Errorf("%s is on %q", name, slices.Sorted(maps.Keys(s.Networks)))
		}
	}
}

// A backup has somewhere to go without anything being set: a disk that the server
// has, allows and can write.
func TestBackupsHaveAPlace(t *testing.T) {
	p := load(t)
	text, err := os.ReadFile(filepath.Join(program.Root(t), "deploy", "compose", "clickhouse", "config.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var server struct {
		Disk    string `xml:"storage_configuration>disks>backups>path"`
		Allowed string `xml:"backups>allowed_disk"`
	}
	if err := xml.Unmarshal(text, &server); err != nil {
		t.Fatal(err)
	}
	if to := *p.Services["backup"].Environment["WHATCHANGED_BACKUP_TO"]; to != "disk:"+server.Allowed || server.Allowed != "backups" {
		t.Errorf("backups go to %s, and the server allows the disk %q", to, server.Allowed)
	}
	if !slices.ContainsFunc(p.Services["clickhouse"].Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Type == types.VolumeTypeVolume && !v.ReadOnly && strings.HasPrefix(server.Disk, v.Target+"/")
	}) {
		t.Errorf("the disk is at %q, which no volume keeps", server.Disk)
	}
	secrets, err := os.ReadFile(filepath.Join(p.secrets, "backup.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"{user: backup,", "clickhouse://whatchanged_backup:"} {
		if !strings.Contains(string(secrets), user) {
			t.Errorf("backup.yaml has no %q", user)
		}
	}
}
