package e2e_test

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// spanSink is a receiver of OTLP over HTTP that keeps what it is sent.
type spanSink struct {
	url string

	mu    sync.Mutex
	spans []*tracepb.Span
	text  strings.Builder // all that was sent
}

func newSpanSink(t *testing.T) *spanSink {
	t.Helper()
	sink := &spanSink{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s with %s", r.URL.Path, r.Header.Get("Content-Type"))
		}
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			unpacked, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = unpacked
		}
		data, err := io.ReadAll(body)
		var sent collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(data, &sent)
		}
		if err != nil {
			t.Error(err)
			return
		}
		sink.mu.Lock()
		defer sink.mu.Unlock()
		sink.text.WriteString(prototext.Format(&sent))
		fmt.Fprint(&sink.text, r.Header)
		for _, resource := range sent.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				sink.spans = append(sink.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(server.Close)
	sink.url = server.URL
	return sink
}

// of returns the spans of a trace as "name < parent's name", sorted.
func (s *spanSink) of(trace string) (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := map[string]string{}
	for _, span := range s.spans {
		names[hex.EncodeToString(span.SpanId)] = span.Name
	}
	for _, span := range s.spans {
		if hex.EncodeToString(span.TraceId) == trace {
			parent := names[hex.EncodeToString(span.ParentSpanId)]
			if parent == "" {
				parent = hex.EncodeToString(span.ParentSpanId)
			}
			all = append(all, span.Name+" < "+parent)
		}
	}
	slices.Sort(all)
	return all
}

func (s *spanSink) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// One webhook is one trace, from the request to the rows, in the trace that its
// sender named. What strangers ask for with a header is not recorded, and no
// secret is in any span.
func TestTraces_FollowADeliveryFromTheRequestToItsRows(t *testing.T) {
	sink := newSpanSink(t)
	secrets := canaries{}
	e := startEdge(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+sink.url, "OTEL_BSP_SCHEDULE_DELAY=100",
		"WHATCHANGED_BOOTSTRAP_API_KEY=wc_live_"+secrets.sing("the API key"), "WHATCHANGED_BOOTSTRAP_TOKEN=wct_"+secrets.sing("the token"),
		"OTEL_EXPORTER_OTLP_HEADERS=x-our-collector=yes")

	const trace, sender = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	named := "Traceparent: 00-" + trace + "-" + sender + "-01"
	body := `{"title":"` + secrets.sing("the body") + `","author":"me","environment":"production"}`
	if got := e.call("POST", e.hook+"?secret="+secrets.sing("the query"), body, named,
		"X-Gitlab-Token: "+secrets.sing("a header"), "Cookie: "+secrets.sing("a cookie")); got.status != http.StatusOK {
		t.Fatal(got)
	}
	want := []string{
		"commit delivery < receive delivery",
		"handle batch < handle batch", // the writer's, after the normalizer's
		"handle batch < publish frame",
		"handle batch < publish frame", // the raw writer's
		"insert delivery < normalize delivery",
		"normalize delivery < receive delivery",
		"publish frame < commit delivery",
		"receive delivery < " + sender,
		"store payload < receive delivery",
	}
	e.until("the spans of the webhook", func() error {
		if diff := cmp.Diff(want, sink.of(trace)); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})

	// The API's own requests, with a good key and with a bad one.
	const second, bad = "4bf92f3577b34da6a3ce929d0e0e4737", "4bf92f3577b34da6a3ce929d0e0e4738"
	if got := e.call("POST", "/api/v1/changes", `{"summary":"`+secrets.sing("a summary")+`"}`, "Content-Type: application/json",
		"Traceparent: 00-"+second+"-"+sender+"-01"); got.status != http.StatusCreated {
		t.Fatal(got)
	}
	e.call("GET", "/api/v1/changes", "", "Authorization: Bearer wc_live_"+secrets.sing("a wrong key"), "Traceparent: 00-"+bad+"-"+sender+"-01")
	e.call("POST", strings.TrimSuffix(e.hook, e.hook[len(e.hook)-8:])+"aaaaaaaa", "{}", "Traceparent: 00-"+bad+"-"+sender+"-01")
	want[7] = "log-change < " + sender
	for i, line := range want {
		want[i] = strings.Replace(line, "< receive delivery", "< log-change", 1)
	}
	slices.Sort(want)
	e.until("the spans of the API's change", func() error {
		if diff := cmp.Diff(want, sink.of(second)); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
	e.stop()
	if spans := sink.of(bad); spans != nil {
		t.Errorf("a stranger had recorded: %q", spans)
	}
	said := sink.said()
	for _, word := range []string{"whatchanged.delivery_id", "service.name", "X-Our-Collector", "/api/webhooks/incoming/changes/{token}"} {
		if !strings.Contains(said, word) {
			t.Errorf("%q is not in what was sent", word)
		}
	}
	for _, secret := range secrets.in(said) {
		t.Errorf("%s: in a span", secret)
	}
}

// A collector that is away costs nothing but the spans.
func TestTraces_ACollectorThatIsAwayHoldsNothingUp(t *testing.T) {
	e := startEdge(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=50", "OTEL_EXPORTER_OTLP_TIMEOUT=200")
	start := time.Now()
	for range 20 {
		if got := e.call("POST", e.hook, `{"title":"x"}`); got.status != http.StatusOK {
			t.Fatal(got)
		}
	}
	e.until("the failure to be counted", func() error {
		if n := e.series()["whatchanged_tracing_export_failures_total"]; n == "0" {
			return fmt.Errorf("%s failures after %s", n, time.Since(start))
		}
		return nil
	})
	e.unharmed()
}
