package chart

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"whatchanged/deploy/check/program"
)

// secrets are what the Secrets would hold, by the variable that refers to them.
func secretFor(variable string) string {
	switch variable {
	case "WHATCHANGED_MASTER_KEY":
		return base64.StdEncoding.EncodeToString(make([]byte, 32))
	case "WHATCHANGED_BOOTSTRAP_API_KEY":
		return "wc_live_" + strings.Repeat("k", 43)
	case "WHATCHANGED_BOOTSTRAP_TOKEN":
		return "wct_" + strings.Repeat("t", 43)
	case "WHATCHANGED_STORE_DSN":
		return "clickhouse://someone:secret@clickhouse.example.com:9440?secure=true"
	default:
		return "a-secret"
	}
}

var reference = regexp.MustCompile(`\$\(([A-Z_]+)\)`)

// environ is the environment that Kubernetes would make of a container's.
func environ(t *testing.T, c core.Container) []string {
	t.Helper()
	values := map[string]string{}
	var out []string
	for _, e := range c.Env {
		value := e.Value
		switch {
		case e.ValueFrom == nil:
			value = reference.ReplaceAllStringFunc(value, func(ref string) string {
				name := reference.FindStringSubmatch(ref)[1]
				known, ok := values[name]
				if !ok {
					t.Errorf("%s refers to %s, which is not before it", e.Name, name)
				}
				return known
			})
		case e.ValueFrom.SecretKeyRef != nil:
			if ref := e.ValueFrom.SecretKeyRef; ref.Name == "" || ref.Key == "" || ref.Optional != nil && *ref.Optional {
				t.Errorf("%s refers to Secret %q, key %q", e.Name, ref.Name, ref.Key)
			}
			value = secretFor(e.Name)
		default:
			value = c.Name + "-0"
		}
		if _, twice := values[e.Name]; twice {
			t.Errorf("%s is given twice", e.Name)
		}
		values[e.Name] = value
		out = append(out, e.Name+"="+value)
	}
	return out
}

// The program takes the settings of every pod that it is to run in: it knows
// each variable, and finds no fault with its value.
func TestEnvironment_IsWhatTheProgramTakes(t *testing.T) {
	path := program.Path(t)
	eachRelease(t, func(t *testing.T, r *release) {
		for _, p := range pods(r) {
			if !p.ours() {
				continue
			}
			for _, c := range p.Spec.Containers {
				if err := program.CheckConfig(t.Context(), path, c.Args[0], environ(t, c)); err != nil {
					t.Errorf("%s: %v", p.workload.GetName(), err)
				}
			}
		}
	})
	if program.CheckConfig(t.Context(), path, "receiver", []string{"WHATCHANGED_BUS_URL=nats://nats:4222", "WHATCHANGED_NOT_KNOWN=1"}) == nil {
		t.Error("the program takes a variable that it cannot know, so this test shows nothing")
	}
}

// What a file of values says reaches the program as it was said.
func TestEnvironment_HasTheSettings(t *testing.T) {
	r, err := render(t, valueFiles(t)["external"], true)
	if err != nil {
		t.Fatal(err)
	}
	f := func(component, name, want string) {
		t.Helper()
		i := slices.IndexFunc(pods(r), func(p pod) bool { return p.component() == component })
		if got := variable(pods(r)[i].Spec.Containers[0], name); got != want {
			t.Errorf("%s: %s is %q, want %q", component, name, got, want)
		}
	}
	f("writer", "WHATCHANGED_BUS_MAX_BYTES", "50000000000")
	f("receiver", "WHATCHANGED_RECEIVER_TRUSTED_PROXIES", "10.0.0.0/8,192.168.0.0/16")
	f("migrate", "WHATCHANGED_STORE_CLUSTER", "main")
	f("normalizer", "WHATCHANGED_LOG_LEVEL", "warn") // a service's own settings go over those of all
	f("normalizer", "WHATCHANGED_LOG_FORMAT", "json")
	f("writer", "WHATCHANGED_LOG_LEVEL", "")
}

// A receiver that is started with the pod's own environment, and finds no bus,
// answers at every path that a probe or Prometheus asks for: alive, not ready.
func TestProbes_AskForPathsThatTheProgramHas(t *testing.T) {
	r, err := render(t, valueFiles(t)["hardened"], true)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(pods(r), func(p pod) bool { return p.component() == "receiver" })
	c := pods(r)[i].Spec.Containers[0]
	admin := start(t, c)
	for probe, want := range map[*core.Probe]int{c.StartupProbe: 200, c.LivenessProbe: 200, c.ReadinessProbe: 503} {
		if probe.HTTPGet.Port != intstr.FromString("admin") {
			t.Errorf("the probe %s asks at %s", probe.HTTPGet.Path, probe.HTTPGet.Port.String())
		}
		if got := get(t, admin+probe.HTTPGet.Path); got != want {
			t.Errorf("%s answers %d, want %d", probe.HTTPGet.Path, got, want)
		}
	}
	if got := get(t, admin+"/metrics"); got != http.StatusOK {
		t.Errorf("/metrics answers %d, want 200", got)
	}
	eachRelease(t, func(t *testing.T, r *release) {
		for _, p := range pods(r) {
			for _, other := range p.Spec.Containers {
				if other.StartupProbe != nil && p.ours() && !cmp.Equal(other.ReadinessProbe.HTTPGet, c.ReadinessProbe.HTTPGet) {
					t.Errorf("%s has probes that are not tried here", p.workload.GetName())
				}
			}
		}
	})
}

// start runs a container's process on this machine, and returns where its admin
// listener is. It is killed with the test.
func start(t *testing.T, c core.Container) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	cmd := exec.CommandContext(ctx, program.Path(t), c.Args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(environ(t, c), "WHATCHANGED_LISTEN=127.0.0.1:0", "WHATCHANGED_ADMIN_LISTEN=127.0.0.1:0", "WHATCHANGED_BUS_URL=nats://127.0.0.1:1")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
			t.Errorf("wait for the program: %v", err)
		}
	})
	lines := newReader("")
	lines.Reset(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatalf("the program said no address: %v", err)
		}
		var said struct{ Msg, Addr string }
		if json.Unmarshal(line, &said) == nil && said.Msg == "admin listening" {
			go io.Copy(io.Discard, lines) // until Wait closes it
			return "http://" + said.Addr
		}
	}
}

func get(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// nats-server itself reads the configuration of the bundled servers, with the
// environment that their pods have.
func TestBundledNATS_ReadsItsConfiguration(t *testing.T) {
	r, err := render(t, valueFiles(t)["bundled"], true)
	if err != nil {
		t.Fatal(err)
	}
	files := t.TempDir()
	for _, m := range all[*core.ConfigMap](r) {
		for name, text := range m.Data {
			if err := os.WriteFile(filepath.Join(files, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	i := slices.IndexFunc(pods(r), func(p pod) bool { return p.component() == "nats" })
	c := pods(r)[i].Spec.Containers[0]
	conf := filepath.Join(files, filepath.Base(c.Command[2]))
	cmd := exec.CommandContext(t.Context(), natsServer(t), "-t", "-c", conf)
	cmd.Env = environ(t, c)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("nats-server -t: %v\n%s", err, out)
	}
	if text := read(t, "charts", "whatchanged", "files", "nats.conf"); !regexp.MustCompile(`(?m)^\s+sync_interval: always$`).MatchString(text) {
		t.Error("the bundled servers acknowledge before the disk has it")
	}
	// What the streams may hold must fit into what the server may fill, or it refuses to make them.
	source := read(t, "pkg", "bus", "streams.go")
	if !strings.Contains(source, "return maxBytes/60*100 + smallStreams") || !strings.Contains(source, "smallStreams     = 128 << 20") {
		t.Error("pkg/bus gives its streams another share: check what follows from nats.bundled.storage")
	}
	for _, p := range pods(r) {
		if !p.ours() {
			continue
		}
		most, err := strconv.ParseInt(variable(p.Spec.Containers[0], "WHATCHANGED_BUS_MAX_BYTES"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		fills, volume := quantity(t, variable(c, "NATS_MAX_FILE_STORE")), quantity(t, "20Gi")
		if need := most/60*100 + 128<<20; need > fills || fills > volume*9/10 {
			t.Errorf("%s: streams need %d bytes of the %d that a server may fill, on a volume of %d", p.component(), need, fills, volume)
		}
	}
	if routes := variable(c, "NATS_ROUTES"); strings.Count(routes, "wc-whatchanged-nats:6222") != 3 {
		t.Errorf("routes are %s", routes)
	}
}

// natsServer builds the server of the version that the product is built with.
func natsServer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats-server")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/nats-io/nats-server/v2")
	build.Dir = program.Root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	return path
}
