package bus_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

// as connects as a user, the way its service does.
func as(t *testing.T, cfg bus.Config, user string) *bus.Bus {
	t.Helper()
	b, err := bus.Connect(t.Context(), cfg, bustest.Log(t), prometheus.NewRegistry(), bus.As(user))
	if err != nil {
		t.Fatalf("connect as %s: %v", user, err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close the bus of %s: %v", user, err)
		}
	})
	return b
}

// Three servers as deploy/nats sets them up, and each service with its own user.
// Any one is killed while deliveries come, the leader too: publishing goes on,
// nothing that was acknowledged is lost, and nobody asks for what it may not do.
func TestCluster_OutlivesEachOfItsServersUnderLoad(t *testing.T) {
	cluster := bustest.SecureCluster(t)
	admin := as(t, cluster.Config(bus.UserAdmin), bus.UserAdmin)
	receiver := as(t, cluster.Config(bus.UserReceiver), bus.UserReceiver)
	normalizer := as(t, cluster.Config(bus.UserNormalizer), bus.UserNormalizer)
	writer := as(t, cluster.Config(bus.UserWriter), bus.UserWriter)
	all := []*bus.Bus{admin, receiver, normalizer, writer}

	var normalized, raw seen
	background(t, func(ctx context.Context) error {
		return bustest.Consume(ctx, normalizer, bus.NormalizerFresh, change.Fresh, func(_ context.Context, f *bus.DeliveryFrame) error {
			for _, d := range f.Deliveries {
				normalized.add(d.ID.String())
			}
			return nil
		})
	})
	background(t, func(ctx context.Context) error {
		limit := bus.BatchLimit{Bytes: 1 << 20, Records: 1000, Wait: 50 * time.Millisecond}
		return writer.ConsumeDeliveryBatches(ctx, bus.RawWriter, "", limit, func(_ context.Context, batch []*bus.DeliveryFrame) error {
			for _, f := range batch {
				for _, d := range f.Deliveries {
					raw.add(d.ID.String())
				}
			}
			return nil
		})
	})

	c := run(t, receiver, change.Fresh)
	var load sync.WaitGroup
	var next, accepted atomic.Int64
	var mu sync.Mutex
	var acked []change.DeliveryID
	loading, stop := context.WithCancel(t.Context())
	defer stop()
	for range 4 {
		load.Go(func() {
			for loading.Err() == nil {
				d := delivery(int(next.Add(1)), "{}")
				if _, err := c.Commit(t.Context(), d); err != nil {
					time.Sleep(20 * time.Millisecond) // as a sender does
					continue
				}
				accepted.Add(1)
				mu.Lock()
				acked = append(acked, d.ID)
				mu.Unlock()
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	goesOn := func(what string) {
		t.Helper()
		from := accepted.Load()
		eventually(t, what, func() bool { return accepted.Load() > from+50 })
	}
	goesOn("a whole cluster takes deliveries")
	killed := map[*bustest.Process]bool{}
	for range cluster.Servers {
		leader := whole(t, admin)
		p, ok := cluster.Find(leader)
		for _, other := range cluster.Servers { // the leader first, as long as it was spared
			if !ok || killed[p] {
				p, ok = other, true
			}
		}
		killed[p] = true
		p.Kill()
		goesOn("the two that are left take deliveries")
		p.Start()
	}
	whole(t, admin)
	goesOn("a cluster that is whole again takes deliveries")
	stop()
	load.Wait()

	// What a consumer had in hand on a connection that broke comes again half a
	// minute later: the newest shows that it goes on.
	last := acked[len(acked)-1].String()
	eventually(t, "consumers have read what came last", func() bool { return normalized.count(last) > 0 && raw.count(last) > 0 })
	stored := map[change.DeliveryID]int{}
	eventually(t, "the stream can be read to its end", func() bool {
		clear(stored)
		return writer.Frames(t.Context(), 1, func(_ uint64, f *bus.DeliveryFrame) error {
			for i := range f.Deliveries {
				stored[f.Deliveries[i].ID]++
			}
			return nil
		}) == nil
	})
	for _, id := range acked {
		if stored[id] != 1 {
			t.Errorf("%s was acknowledged and is stored %d times", id, stored[id])
		}
	}
	auditor := writer.NewAuditor()
	eventually(t, "the chains are audited to their ends", func() bool { return auditor.Audit(t.Context()) == nil })
	if n := writer.Alarms(); n > 0 {
		t.Errorf("%d alarms", n)
	}
	for _, b := range all {
		if n := b.Denied(); n > 0 {
			t.Errorf("%s was refused %d times", b.User(), n)
		}
	}
	t.Logf("%d acknowledged, %d stored", len(acked), len(stored))

	// What an operator sees of it, from whole to broken.
	inspect := func() bus.Inspection {
		in, err := bus.Inspect(t.Context(), cluster.Config(bus.UserAdmin), bustest.Log(t), bus.As(bus.UserAdmin))
		if err != nil {
			t.Fatalf("inspect the servers: %v", err)
		}
		return in
	}
	if in := inspect(); len(in.Servers) != 3 || in.Servers[2].SyncAlways == nil || !*in.Servers[2].SyncAlways || len(in.Absent)+len(in.Silent) > 0 {
		t.Errorf("a whole cluster is seen as %+v", in)
	}
	cluster.Servers[2].Kill()
	var in bus.Inspection
	defer func() {
		if t.Failed() {
			t.Logf("seen last: %+v", in)
		}
	}()
	eventually(t, "the server that is away is seen to be missing", func() bool {
		in = inspect()
		return len(in.Streams) > 0 && !slices.ContainsFunc(in.Streams, func(s bus.StreamStatus) bool { return !slices.Equal(s.Missing, []string{"nats-2"}) })
	})
}

// whole waits until every stream has its three copies, and returns who leads
// the deliveries.
func whole(t *testing.T, b *bus.Bus) (leader string) {
	t.Helper()
	eventually(t, "every stream has a leader and three copies", func() bool {
		st, err := b.Status(t.Context())
		if err != nil {
			return false
		}
		for _, s := range st.Streams {
			if s.Replicas != 3 || s.Leader == "" || len(s.Missing)+len(s.Lagging) > 0 {
				return false
			}
			if s.Name == bus.Deliveries {
				leader = s.Leader
			}
		}
		return true
	})
	return leader
}

// Each user is refused what its service has no business with. What is tried here
// is what a thief of its password would try.
func TestCluster_RefusesWhatAUserHasNoBusinessWith(t *testing.T) {
	server := bustest.SecureServer(t)
	config := func(user string) bus.Config {
		return bus.Config{URL: server.URL, Name: "test", MaxBytes: 100 << 20, User: user, Password: auth.Secret(bustest.Password(user))}
	}
	users := map[string]*bus.Bus{}
	for _, user := range append([]string{bus.UserAdmin}, bus.Users()...) { // who makes the streams first
		users[user] = as(t, config(user), user)
	}
	withCommitter(t, users[bus.UserReceiver], func(c *bus.Committer) { commit(t, c, delivery(1, "{}")) })
	api := func(request string) string { return "$JS.API." + request }
	for _, tt := range []struct {
		user    string
		refused []string
	}{
		{bus.UserReceiver, []string{
			"changes.fresh", "audit.events", "dead.frame._.x", "fetch.fresh", // others' subjects
			api("CONSUMER.CREATE.DELIVERIES.spy"), api("DIRECT.GET.DELIVERIES"), api("DIRECT.GET.DELIVERIES.deliveries.fresh"),
			api("STREAM.MSG.GET.DELIVERIES"), api("CONSUMER.MSG.NEXT.DELIVERIES.normalizer-fresh"), // reading what came in
			api("STREAM.DELETE.DELIVERIES"), api("STREAM.PURGE.DELIVERIES"), api("STREAM.UPDATE.DELIVERIES"),
			api("STREAM.MSG.DELETE.DELIVERIES"), api("STREAM.CREATE.SPY"), api("STREAM.LIST"), api("STREAM.SNAPSHOT.DELIVERIES"),
			"$KV.REGISTRY.key.default.key_mine", "$KV.STATE.reconciler.DELIVERIES", api("CONSUMER.CREATE.KV_STATE.spy"),
			"$SYS.REQ.SERVER.PING.JSZ", "$SYS.REQ.SERVER.PING.CONNZ",
		}},
		{bus.UserNormalizer, []string{
			api("STREAM.PURGE.DELIVERIES"), api("STREAM.PURGE.CHANGES"), api("STREAM.DELETE.CHANGES"), api("STREAM.MSG.DELETE.DELIVERIES"),
			api("CONSUMER.DELETE.DELIVERIES.normalizer-fresh"), api("CONSUMER.MSG.NEXT.DELIVERIES.raw-writer"),
			api("CONSUMER.CREATE.DELIVERIES.raw-writer"), "audit.events", "$KV.REGISTRY.key.default.key_mine", "$JS.ACK.CHANGES.writer.1.1.1.1.0",
		}},
		{bus.UserWriter, []string{
			"deliveries.fresh", "audit.events", api("STREAM.DELETE.DELIVERIES"), api("STREAM.PURGE.DEAD"), api("STREAM.PURGE.KV_REGISTRY"),
			api("CONSUMER.CREATE.DELIVERIES.normalizer-fresh.deliveries.fresh"), "$KV.REGISTRY.source.default.src_mine",
		}},
		{bus.UserAPI, []string{
			api("STREAM.PURGE.DELIVERIES"), api("STREAM.DELETE.AUDIT"), api("STREAM.PURGE.AUDIT"), api("CONSUMER.CREATE.AUDIT.spy"),
			api("CONSUMER.DELETE.CHANGES.writer"), api("STREAM.UPDATE.KV_REGISTRY"), "$KV.STATE.reconciler.CHANGES",
		}},
		{bus.UserBackup, []string{
			"deliveries.fresh", "changes.fresh", "dead.frame._.x", api("STREAM.PURGE.DELIVERIES"), api("STREAM.UPDATE.KV_REGISTRY"), api("STREAM.DELETE.KV_REGISTRY"),
			api("CONSUMER.CREATE.DELIVERIES.spy"), api("CONSUMER.CREATE.AUDIT.spy"), api("DIRECT.GET.DELIVERIES"), api("CONSUMER.DELETE.CHANGES.writer"),
			"$KV.STATE.lease.keeper",
		}},
		{bus.UserAdmin, []string{
			"deliveries.fresh", "changes.fresh", api("STREAM.DELETE.DELIVERIES"), api("STREAM.PURGE.DELIVERIES"),
			api("CONSUMER.CREATE.DELIVERIES.spy"), api("DIRECT.GET.DELIVERIES"), "$KV.REGISTRY.key.default.key_mine",
		}},
	} {
		t.Run(tt.user, func(t *testing.T) {
			b := users[tt.user]
			for _, subject := range tt.refused {
				if b.May(subject) {
					t.Errorf("the servers say that it may publish on %s", subject)
				}
				before := b.Denied()
				if err := b.Conn().PublishRequest(subject, b.Conn().NewInbox(), []byte("{}")); err != nil {
					t.Fatal(err)
				}
				if err := b.Conn().Flush(); err != nil {
					t.Fatal(err)
				}
				eventually(t, "publishing on "+subject+" is refused", func() bool { return b.Denied() > before })
			}
			// Nobody listens to others' answers, or to what goes by.
			for _, subject := range []string{"deliveries.>", "_INBOX.>", "_INBOX_other.>", "$KV.REGISTRY.>", ">"} {
				before := b.Denied()
				if _, err := b.Conn().SubscribeSync(subject); err != nil {
					t.Fatal(err)
				}
				eventually(t, "listening to "+subject+" is refused", func() bool { return b.Denied() > before })
			}
		})
	}
	t.Run("nobody", func(t *testing.T) {
		if _, err := nats.Connect(server.URL); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("error %v, want one for want of a user", err)
		}
	})
}

// With certificates asked of clients too, and streams where their servers have
// the tag that was asked for. The error of who is refused says what is wrong and
// what to do, and no secret.
func TestConnect_SaysWhyItIsRefused(t *testing.T) {
	cluster := bustest.SecureCluster(t, "verify: false", "verify: true")
	good := cluster.Config(bus.UserAdmin)
	good.CertFile, good.KeyFile = filepath.Join(cluster.Dir, "tls.crt"), filepath.Join(cluster.Dir, "tls.key")
	good.Replicas, good.PlacementTags = 1, []string{"zone:b"}
	st, err := as(t, good, bus.UserAdmin).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(st.Streams, st.Buckets...) {
		if s.Leader != "nats-1" || s.Replicas != 1 {
			t.Errorf("stream %s is on %s with %d replicas, want it on the server in zone b alone", s.Name, s.Leader, s.Replicas)
		}
	}
	for name, tt := range map[string]struct {
		change func(*bus.Config)
		want   string
	}{
		"another authority": {func(c *bus.Config) { c.CAFile = filepath.Join(cluster.Dir, "other.crt") }, "bus.ca_file"},
		"another name":      {func(c *bus.Config) { c.ServerName = "elsewhere.example.com" }, "bus.server_name"},
		"no certificate":    {func(c *bus.Config) { c.CertFile, c.KeyFile = "", "" }, "bus.cert_file"},
		"another password":  {func(c *bus.Config) { c.Password = "wrong-s3cret" }, "bus.user"},
		"no user":           {func(c *bus.Config) { c.User, c.Password = "", "" }, "bus.user"},
		"another's rights":  {func(c *bus.Config) { c.User, c.Password = "api", auth.Secret(bustest.Password("api")) }, "whatchanged nats permissions"},
		"no encryption":     {func(c *bus.Config) { c.URL, c.CAFile = strings.ReplaceAll(c.URL, "tls://", "nats://"), "" }, "bus.ca_file"},
		"a file missing":    {func(c *bus.Config) { c.Password, c.PasswordFile = "", "nowhere/at/all" }, "nowhere/at/all"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			tt.change(&cfg)
			b, err := bus.Connect(t.Context(), cfg, bustest.Log(t), prometheus.NewRegistry(), bus.As(bus.UserAdmin))
			if err == nil {
				b.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error %v, want one with %q and without a secret", err, tt.want)
			}
		})
	}
	// A name that is not the URL's is checked against what was said.
	named := good
	named.ServerName = cluster.Name
	as(t, named, bus.UserAdmin)
}

// Services that may not make streams wait for who makes them, and say whom they
// wait for; they leave alone what is there.
func TestConnect_WaitsForWhoMakesTheStreams(t *testing.T) {
	server := bustest.SecureServer(t)
	config := func(user string) bus.Config {
		return bus.Config{URL: server.URL, Name: "test", MaxBytes: 100 << 20, User: user, Password: auth.Secret(bustest.Password(user))}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := bus.Connect(ctx, config(bus.UserReceiver), bustest.Log(t), prometheus.NewRegistry(), bus.As(bus.UserReceiver))
	if err == nil || !strings.Contains(err.Error(), "whatchanged migrate") {
		t.Errorf("error %v, want one that names who makes the streams", err)
	}
	// Nor does anybody who may ask work with servers that could lose what they acknowledged.
	lax := config(bus.UserAdmin)
	lax.URL = bustest.SecureServer(t, "sync_interval: always", "sync_interval: 2m").URL
	_, err = bus.Connect(t.Context(), lax, bustest.Log(t), prometheus.NewRegistry(), bus.As(bus.UserAdmin))
	if err == nil || !strings.Contains(err.Error(), "sync_interval: always") {
		t.Errorf("error %v, want one that names the setting", err)
	}
	as(t, config(bus.UserAdmin), bus.UserAdmin)
	larger := config(bus.UserReceiver)
	larger.MaxBytes *= 2
	as(t, larger, bus.UserReceiver)
	st, err := as(t, config(bus.UserAPI), bus.UserAPI).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Streams[0].MaxBytes != 100<<20 {
		t.Errorf("DELIVERIES may hold %d bytes, though only the admin may say so", st.Streams[0].MaxBytes)
	}
	if st.SyncAlways == nil || !*st.SyncAlways || len(st.Servers) != 1 || st.Servers[0].Version == "" {
		t.Errorf("the servers say of themselves: %+v, sync always %v", st.Servers, st.SyncAlways)
	}
}

// A certificate that clients and servers show to each other lets nobody join as
// a server, who would be past all users.
func TestCluster_TakesNoClientsCertificateForARoute(t *testing.T) {
	cluster := bustest.SecureCluster(t)
	dial := func(name string) error {
		cert, err := tls.LoadX509KeyPair(filepath.Join(cluster.Dir, name+".crt"), filepath.Join(cluster.Dir, name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", cluster.Routes[0],
			&tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true}) //nolint:gosec // what the server thinks of us is asked here
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		_, err = conn.Read(make([]byte, 1)) // who is refused learns it here with TLS 1.3; who is not gets the server's INFO
		return err
	}
	if err := dial("route"); err != nil {
		t.Errorf("joining as a server does: %v", err)
	}
	if err := dial("tls"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("joining with a client's certificate: %v, want one that it is refused for", err)
	}
}
