package chart

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/pod-security-admission/api"
	security "k8s.io/pod-security-admission/policy"
)

func newReader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }

func TestChart_PassesLintWithEveryFileOfValues(t *testing.T) {
	for name, values := range valueFiles(t) {
		for _, m := range lint.All(dir(t), values, namespace, true).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

// What each file of values makes, by kind and name, so that a change of it is seen.
func TestChart_MakesWhatItSays(t *testing.T) {
	f := func(file string, install bool, want ...string) {
		t.Helper()
		r, err := render(t, valueFiles(t)[file], install)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range pods(r) {
			got = append(got, fmt.Sprintf("%s %s", strings.TrimPrefix(fmt.Sprintf("%T", p.workload), "*v1."), p.workload.GetName()))
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("workloads of %s, install=%t (-want +got):\n%s", file, install, diff)
		}
	}
	f("all-in-one", true, "StatefulSet wc-whatchanged")
	split := []string{
		"Deployment wc-whatchanged-api", "Deployment wc-whatchanged-normalizer",
		"Deployment wc-whatchanged-receiver", "Deployment wc-whatchanged-writer",
	}
	f("external", true, append(slices.Clone(split), "Job wc-whatchanged-migrate")...)
	bundled := []string{"StatefulSet wc-whatchanged-clickhouse", "StatefulSet wc-whatchanged-nats"}
	f("bundled", true, slices.Concat(split, []string{"Job wc-whatchanged-migrate-first"}, bundled)...)
	f("bundled", false, slices.Concat(split, []string{"Job wc-whatchanged-migrate"}, bundled)...)
	f("hardened", true, "Deployment changes-api", "Deployment changes-normalizer", "Deployment changes-receiver", "Deployment changes-writer")
}

// Kubernetes' own judge of pods finds nothing that its strictest standard forbids,
// and what that standard does not ask for is there too.
func TestPods_AreRestricted(t *testing.T) {
	judge, err := security.NewEvaluator(security.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	eachRelease(t, func(t *testing.T, r *release) {
		for _, p := range pods(r) {
			name := p.workload.GetName()
			verdict := security.AggregateCheckResults(judge.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &p.ObjectMeta, &p.Spec))
			if !verdict.Allowed {
				t.Errorf("%s: %s", name, verdict.ForbiddenDetail())
			}
			if token := p.Spec.AutomountServiceAccountToken; token == nil || *token {
				t.Errorf("%s has a token for Kubernetes", name)
			}
			// They would begin with WHATCHANGED_, and the program refuses variables that it does not know.
			if links := p.Spec.EnableServiceLinks; links == nil || *links {
				t.Errorf("%s gets a variable for each Service", name)
			}
			for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
				if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
					t.Errorf("%s/%s may write into its image", name, c.Name)
				}
				if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
					t.Errorf("%s/%s: want requests, and a limit of memory; have %v", name, c.Name, c.Resources)
				}
			}
		}
		for _, a := range all[*core.ServiceAccount](r) {
			if a.AutomountServiceAccountToken == nil || *a.AutomountServiceAccountToken {
				t.Errorf("account %s hands out tokens", a.Name)
			}
		}
	})
}

// The user, the directory and the ports are those of the image.
func TestPods_FitTheImage(t *testing.T) {
	dockerfile := read(t, "deploy", "Dockerfile")
	for _, line := range []string{"USER 65532:65532", "WHATCHANGED_DATA_DIR=/data", `ENTRYPOINT ["/whatchanged"]`} {
		if !strings.Contains(dockerfile, line) {
			t.Errorf("deploy/Dockerfile has no %s", line)
		}
	}
	eachRelease(t, func(t *testing.T, r *release) {
		for _, p := range pods(r) {
			if p.ours() && (*p.Spec.SecurityContext.RunAsUser != 65532 || *p.Spec.SecurityContext.FSGroup != 65532) {
				t.Errorf("%s is not the image's user", p.workload.GetName())
			}
		}
		for _, s := range all[*apps.StatefulSet](r) {
			for _, m := range s.Spec.Template.Spec.Containers[0].VolumeMounts {
				if p := s.Labels["app.kubernetes.io/component"]; p == "serve" && m.Name == "data" && m.MountPath != "/data" {
					t.Errorf("the volume is at %s, want /data", m.MountPath)
				}
			}
		}
	})
}

// The garbage collector begins to work harder before the kernel kills.
func TestPods_CollectGarbageBelowTheirLimit(t *testing.T) {
	eachRelease(t, func(t *testing.T, r *release) {
		for _, p := range pods(r) {
			c := p.Spec.Containers[0]
			i := slices.IndexFunc(c.Env, func(e core.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
			if i < 0 {
				continue
			}
			soft := quantity(t, strings.TrimSuffix(c.Env[i].Value, "B"))
			if hard := c.Resources.Limits.Memory().Value(); float64(soft) > 0.9*float64(hard) {
				t.Errorf("%s: GOMEMLIMIT is %d of %d bytes, want at most nine tenths", p.workload.GetName(), soft, hard)
			}
		}
	})
}

// A pod has the time to drain and to stop before it is killed.
func TestPods_HaveTheTimeToStop(t *testing.T) {
	const mayTake = 10 // seconds: seven for the parts, the rest to close engine and bus
	if source := read(t, "services", "whatchanged", "serve.go"); !strings.Contains(source, "const grace = 7 * time.Second") {
		t.Error("services/whatchanged/serve.go gives its parts another time than 7 s: check pod.stopSeconds")
	}
	if source := read(t, "pkg", "httpserver", "config.go"); !strings.Contains(source, "5 * time.Second") {
		t.Error("pkg/httpserver gives requests another time than 5 s: check pod.stopSeconds")
	}
	eachRelease(t, func(t *testing.T, r *release) {
		for _, p := range pods(r) {
			if _, job := p.workload.(*batch.Job); job || !p.ours() {
				continue
			}
			drain := seconds(t, variable(p.Spec.Containers[0], "WHATCHANGED_DRAIN_DELAY"))
			if got := *p.Spec.TerminationGracePeriodSeconds; got < drain+mayTake {
				t.Errorf("%s is killed after %d s, and may take %d", p.workload.GetName(), got, drain+mayTake)
			}
		}
	})
}

// Nobody reads the value of a secret in what is rendered: there is no place for
// one in the values, and each is a reference.
func TestSecrets_AreReferencesOnly(t *testing.T) {
	secret := func(name string) bool {
		return slices.ContainsFunc([]string{"PASSWORD", "TOKEN", "SECRET", "_KEY", "_DSN"}, func(word string) bool {
			return strings.HasSuffix(name, word)
		})
	}
	eachRelease(t, func(t *testing.T, r *release) {
		for _, p := range pods(r) {
			for _, c := range p.Spec.Containers {
				for _, e := range c.Env {
					plain := e.Value != "" && !strings.Contains(e.Value, "$(CLICKHOUSE_PASSWORD)")
					if secret(e.Name) && plain {
						t.Errorf("%s: %s is %q, want a reference to a Secret", p.workload.GetName(), e.Name, e.Value)
					}
				}
			}
		}
	})
}

// The tables are migrated before anything else wherever there is a server to
// migrate, and by nothing that would have to exist before.
func TestMigrate_RunsFirst(t *testing.T) {
	f := func(file string, install bool, wantHook string) {
		t.Helper()
		r, err := render(t, valueFiles(t)[file], install)
		if err != nil {
			t.Fatal(err)
		}
		jobs := all[*batch.Job](r)
		if len(jobs) != 1 {
			t.Fatalf("%s: %d jobs, want 1", file, len(jobs))
		}
		job := jobs[0]
		if got := job.Annotations["helm.sh/hook"]; got != wantHook {
			t.Errorf("%s, install=%t: the hook is %q, want %q", file, install, got, wantHook)
		}
		if wantHook == "" {
			return
		}
		if account := job.Spec.Template.Spec.ServiceAccountName; account != "default" {
			t.Errorf("%s: a hook runs before its account %s is made", file, account)
		}
		for _, v := range job.Spec.Template.Spec.Volumes {
			if v.Secret == nil {
				t.Errorf("%s: a hook's volume %s is none of a Secret, which is there before", file, v.Name)
			}
		}
	}
	f("external", true, "pre-install,pre-upgrade")
	f("external", false, "pre-install,pre-upgrade")
	f("bundled", true, "") // it needs what this very installation brings
	f("bundled", false, "pre-install,pre-upgrade")
}

// Pods are added for a backlog that the program shows, and by processor.
func TestAutoscaling_AsksForMetricsThatExist(t *testing.T) {
	values := valueFiles(t)["external"]
	r, err := render(t, values, true)
	if err != nil {
		t.Fatal(err)
	}
	shown := read(t, "docs", "operating", "metrics.md") // made from a running server
	rights := read(t, "deploy", "nats", "accounts.conf")
	got := map[string]string{}
	for _, h := range all[*autoscaling.HorizontalPodAutoscaler](r) {
		for _, m := range h.Spec.Metrics {
			if m.External == nil {
				got[h.Name] += string(m.Resource.Name)
				continue
			}
			name, consumer := m.External.Metric.Name, m.External.Metric.Selector.MatchLabels["consumer"]
			got[h.Name] += consumer
			if !strings.Contains(shown, "| `"+name+"` | gauge | `consumer`") {
				t.Errorf("%s: the program shows no gauge %s by consumer", h.Name, name)
			}
			if !strings.Contains(rights, "."+consumer+`"`) {
				t.Errorf("%s: the bus has no consumer %s", h.Name, consumer)
			}
		}
		if i := slices.IndexFunc(all[*apps.Deployment](r), func(d *apps.Deployment) bool {
			return d.Name == h.Spec.ScaleTargetRef.Name && d.Spec.Replicas == nil
		}); i < 0 {
			t.Errorf("%s scales no Deployment that leaves its replicas open", h.Name)
		}
	}
	want := map[string]string{
		"wc-whatchanged-receiver": "cpu", "wc-whatchanged-normalizer": "normalizer-fresh",
		"wc-whatchanged-writer": "writer", "wc-whatchanged-api": "cpu",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what each is scaled by (-want +got):\n%s", diff)
	}
}

// Names stay within what Kubernetes takes, however long the release's is.
func TestNames_AreNeverTooLong(t *testing.T) {
	for name, values := range valueFiles(t) {
		r, err := renderAs(t, strings.Repeat("r", 53), values, true)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, o := range r.objects {
			if faults := validation.IsDNS1035Label(o.GetName()); len(faults) > 0 {
				t.Errorf("%s: name %s: %v", name, o.GetName(), faults)
			}
			if id := fmt.Sprintf("%T %s", o, o.GetName()); seen[id] {
				t.Errorf("%s: two of %s", name, id)
			} else {
				seen[id] = true
			}
			if s, ok := o.(*apps.StatefulSet); ok && len(s.Name) > 52 {
				t.Errorf("%s: StatefulSet %s: its pods' label controller-revision-hash is too long", name, s.Name)
			}
			for k, v := range maps.All(o.GetLabels()) {
				if faults := slices.Concat(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)); len(faults) > 0 {
					t.Errorf("%s: %s: label %s=%s: %v", name, o.GetName(), k, v, faults)
				}
			}
		}
	}
}
