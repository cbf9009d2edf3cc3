package chart

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v3/pkg/chartutil"

	"whatchanged/deploy/check/program"
)

var update = flag.Bool("update", false, "write what is made from the code and from values.yaml")

// The schema refuses what the chart or the program would not understand, before
// anything is installed.
func TestSchema_RefusesMistakes(t *testing.T) {
	f := func(file, values, wantPath string) {
		t.Helper()
		over, err := chartutil.ReadValues([]byte(values))
		if err != nil {
			t.Fatal(err)
		}
		_, err = render(t, chartutil.CoalesceTables(over, valueFiles(t)[file]), true)
		if err == nil || !strings.Contains(err.Error(), wantPath) {
			t.Errorf("%s with %s: error %v, want one about %s", file, values, err, wantPath)
		}
	}
	f("external", `{replicas: 3}`, "replicas")
	f("external", `{services: {receiver: {replica: 3}}}`, "/services/receiver")
	f("external", `{services: {sender: {replicas: 3}}}`, "/services")
	f("external", `{services: {api: {replicas: 0}}}`, "/services/api/replicas")
	f("external", `{services: {writer: {autoscaling: {enabled: true, cpu: 0, lag: 0}}}}`, "/services/writer/autoscaling")
	f("external", `{services: {writer: {autoscaling: {min: 7}}}}`, "services.writer.autoscaling: min is more than max")
	f("external", `{services: {writer: {resources: {limits: {memory: lots}}}}}`, "/services/writer/resources/limits/memory")
	f("external", `{services: {writer: {goMemoryLimit: 1Gi}}}`, "/services/writer/goMemoryLimit")
	f("external", `{mode: both}`, "/mode")
	f("external", `{publicUrl: ""}`, "/publicUrl")
	f("external", `{publicUrl: changes.example.com}`, "/publicUrl")
	f("external", `{image: {tag: "0.1.0@sha256:1"}}`, "/image/tag")
	f("external", `{image: {digest: "sha256:1"}}`, "/image/digest")
	f("external", `{secrets: {masterKey: {name: ""}}}`, "/secrets/masterKey/name")
	f("external", `{secrets: {masterKey: {value: c2VjcmV0}}}`, "/secrets/masterKey")
	f("external", `{nats: {url: ""}}`, "/nats/url")
	f("external", `{nats: {url: "nats://me:secret@nats:4222"}}`, "/nats/url")
	f("external", `{nats: {url: "http://nats:4222"}}`, "/nats/url")
	f("external", `{nats: {auth: {method: token}}}`, "/nats/auth/method")
	f("external", `{nats: {auth: {name: ""}}}`, "/nats/auth/name")
	f("bundled", `{nats: {auth: {name: ""}}}`, "/nats/auth/name")
	f("bundled", `{nats: {bundled: {storage: {size: 20G}}}}`, "/nats/bundled/storage/size")
	f("external", `{clickhouse: {dsn: {name: ""}}}`, "/clickhouse/dsn/name")
	f("external", `{clickhouse: {password: secret}}`, "/clickhouse")
	f("bundled", `{clickhouse: {bundled: {auth: {name: ""}}}}`, "/clickhouse/bundled/auth/name")
	f("all-in-one", `{nats: {bundled: {enabled: true}, auth: {name: a}}}`, "/nats/bundled/enabled")
	f("external", `{config: {recevier: {max_body: 1}}}`, "/config")
	f("external", `{config: {receiver: {max_bdy: 1}}}`, "/config/receiver")
	f("external", `{config: {receiver: {max_body: {bytes: 1}}}}`, "/config/receiver/max_body")
	f("external", `{config: {store: {dsn: "clickhouse://me:secret@clickhouse"}}}`, "/config/store")
	f("external", `{config: {bus: {password: secret}}}`, "/config/bus")
	f("external", `{config: {oidc: {client_secret: secret}}}`, "/config/oidc")
	f("external", `{config: {bootstrap: {api_key: secret}}}`, "/config")
	f("external", `{pod: {extraEnv: [{name: WHATCHANGED_MASTER_KEY, value: secret}]}}`, "/pod/extraEnv/0/name")
	f("external", `{pod: {drainSeconds: 600}}`, "/pod/drainSeconds")
	f("external", `{pod: {stopSeconds: 5}}`, "/pod/stopSeconds")
	f("external", `{networkPolicy: {monitoring: [{}]}}`, "/networkPolicy/monitoring/0")
	f("external", `{ingress: {enabled: "yes"}}`, "/ingress/enabled")
	f("external", `{service: {type: Nodeport}}`, "/service/type")
}

// computed are the settings that the chart gives itself. Files and secrets are
// left out wherever they are.
var computed = []string{
	"listen", "admin_listen", "drain_delay", "data_dir", "libchdb", "api.public_url", "bus.url", "bus.name", "bus.dir", "bus.user", "store.dsn", "http.listen",
}

var settingLine = regexp.MustCompile(`(?m)^(# )?\s*([a-z0-9_]+): .* # (WHATCHANGED_[A-Z0-9_]+)$`)

// The schema takes the settings that the program has, and no others. After a new
// setting: go test ./chart -run TestSchema_HasTheProgramsSettings -update.
func TestSchema_HasTheProgramsSettings(t *testing.T) {
	out, err := program.Run(t.Context(), program.Path(t), nil, "serve", "--dump")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]any{}
	for _, line := range settingLine.FindAllStringSubmatch(out, -1) {
		name := line[2]
		section := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(line[3], "WHATCHANGED_"), strings.ToUpper(name)))
		section = strings.TrimSuffix(section, "_")
		full := strings.TrimPrefix(section+"."+name, ".")
		if line[1] != "" || strings.HasSuffix(name, "_file") || slices.Contains(computed, full) {
			continue
		}
		if section == "" {
			t.Errorf("the setting %s is in no section: say in the chart what it is", name)
			continue
		}
		if sections[section] == nil {
			sections[section] = map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{}}
		}
		sections[section].(map[string]any)["properties"].(map[string]any)[name] = map[string]any{"$ref": "#/$defs/setting"}
	}
	if len(sections) < 5 {
		t.Fatalf("only %d sections of settings are seen in:\n%s", len(sections), out)
	}
	var schema map[string]any
	have := read(t, "charts", "whatchanged", "values.schema.json")
	if err := json.Unmarshal([]byte(have), &schema); err != nil {
		t.Fatal(err)
	}
	schema["$defs"].(map[string]any)["config"] = map[string]any{"type": "object", "additionalProperties": false, "properties": sections}
	var want bytes.Buffer
	encoder := json.NewEncoder(&want)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		t.Fatal(err)
	}
	same(t, filepath.Join(dir(t), "values.schema.json"), want.String())
}

// same compares a file with what it should be, or writes it.
func same(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(have)); diff != "" {
		t.Errorf("%s is not what it is made from; run with -update (-want +got):\n%s", path, diff)
	}
}

// README.md lists every value with its default and its sentence in values.yaml.
func TestReadme_ListsTheValues(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, "charts", "whatchanged", "values.yaml")), &doc); err != nil {
		t.Fatal(err)
	}
	rows := []string{"| value | default | what it is |", "|---|---|---|"}
	rows = append(rows, tableOf(t, doc.Content[0], "", "")...)
	const begin, end = "<!-- values: made by a test from values.yaml -->\n", "<!-- end of values -->\n"
	readme := read(t, "charts", "whatchanged", "README.md")
	before, rest, ok := strings.Cut(readme, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("README.md has no place for the table of values")
	}
	same(t, filepath.Join(dir(t), "README.md"), before+begin+strings.Join(rows, "\n")+"\n"+end+after)
}

// tableOf returns a row for each value. A mapping that is empty or written in one line is a value.
func tableOf(t *testing.T, node *yaml.Node, prefix, about string) []string {
	t.Helper()
	var rows []string
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := prefix + key.Value
		// The first paragraph of the file is above its first key.
		comments := strings.Split(key.HeadComment, "\n\n")
		says := strings.TrimSpace(strings.TrimPrefix(comments[len(comments)-1], "#"))
		says = strings.ReplaceAll(says, "\n# ", " ")
		if value.Kind == yaml.MappingNode && value.Style&yaml.FlowStyle == 0 {
			rows = append(rows, tableOf(t, value, name+".", says)...)
			continue
		}
		same := regexp.MustCompile(`^services\.(normalizer|writer|api)\.`).MatchString(name)
		switch {
		case says == "" && same:
			says = "as of the receiver"
		case says == "":
			says = about // of a group whose members say themselves what they are
		}
		if says == "" {
			t.Errorf("values.yaml says nothing about %s", name)
		}
		text, err := json.Marshal(plain(t, value))
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, "| `"+name+"` | `"+string(text)+"` | "+strings.ReplaceAll(says, "|", `\|`)+" |")
	}
	return rows
}

func plain(t *testing.T, node *yaml.Node) any {
	t.Helper()
	var v any
	if err := node.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// What the chart has a copy of is what the others have: charts are packed without
// what lies beside them.
func TestFiles_AreCopies(t *testing.T) {
	for name, of := range map[string][]string{
		"accounts.conf": {"deploy", "nats", "accounts.conf"},
		"alerts.yml":    {"deploy", "prometheus", "alerts.yml"},
	} {
		same(t, filepath.Join(dir(t), "files", name), read(t, of...))
	}
}

// The bundled ClickHouse server's files are well-formed, and the password is not in them.
func TestBundledClickHouse_HasWellFormedFiles(t *testing.T) {
	for _, name := range []string{"clickhouse.xml", "clickhouse-users.xml"} {
		text := read(t, "charts", "whatchanged", "files", name)
		for d := xml.NewDecoder(strings.NewReader(text)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if strings.Contains(text, "<password>") || strings.Contains(name, "users") && !strings.Contains(text, `<password from_env="CLICKHOUSE_PASSWORD"/>`) {
			t.Errorf("%s: the password comes from somewhere else than the environment", name)
		}
	}
}

// The bundled servers are of the versions that the product is tested with.
func TestBundledServers_AreTheTestedVersions(t *testing.T) {
	values := read(t, "charts", "whatchanged", "values.yaml")
	f := func(file, version, image string) {
		t.Helper()
		found := regexp.MustCompile(version).FindStringSubmatch(file)
		if found == nil {
			t.Fatalf("no version %s", version)
		}
		if want := image + found[1]; !regexp.MustCompile(regexp.QuoteMeta(want) + `(-|\n)`).MatchString(values) {
			t.Errorf("values.yaml has no %s", want)
		}
	}
	f(read(t, "go.mod"), `github.com/nats-io/nats-server/v2 v(\S+)`, "image: docker.io/library/nats:")
	f(read(t, "pkg", "chdb", "lib", "package.json"), `lib-linux-x64-gnu": "(\d+\.\d+)\.`, "image: docker.io/clickhouse/clickhouse-server:")
}

// docs/operating/kubernetes.md says what the chart asks for, and names users that
// users.sql makes.
func TestKubernetesPage_IsOfTheChart(t *testing.T) {
	var about struct {
		KubeVersion string `yaml:"kubeVersion"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "charts", "whatchanged", "Chart.yaml")), &about); err != nil {
		t.Fatal(err)
	}
	version := strings.TrimSuffix(strings.TrimPrefix(about.KubeVersion, ">="), ".0-0")
	page, readme := read(t, "docs", "operating", "kubernetes.md"), read(t, "charts", "whatchanged", "README.md")
	if !strings.Contains(page, "Kubernetes "+version+" or later") || !strings.Contains(readme, "Kubernetes "+version+" and later") {
		t.Errorf("the chart asks for Kubernetes %s, and a page for another", about.KubeVersion)
	}
	users := read(t, "deploy", "clickhouse", "users.sql")
	named := regexp.MustCompile(`clickhouse://(\w+):`).FindAllStringSubmatch(page, -1)
	if len(named) == 0 {
		t.Error("the page has no DSN")
	}
	for _, user := range named {
		if !strings.Contains(users, "CREATE USER OR REPLACE "+user[1]+" ") {
			t.Errorf("users.sql makes no user %s", user[1])
		}
	}
	var values struct {
		Pod struct {
			DrainSeconds int `yaml:"drainSeconds"`
			StopSeconds  int `yaml:"stopSeconds"`
		} `yaml:"pod"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "charts", "whatchanged", "values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("- %d seconds to stop", values.Pod.DrainSeconds+values.Pod.StopSeconds); !strings.Contains(page, want) {
		t.Errorf("the page has no %q", want)
	}
}
