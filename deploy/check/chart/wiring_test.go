package chart

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func quantity(t *testing.T, text string) int64 {
	t.Helper()
	q, err := resource.ParseQuantity(text)
	if err != nil {
		t.Fatal(err)
	}
	return q.Value()
}

func seconds(t *testing.T, text string) int64 {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return int64(d.Seconds())
}

func variable(c core.Container, name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

func selects(t *testing.T, selector *meta.LabelSelector, of map[string]string) bool {
	t.Helper()
	s, err := meta.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(labels.Set(of))
}

// selected returns the components of the pods that a selector picks.
func selected(t *testing.T, r *release, selector *meta.LabelSelector) []string {
	t.Helper()
	var found []string
	for _, p := range pods(r) {
		if selects(t, selector, p.Labels) {
			found = append(found, p.component())
		}
	}
	return found
}

func port(p pod, want intstr.IntOrString) (int32, bool) {
	for _, c := range p.Spec.Containers {
		for _, has := range c.Ports {
			if want.Type == intstr.String && has.Name == want.StrVal || want.Type == intstr.Int && has.ContainerPort == want.IntVal {
				return has.ContainerPort, true
			}
		}
	}
	return 0, false
}

// Every selector picks the pods of one component, its own, and every port that
// something names is there.
func TestSelectors_PickTheirOwnPods(t *testing.T) {
	eachRelease(t, func(t *testing.T, r *release) {
		one := func(what meta.Object, selector *meta.LabelSelector) (pod, bool) {
			t.Helper()
			want := what.GetLabels()["app.kubernetes.io/component"]
			if got := selected(t, r, selector); !cmp.Equal(got, []string{want}) {
				t.Errorf("%T %s picks the pods of %v, want %s", what, what.GetName(), got, want)
				return pod{}, false
			}
			i := slices.IndexFunc(pods(r), func(p pod) bool { return p.component() == want })
			return pods(r)[i], true
		}
		for _, p := range pods(r) {
			if p.selector != nil {
				one(p.workload, p.selector)
			}
			for _, c := range p.Spec.TopologySpreadConstraints {
				one(p.workload, c.LabelSelector)
			}
		}
		for _, s := range all[*core.Service](r) {
			p, ok := one(s, &meta.LabelSelector{MatchLabels: s.Spec.Selector})
			for _, served := range s.Spec.Ports {
				if _, has := port(p, served.TargetPort); ok && !has {
					t.Errorf("service %s: pods of %s have no port %s", s.Name, p.component(), served.TargetPort.String())
				}
			}
		}
		for _, b := range all[*policy.PodDisruptionBudget](r) {
			one(b, b.Spec.Selector)
		}
		for _, n := range all[*networking.NetworkPolicy](r) {
			p, ok := one(n, &n.Spec.PodSelector)
			for _, rule := range n.Spec.Ingress {
				for _, in := range rule.Ports {
					if _, has := port(p, *in.Port); ok && !has {
						t.Errorf("policy %s: pods of %s have no port %s", n.Name, p.component(), in.Port)
					}
				}
			}
		}
		for _, s := range all[*apps.StatefulSet](r) {
			if !slices.ContainsFunc(all[*core.Service](r), func(o *core.Service) bool { return o.Name == s.Spec.ServiceName }) {
				t.Errorf("StatefulSet %s has no service %s", s.Name, s.Spec.ServiceName)
			}
		}
	})
}

func TestIngress_LeadsToServicesThatAreThere(t *testing.T) {
	f := func(file string, want map[string]string) {
		t.Helper()
		r, err := render(t, valueFiles(t)[file], true)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, in := range all[*networking.Ingress](r) {
			for _, rule := range in.Spec.Rules {
				for _, path := range rule.HTTP.Paths {
					to := path.Backend.Service
					got[rule.Host+path.Path] = to.Name
					if !slices.ContainsFunc(all[*core.Service](r), func(s *core.Service) bool {
						return s.Name == to.Name && slices.ContainsFunc(s.Spec.Ports, func(p core.ServicePort) bool { return p.Port == to.Port.Number })
					}) {
						t.Errorf("%s: no service %s with port %d", file, to.Name, to.Port.Number)
					}
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: where paths lead (-want +got):\n%s", file, diff)
		}
	}
	f("all-in-one", map[string]string{"changes.example.com/": "wc-whatchanged"})
	f("external", map[string]string{
		"changes.example.com/":              "wc-whatchanged-api",
		"changes.example.com/api/webhooks/": "wc-whatchanged-receiver",
	})
}

// Each process of the program is scraped once, by a port that asks for no key.
func TestServiceMonitor_FindsEveryProcessOnce(t *testing.T) {
	r, err := render(t, valueFiles(t)["external"], true)
	if err != nil {
		t.Fatal(err)
	}
	monitors := all[*monitoring.ServiceMonitor](r)
	if len(monitors) != 1 {
		t.Fatalf("%d ServiceMonitors, want 1", len(monitors))
	}
	times := map[string]int{}
	for _, s := range all[*core.Service](r) {
		if !selects(t, &monitors[0].Spec.Selector, s.Labels) {
			continue
		}
		times[s.Labels["app.kubernetes.io/component"]]++
		if s.Spec.Type != "" && s.Spec.Type != core.ServiceTypeClusterIP {
			t.Errorf("service %s, with metrics that ask for no key, is of type %s", s.Name, s.Spec.Type)
		}
		if job := s.Labels[monitors[0].Spec.JobLabel]; !strings.Contains(read(t, "deploy", "prometheus", "alerts.yml"), fmt.Sprintf("job=%q", job)) {
			t.Errorf("service %s is scraped as job %q, which no alert asks for", s.Name, job)
		}
		if s.Spec.Ports[0].Name != monitors[0].Spec.Endpoints[0].Port || s.Spec.Ports[0].TargetPort.StrVal != "admin" {
			t.Errorf("service %s: port %v is not the one that is scraped", s.Name, s.Spec.Ports[0])
		}
	}
	if diff := cmp.Diff(map[string]int{"receiver": 1, "normalizer": 1, "writer": 1, "api": 1}, times); diff != "" {
		t.Errorf("how often each service is scraped (-want +got):\n%s", diff)
	}
}

// may reports what the network policies let through, for pods of one namespace
// and peers that are given by labels.
func may(t *testing.T, r *release, from, to pod, at int32) bool {
	t.Helper()
	out, in := true, true
	for _, n := range all[*networking.NetworkPolicy](r) {
		if selects(t, &n.Spec.PodSelector, from.Labels) && slices.Contains(n.Spec.PolicyTypes, networking.PolicyTypeEgress) {
			out = slices.ContainsFunc(n.Spec.Egress, func(e networking.NetworkPolicyEgressRule) bool {
				return passes(t, e.Ports, e.To, to, to, at)
			})
		}
		if selects(t, &n.Spec.PodSelector, to.Labels) && slices.Contains(n.Spec.PolicyTypes, networking.PolicyTypeIngress) {
			in = slices.ContainsFunc(n.Spec.Ingress, func(e networking.NetworkPolicyIngressRule) bool {
				return passes(t, e.Ports, e.From, to, from, at)
			})
		}
	}
	return out && in
}

func passes(t *testing.T, ports []networking.NetworkPolicyPort, peers []networking.NetworkPolicyPeer, served, other pod, at int32) bool {
	byPort := len(ports) == 0 || slices.ContainsFunc(ports, func(p networking.NetworkPolicyPort) bool {
		number := p.Port.IntVal
		if p.Port.Type == intstr.String {
			number, _ = port(served, *p.Port)
		}
		return number == at
	})
	return byPort && (len(peers) == 0 || slices.ContainsFunc(peers, func(p networking.NetworkPolicyPeer) bool {
		return p.PodSelector != nil && p.NamespaceSelector == nil && selects(t, p.PodSelector, other.Labels)
	}))
}

// Who reaches whom: what the program needs, and no more.
func TestNetworkPolicies_LetThroughWhatIsNeeded(t *testing.T) {
	r, err := render(t, valueFiles(t)["bundled"], true)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]pod{"stranger": {}}
	for _, p := range pods(r) {
		by[p.component()] = p
	}
	var got []string
	for _, from := range []string{"receiver", "normalizer", "writer", "api", "migrate", "nats", "clickhouse", "stranger"} {
		for _, to := range []string{"receiver", "writer", "api", "nats", "clickhouse"} {
			for _, c := range by[to].Spec.Containers[0].Ports {
				if may(t, r, by[from], by[to], c.ContainerPort) {
					got = append(got, fmt.Sprintf("%s > %s %s", from, to, c.Name))
				}
			}
		}
	}
	want := strings.Split(strings.TrimSpace(`
receiver > nats client
normalizer > nats client
normalizer > clickhouse native
writer > nats client
writer > clickhouse native
api > nats client
api > clickhouse native
migrate > receiver http
migrate > api http
migrate > nats client
migrate > clickhouse native
migrate > clickhouse http
nats > nats cluster
stranger > receiver http
stranger > api http
`), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who reaches whom (-want +got):\n%s", diff)
	}
	for _, p := range pods(r) {
		covered := slices.ContainsFunc(all[*networking.NetworkPolicy](r), func(n *networking.NetworkPolicy) bool {
			return selects(t, &n.Spec.PodSelector, p.Labels)
		})
		if !covered && p.component() != "migrate" { // it runs before policies are made
			t.Errorf("no policy covers %s", p.component())
		}
	}
}
