package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/client"
	"whatchanged/pkg/dead"
	"whatchanged/pkg/health"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
	"whatchanged/services/api"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p.Value.String() == p.DefValue {
		p.Value.Set("8") // these tests wait for the disk more than they compute
	}
	os.Exit(chdbtest.Main(m))
}

// The keys that every system has, by what they may do.
const (
	orgName  = "acme"
	adminKey = "ak_live_xxxxx_of_the_admin"
	// readTimeout is short, so that what waits for longer shows that it may.
	readTimeout = time.Second
)

// system is the API with all that is real behind it: bus, registry, store, and
// a pipeline between them.
type system struct {
	*httptest.Server
	t         *testing.T
	bus       *bus.Bus
	store     *store.Store
	registry  *registry.Registry
	committer *bus.Committer
	audit     *audit.Recorder
	api       *api.API
	deps      api.Deps
	cfg       api.Config
	metrics   *prometheus.Registry
	admin     *client.Client
}

// start starts a system with one org and its admin key. edit may change what
// the API gets.
func start(t *testing.T, edit ...func(*api.Deps, *api.Config)) *system {
	t.Helper()
	log := bustest.Log(t)
	s := &system{t: t, bus: bustest.New(t), store: storetest.New(t), metrics: prometheus.NewRegistry()}
	s.committer = s.bus.NewCommitter(change.Fresh)
	s.audit = audit.NewRecorder(s.bus, audit.DefaultLimits(), log, s.metrics)
	var err error
	if s.registry, err = registry.Open(t.Context(), s.bus.KV(bus.BucketRegistry), log, s.metrics, registry.WithAudit(s.audit)); err != nil {
		t.Fatal(err)
	}
	sealer, err := auth.OpenSealer(filepath.Join(t.TempDir(), "master.key"), "", false)
	if err != nil {
		t.Fatal(err)
	}
	desk, err := dead.New(dead.Deps{
		Bus: s.bus, Store: s.store, Normalize: s.again, Log: log, Metrics: s.metrics,
		Provider: func(org, id string) string {
			source, ok := s.registry.Source(org, id)
			if !ok {
				return ""
			}
			return source.Provider
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	well := health.New(log, s.metrics)
	well.Add("bus", func(context.Context) error { return s.bus.Healthy() })
	well.Add("registry", func(context.Context) error { return s.registry.Fresh() })
	well.Add("store", s.store.Ping)
	well.Up()
	deps := api.Deps{
		Dead: desk, Store: s.store, Registry: s.registry, Bus: s.bus, Committer: s.committer, Normalizers: all.Set(),
		Sealer: sealer, Audit: s.audit, Health: well, Gatherer: s.metrics, Metrics: s.metrics, Log: log,
	}
	cfg := api.DefaultConfig()
	cfg.PublicURL = "https://changes.example.com"
	cfg.KeyRate, cfg.FailureRate = 0, 0 // tests ask faster than people; see TestLimits
	for _, f := range edit {
		f(&deps, &cfg)
	}
	s.deps, s.cfg = deps, cfg
	if s.api, err = api.New(deps, cfg); err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewUnstartedServer(s.api.Handler())
	s.Server.Config.ReadTimeout = readTimeout
	s.Server.Start()
	s.run(s.committer.Run, s.audit.Run, s.registry.Run, s.api.Run, s.pipeline, s.auditTrail)
	t.Cleanup(s.CloseClientConnections)
	s.org(orgName)
	s.key(orgName, registry.Key{Scopes: []string{auth.Admin}, Role: auth.SiteAdmin}, adminKey)
	s.admin = s.client(adminKey)
	return s
}

// run runs the parts until the test ends.
func (s *system) run(parts ...func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Go(func() {
			if err := part(ctx); err != nil && !errors.Is(err, context.Canceled) {
				s.t.Errorf("a part of the system: %v", err)
			}
		})
	}
	s.t.Cleanup(func() {
		cancel()
		wg.Wait()
		s.Server.Close()
	})
}

// pipeline does what the normalizer and the writer do, less their care.
func (s *system) pipeline(ctx context.Context) error {
	return s.bus.ConsumeDeliveries(ctx, "normalizer-fresh", change.Fresh, 1, func(ctx context.Context, f *bus.DeliveryFrame) error {
		batch := store.Batch{Chain: f.Chain, Frame: f.Number, Lane: f.Lane}
		for i := range f.Deliveries {
			batch.Results = append(batch.Results, s.normalize(ctx, f, i))
		}
		err := s.store.InsertPayloads(ctx, []store.PayloadBatch{{Chain: f.Chain, Frame: f.Number, Lane: f.Lane, Deliveries: f.Deliveries}})
		if err != nil {
			return err
		}
		if err := s.store.InsertChanges(ctx, []store.Batch{batch}); err != nil {
			return err
		}
		if err := s.store.InsertIncidents(ctx, []store.Batch{batch}); err != nil {
			return err
		}
		if err := s.store.InsertDeliveries(ctx, []store.Batch{batch}); err != nil {
			return err
		}
		return s.bus.PublishChanges(ctx, &bus.ChangeFrame{Chain: f.Chain, Number: f.Number, Lane: f.Lane, Results: batch.Results})
	})
}

func (s *system) normalize(ctx context.Context, f *bus.DeliveryFrame, place int) change.Result {
	d := &f.Deliveries[place]
	first := d.ReceivedAt.Time
	id := store.Identity{Org: d.Org, SourceID: d.SourceID, Identity: d.Identity}
	known := map[store.Identity]store.Known{}
	if d.Identity != "" {
		var err error
		if known, err = s.store.KnownIdentities(ctx, []store.Identity{id}); err != nil && ctx.Err() == nil {
			s.t.Error(err)
		}
	}
	k, seen := known[id]
	if seen {
		first = k.FirstReceived.Time
	}
	settings := normalizers.Settings{FindService: func(c *change.Change) (change.Service, bool) { return s.registry.FindService(d.Org, c) }}
	r := all.Set().Process(d, settings, first, time.Now())
	r.Place = place
	if seen && r.Outcome == change.Stored {
		r.Outcome, r.Changes, r.Incidents = change.Duplicate, nil, nil
	}
	return r
}

// again is what the normalizer does with deliveries that are re-driven.
func (s *system) again(ctx context.Context, jobs []dead.Job) ([]change.Result, error) {
	var results []change.Result
	for i := range jobs {
		results = append(results, s.normalize(ctx, &bus.DeliveryFrame{Deliveries: []change.Delivery{jobs[i].Delivery}}, 0))
	}
	return results, nil
}

// writer stores what is published again.
func (s *system) writer(ctx context.Context) error {
	limit := bus.BatchLimit{Records: 1000, Bytes: 1 << 20, Wait: 10 * time.Millisecond}
	return s.bus.ConsumeChangeBatches(ctx, bus.Writer, limit, func(ctx context.Context, frames []*bus.ChangeFrame) error {
		var batches []store.Batch
		for _, f := range frames {
			batches = append(batches, store.Batch{Chain: f.Chain, Frame: f.Number, Run: f.Run, Lane: f.Lane, Results: f.Results})
		}
		if err := s.store.InsertChanges(ctx, batches); err != nil {
			return err
		}
		return s.store.InsertDeliveries(ctx, batches)
	})
}

func (s *system) org(id string) {
	s.t.Helper()
	if _, err := s.registry.CreateOrg(s.t.Context(), registry.Org{ID: id, Name: id}); err != nil {
		s.t.Fatal(err)
	}
}

// key makes a key with a secret of our choice.
func (s *system) key(org string, k registry.Key, secret string) registry.Key {
	s.t.Helper()
	k.Org = org
	if k.Name == "" {
		k.Name = "test"
	}
	made, err := s.registry.ImportKey(s.t.Context(), k, secret)
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

func (s *system) client(key string) *client.Client {
	s.t.Helper()
	c, err := client.New(s.URL, key, client.WithTries(1))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// answer is what the server said.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// data reads the answer's JSON.
func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
		t.Fatalf("%d %s: %v", a.Status, a.Body, err)
	}
	return v
}

// call sends a request as it is, with headers as name-value pairs; "{key}"
// among them gives the admin's key.
func (s *system) call(method, path, body string, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	return s.send(r)
}

func (s *system) send(r *http.Request) answer {
	s.t.Helper()
	res, err := s.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// eventually calls f until it returns nil, and fails with its last error.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("not within 15s: %v", err)
}

// deliver puts a webhook's delivery on the bus, as the receiver does.
func (s *system) deliver(org, sourceID, body string, header http.Header) change.DeliveryID {
	s.t.Helper()
	now := time.Now()
	d := &change.Delivery{
		ID: change.NewDeliveryID(now), Org: org, SourceID: sourceID, ReceivedAt: change.At(now),
		Header: header, Body: []byte(body), Identity: normalizers.Identity(header),
	}
	if _, err := s.committer.Commit(s.t.Context(), d); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, func() error {
		_, err := s.store.Delivery(s.t.Context(), org, d.ID)
		return err
	})
	return d.ID
}

// log logs a change and waits until it can be queried.
func (s *system) log(c *client.Client, in client.NewChange) client.Logged {
	s.t.Helper()
	logged, err := c.LogChange(s.t.Context(), in, client.WriteOptions{Wait: 10 * time.Second})
	if err != nil {
		s.t.Fatal(err)
	}
	if !logged.Visible {
		s.t.Fatal(fmt.Errorf("change %s cannot be queried after 10s", logged.ID))
	}
	return logged
}

// logAll logs changes and waits until all can be queried.
func (s *system) logAll(changes ...client.NewChange) {
	s.t.Helper()
	for _, in := range changes {
		if _, err := s.admin.LogChange(s.t.Context(), in, client.WriteOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
	eventually(s.t, func() error {
		page, err := s.admin.Changes(s.t.Context(), client.ChangeFilter{Limit: 1})
		return errors.Join(err, differ(int64(len(changes)), page.Meta.Total))
	})
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// problemOf returns the refusal inside err, or an empty one.
func problemOf(err error) *client.Problem {
	if p, ok := errors.AsType[*client.Problem](err); ok {
		return p
	}
	return &client.Problem{}
}

// another returns a second API process on the same bus, registry and store.
func (s *system) another() *system {
	s.t.Helper()
	deps := s.deps
	deps.Metrics = prometheus.NewRegistry()
	second, err := api.New(deps, s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	copied := *s
	copied.api = second
	copied.Server = httptest.NewServer(second.Handler())
	s.t.Cleanup(copied.Server.Close)
	return &copied
}

// differ returns an error that shows how got is not what was wanted.
func differ(want, got any) error {
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("(-want +got):\n%s", diff)
	}
	return nil
}
