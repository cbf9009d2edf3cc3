// Package chart checks charts/whatchanged as helm renders it: what comes out is
// decoded as the API server would decode it, and compared with the program and
// with what the parts say of each other. Nothing here runs on a cluster.
package chart

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	stream "k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"whatchanged/deploy/check/program"
)

const (
	releaseName = "wc"
	namespace   = "changes"
)

// kinds are the objects that the chart may make: whatever else it renders is a
// mistake. There is no Secret among them.
var kinds = map[string]func() meta.Object{
	"v1/ConfigMap":                            func() meta.Object { return new(core.ConfigMap) },
	"v1/Service":                              func() meta.Object { return new(core.Service) },
	"v1/ServiceAccount":                       func() meta.Object { return new(core.ServiceAccount) },
	"apps/v1/Deployment":                      func() meta.Object { return new(apps.Deployment) },
	"apps/v1/StatefulSet":                     func() meta.Object { return new(apps.StatefulSet) },
	"batch/v1/Job":                            func() meta.Object { return new(batch.Job) },
	"autoscaling/v2/HorizontalPodAutoscaler":  func() meta.Object { return new(autoscaling.HorizontalPodAutoscaler) },
	"policy/v1/PodDisruptionBudget":           func() meta.Object { return new(policy.PodDisruptionBudget) },
	"networking.k8s.io/v1/Ingress":            func() meta.Object { return new(networking.Ingress) },
	"networking.k8s.io/v1/NetworkPolicy":      func() meta.Object { return new(networking.NetworkPolicy) },
	"monitoring.coreos.com/v1/ServiceMonitor": func() meta.Object { return new(monitoring.ServiceMonitor) },
	"monitoring.coreos.com/v1/PrometheusRule": func() meta.Object { return new(monitoring.PrometheusRule) },
}

// release is a chart rendered with one file of values.
type release struct {
	text    string // all manifests
	notes   string
	objects []meta.Object
}

func dir(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(program.Root(tb), "charts", "whatchanged")
}

func load(tb testing.TB) *chart.Chart {
	tb.Helper()
	c, err := loader.LoadDir(dir(tb))
	if err != nil {
		tb.Fatalf("load the chart: %v", err)
	}
	return c
}

// valueFiles returns the files of values in ci/, by name.
func valueFiles(tb testing.TB) map[string]map[string]any {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir(tb), "ci", "*-values.yaml"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("find files of values: %v, %d files", err, len(files))
	}
	all := map[string]map[string]any{}
	for _, file := range files {
		values, err := chartutil.ReadValuesFile(file)
		if err != nil {
			tb.Fatalf("read %s: %v", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), "-values.yaml")] = values
	}
	return all
}

// eachRelease renders the chart with each file of values, as an installation
// and as an upgrade.
func eachRelease(t *testing.T, claim func(*testing.T, *release)) {
	files := valueFiles(t)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, install := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/install=%t", name, install), func(t *testing.T) {
				r, err := render(t, files[name], install)
				if err != nil {
					t.Fatal(err)
				}
				claim(t, r)
			})
		}
	}
}

// render is `helm template`.
func render(tb testing.TB, values map[string]any, install bool) (*release, error) {
	tb.Helper()
	return renderAs(tb, releaseName, values, install)
}

func renderAs(tb testing.TB, name string, values map[string]any, install bool) (*release, error) {
	tb.Helper()
	c := load(tb)
	top, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{
		Name: name, Namespace: namespace, Revision: 1, IsInstall: install, IsUpgrade: !install,
	}, nil)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.Render(c, top)
	if err != nil {
		return nil, err
	}
	r := &release{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch base := path.Base(name); {
		case base == "NOTES.txt":
			r.notes = files[name]
		case !strings.HasPrefix(base, "_"):
			if err := r.decode(files[name]); err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", name, err, files[name])
			}
			r.text += files[name] + "\n---\n"
		}
	}
	return r, nil
}

// decode reads manifests as strictly as the API server does when it is asked to
// be strict: unknown and doubled fields are errors, and so is the wrong case.
func (r *release) decode(text string) error {
	docs := stream.NewYAMLReader(newReader(text))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var kind meta.TypeMeta
		if err := yaml.Unmarshal(doc, &kind); err != nil {
			return err
		}
		if kind == (meta.TypeMeta{}) && len(bytes.TrimSpace(withoutComments(doc))) == 0 {
			continue
		}
		makeObject, ok := kinds[kind.APIVersion+"/"+kind.Kind]
		if !ok {
			return fmt.Errorf("%s %s is not a kind that the chart makes", kind.APIVersion, kind.Kind)
		}
		object := makeObject()
		data, err := yaml.YAMLToJSONStrict(doc)
		if err != nil {
			return err
		}
		faults, err := strict.UnmarshalStrict(data, object)
		if err != nil || len(faults) > 0 {
			return fmt.Errorf("decode %s: %w %v", kind.Kind, err, faults)
		}
		r.objects = append(r.objects, object)
	}
}

func withoutComments(doc []byte) []byte {
	var out []byte
	for line := range bytes.Lines(doc) {
		if trimmed := bytes.TrimSpace(line); !bytes.HasPrefix(trimmed, []byte("#")) && !bytes.Equal(trimmed, []byte("---")) {
			out = append(out, line...)
		}
	}
	return out
}

// all returns the objects of one kind.
func all[T meta.Object](r *release) []T {
	var found []T
	for _, o := range r.objects {
		if t, ok := o.(T); ok {
			found = append(found, t)
		}
	}
	return found
}

// pod is a pod that a workload makes.
type pod struct {
	workload meta.Object
	selector *meta.LabelSelector // nil: a Job makes its own
	core.PodTemplateSpec
}

func (p pod) component() string { return p.Labels["app.kubernetes.io/component"] }

// ours reports whether the program runs in it, and not a bundled server.
func (p pod) ours() bool { return p.component() != "nats" && p.component() != "clickhouse" }

func pods(r *release) []pod {
	var found []pod
	for _, d := range all[*apps.Deployment](r) {
		found = append(found, pod{d, d.Spec.Selector, d.Spec.Template})
	}
	for _, s := range all[*apps.StatefulSet](r) {
		found = append(found, pod{s, s.Spec.Selector, s.Spec.Template})
	}
	for _, j := range all[*batch.Job](r) {
		found = append(found, pod{j, nil, j.Spec.Template})
	}
	return found
}

func read(tb testing.TB, elem ...string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{program.Root(tb)}, elem...)...))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}
