package backup_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/app"
	"whatchanged/pkg/audit"
	"whatchanged/pkg/backup"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/s3test"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

// installation is a store and a bus with something in them.
type installation struct {
	*testing.T
	store *store.Store
	bus   *bus.Bus
	kv    jetstream.KeyValue
	audit *audit.Recorder
}

func install(t *testing.T) *installation {
	t.Helper()
	b := bustest.New(t)
	trail := audit.NewRecorder(b, audit.DefaultLimits(), bustest.Log(t), prometheus.NewRegistry())
	parts := app.NewGroup(bustest.Log(t))
	parts.Start("audit", trail.Run)
	t.Cleanup(func() {
		if err := parts.Stop(time.Minute); err != nil {
			t.Error(err)
		}
	})
	return &installation{t, storetest.New(t), b, b.KV(bus.BucketRegistry), trail}
}

// audited returns the first things that the audit trail says were done.
func (i *installation) audited(first int) (done []string) {
	i.Helper()
	ctx, enough := context.WithCancel(i.Context())
	defer enough()
	lim := bus.BatchLimit{Records: first, Wait: time.Millisecond}
	_ = i.bus.ConsumeAuditBatches(ctx, bus.AuditWriter, lim, func(_ context.Context, frames []*bus.AuditFrame) error {
		for _, f := range frames {
			for _, r := range f.Records {
				var e audit.Event
				if err := json.Unmarshal(r, &e); err != nil {
					i.Error(err)
				}
				done = append(done, e.Operation+" "+e.Object.Kind+" "+e.Object.Name)
			}
		}
		if len(done) >= first {
			enough()
		}
		return nil
	})
	return done
}

func (i *installation) backups(cfg backup.Config, keyMark string) *backup.Backups {
	i.Helper()
	b, err := backup.New(backup.Deps{Config: cfg, Store: i.store, Bus: i.bus, KeyMark: keyMark, Audit: i.audit, Log: bustest.Log(i), Now: time.Now})
	if err != nil {
		i.Fatal(err)
	}
	return b
}

// here is a directory of the test's own.
func here(t *testing.T) backup.Config {
	t.Helper()
	dir, err := os.MkdirTemp(allowed, "")
	if err != nil {
		t.Fatal(err)
	}
	return backup.Config{To: "file:" + dir}
}

func (i *installation) log(summaries ...string) {
	i.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	for n, s := range summaries {
		now := now.Add(time.Duration(n) * time.Millisecond)
		r := change.Result{
			DeliveryID: change.NewDeliveryID(now), Org: "acme", SourceID: "src_a", ReceivedAt: change.At(now), FirstReceived: change.At(now),
			NormalizedAt: change.At(now), Outcome: change.Stored, Provider: "test",
			Changes: []change.Change{{ID: change.NewID(now, "acme", "test", s), Org: "acme", Type: change.Deployment, Summary: s, OccurredAt: change.At(now), CreatedAt: change.At(now)}},
		}
		if err := i.store.InsertChanges(i.Context(), []store.Batch{{Chain: "c", Frame: 1, Lane: change.Fresh, Results: []change.Result{r}}}); err != nil {
			i.Fatal(err)
		}
	}
}

func (i *installation) logged() []string {
	i.Helper()
	page, err := i.store.FindChanges(i.Context(), store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}, Sort: store.Asc})
	if err != nil {
		i.Fatal(err)
	}
	var out []string
	for _, c := range page.Data {
		out = append(out, c.Summary)
	}
	return out
}

func (i *installation) put(records map[string]string) {
	i.Helper()
	for key, value := range records {
		if _, err := i.kv.PutString(i.Context(), key, value); err != nil {
			i.Fatal(err)
		}
	}
}

func (i *installation) registry() map[string]string {
	i.Helper()
	out := map[string]string{}
	keys, err := i.kv.Keys(i.Context())
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		i.Fatal(err)
	}
	for _, key := range keys {
		e, err := i.kv.Get(i.Context(), key)
		if err != nil {
			i.Fatal(err)
		}
		out[key] = string(e.Value())
	}
	return out
}

func (i *installation) want(what string, want, got any) {
	i.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		i.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestRestore_PutsBackRowsAndRegistry(t *testing.T) {
	there := install(t)
	b := there.backups(here(t), "key")
	registry := map[string]string{"org.acme.acme": `{"id":"acme"}`, "source.acme.src_a": `{"secrets":[{}]}`}
	there.put(registry)
	there.put(map[string]string{"heartbeat": "now"})
	there.log("one", "two")
	made, err := b.Create(t.Context(), "nightly")
	if err != nil {
		t.Fatal(err)
	}
	if made.Rows["changes"] != 2 || made.Registry != 2 || made.Size == 0 {
		t.Errorf("made %+v", made)
	}
	listed, err := backup.List(t.Context(), b.Config, nil)
	if err != nil || len(listed) != 1 || listed[0].Name != "nightly" || listed[0].Size < 1000 {
		t.Errorf("listed %+v, %v", listed, err)
	}
	if _, err := b.Create(t.Context(), "nightly"); err == nil {
		t.Error("a second backup replaced the first")
	}

	// What is there is not replaced by accident, and a registry that is there is newer.
	there.log("three")
	if _, err := b.Restore(t.Context(), "nightly", backup.RestoreOptions{Alone: true}); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("over rows: %v", err)
	}
	there.want("nothing was replaced", []string{"one", "two", "three"}, there.logged())
	there.put(map[string]string{"key.acme.key_1": "{}"})
	restored, err := b.Restore(t.Context(), "nightly", backup.RestoreOptions{Alone: true, Force: true})
	if err != nil {
		t.Fatal(err)
	}
	there.want("with force", []string{"one", "two"}, there.logged())
	if restored.RegistryRestored || there.registry()["key.acme.key_1"] == "" {
		t.Error("the registry was replaced")
	}
	if err := there.store.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
	if err := there.store.CheckDurability(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := b.Restore(t.Context(), "nightly", backup.RestoreOptions{Alone: true, Force: true, Registry: true}); err != nil {
		t.Fatal(err)
	}
	after := there.registry()
	delete(after, "heartbeat")
	there.want("the registry, when asked for", registry, after)
	there.want("the audit trail", []string{"create backup nightly", "restore backup nightly", "restore backup nightly"}, there.audited(3))

	// The bus is lost, and rows that are newer than the backup are not.
	there.log("five")
	lost := install(t)
	lost.store = there.store
	if _, err := lost.backups(b.Config, "key").Restore(t.Context(), "nightly", backup.RestoreOptions{RegistryOnly: true}); err != nil {
		t.Fatal(err)
	}
	lost.want("the registry alone", registry, lost.registry())
	lost.want("and no row", []string{"one", "two", "five"}, lost.logged())

	// All of it is lost: another bus, and empty tables.
	fresh := install(t)
	fresh.store = there.store // a backup goes back under its database's name
	if _, err := fresh.backups(b.Config, "key").Restore(t.Context(), "nightly", backup.RestoreOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	fresh.want("in an empty installation", registry, fresh.registry())
	there.log("four")
	there.want("it goes on", []string{"one", "two", "four"}, there.logged())
}

// between is a store in which something happens after its rows were counted, and
// before they are backed up.
type between struct {
	*store.Store
	happens func()
}

func (s between) Counts(ctx context.Context, database string) (map[string]uint64, error) {
	counts, err := s.Store.Counts(ctx, database)
	s.happens()
	return counts, err
}

// A replay removes a change while a backup is made. What has expired stays until it is.
func TestCreate_PromisesNoMoreThanTheBackupHas(t *testing.T) {
	there := install(t)
	b := there.backups(here(t), "")
	now := time.Now().UTC().Truncate(time.Millisecond)
	logged := change.Result{
		DeliveryID: change.NewDeliveryID(now), Org: "acme", SourceID: "src_a", ReceivedAt: change.At(now), FirstReceived: change.At(now),
		NormalizedAt: change.At(now), Outcome: change.Stored, Provider: "test",
		Changes: []change.Change{{ID: change.NewID(now, "acme", "test", "one"), Org: "acme", Type: change.Deployment, Summary: "one", OccurredAt: change.At(now), CreatedAt: change.At(now)}},
	}
	insert := func(run uint16, r change.Result) {
		if err := there.store.InsertChanges(t.Context(), []store.Batch{{Chain: "c", Frame: 1, Lane: change.Fresh, Run: run, Results: []change.Result{r}}}); err != nil {
			t.Fatal(err)
		}
	}
	insert(0, logged)
	there.log("two")
	b.Store = between{there.store, func() {
		removed := logged
		removed.Changes, removed.Removed = nil, []change.ID{logged.Changes[0].ID}
		insert(1, removed)
		err := there.bus.Exclusively(t.Context(), bus.Removing, time.Millisecond, func(context.Context) error { return nil })
		if problem.KindOf(err) != problem.Busy {
			t.Errorf("rows may be removed while a backup is made: %v", err)
		}
	}}
	if _, err := b.Create(t.Context(), "nightly"); err != nil {
		t.Fatal(err)
	}
	there.want("a change was removed", []string{"two"}, there.logged())
	if _, err := b.Restore(t.Context(), "nightly", backup.RestoreOptions{Alone: true, Force: true}); err != nil {
		t.Errorf("the backup was made, and cannot be restored: %v", err)
	}
	there.want("restored", []string{"two"}, there.logged())
}

// The registry that a restore left half written is not a newer one.
func TestRestore_WritesARegistryAgainThatWasCutOff(t *testing.T) {
	there := install(t)
	b := there.backups(here(t), "")
	registry := map[string]string{"org.acme.acme": `{"id":"acme"}`, "service.acme.svc_1": "{}"}
	there.put(registry)
	if _, err := b.Create(t.Context(), "nightly"); err != nil {
		t.Fatal(err)
	}
	again := install(t)
	again.store = there.store
	again.put(map[string]string{"restoring": "", "org.acme.acme": `{"id":"acme"}`})
	restored, err := again.backups(b.Config, "").Restore(t.Context(), "nightly", backup.RestoreOptions{Alone: true, Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if !restored.RegistryRestored {
		t.Error("half a registry was taken for a newer one")
	}
	again.want("the registry", registry, again.registry())
}

func TestRestore_ReplacesNothingWithABackupThatIsNotWhole(t *testing.T) {
	there := install(t)
	b := there.backups(here(t), "")
	there.log("one", "two")
	if _, err := b.Create(t.Context(), "cut"); err != nil {
		t.Fatal(err)
	}
	there.log("three")
	dir, _ := b.Config.Place().Dir()
	var largest string
	var size int64
	if err := filepath.WalkDir(filepath.Join(dir, "cut", "data"), func(path string, d fs.DirEntry, err error) error {
		if info, e := d.Info(); e == nil && !d.IsDir() && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(largest, size/2); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cut", "none", "../cut"} {
		if _, err := b.Restore(t.Context(), name, backup.RestoreOptions{Alone: true, Force: true}); err == nil {
			t.Errorf("%s was restored", name)
		}
	}
	there.want("nothing was replaced", []string{"one", "two", "three"}, there.logged())
}

// What came after a backup is on the bus alone once it is put back, however well
// it was stored before.
func TestRestore_KeepsOnTheBusWhatTheTablesLack(t *testing.T) {
	there := install(t)
	b := there.backups(here(t), "")
	there.log("one")
	if _, err := b.Create(t.Context(), "nightly"); err != nil {
		t.Fatal(err)
	}
	there.deliver()
	there.settle()
	for _, stream := range []string{bus.Deliveries, bus.Changes} {
		if err := there.bus.Reconciled(t.Context(), stream, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Restore(t.Context(), "nightly", backup.RestoreOptions{Alone: true, Force: true}); err != nil {
		t.Fatal(err)
	}
	if err := there.bus.NewTrimmer(0).Trim(t.Context()); err != nil { // all is old
		t.Fatal(err)
	}
	status, err := there.bus.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]uint64{}
	for _, s := range status.Streams {
		left[s.Name] = s.Messages
	}
	for _, stream := range []string{bus.Deliveries, bus.Changes} {
		if left[stream] != 1 {
			t.Errorf("%d frames are on %s, want the one that came after the backup", left[stream], stream)
		}
	}
}

// deliver puts a frame of a delivery, and one of its changes, on the bus.
func (i *installation) deliver() {
	i.Helper()
	c := i.bus.NewCommitter(change.Fresh)
	ctx, stop := context.WithCancel(i.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	now := time.Now()
	d := change.Delivery{ID: change.NewDeliveryID(now), Org: "acme", SourceID: "src_a", ReceivedAt: change.At(now), Body: []byte("{}")}
	if _, err := c.Commit(i.Context(), &d); err != nil {
		i.Fatal(err)
	}
	stop()
	if err := <-ran; err != nil {
		i.Fatal(err)
	}
	made := &bus.ChangeFrame{Chain: "c", Number: 1, Lane: change.Fresh, Results: []change.Result{{DeliveryID: d.ID, Org: d.Org, SourceID: d.SourceID, ReceivedAt: d.ReceivedAt, Outcome: change.Ignored}}}
	if err := i.bus.PublishChanges(i.Context(), made); err != nil {
		i.Fatal(err)
	}
}

// settle lets every consumer settle what is on the bus.
func (i *installation) settle() {
	i.Helper()
	ctx, stop := context.WithCancel(i.Context())
	var consumers sync.WaitGroup
	for durable, lane := range map[string]string{bus.NormalizerFresh: change.Fresh, bus.NormalizerBulk: change.Bulk, bus.RawWriter: ""} {
		consumers.Go(func() {
			_ = bustest.Consume(ctx, i.bus, durable, lane, func(context.Context, *bus.DeliveryFrame) error { return nil })
		})
	}
	for _, lane := range []string{change.Fresh, change.Bulk} {
		consumers.Go(func() {
			_ = i.bus.ConsumeChangeLane(ctx, lane, bus.BatchLimit{Bytes: 1, Records: 1}, func(context.Context, []*bus.ChangeFrame) error { return nil })
		})
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		p, err := i.bus.Progress(ctx)
		if err != nil {
			i.Fatal(err)
		}
		if min(p.Raw, p.Normalized, p.Written) > 0 {
			break
		}
		if time.Now().After(deadline) {
			i.Fatalf("not settled: %+v", p)
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	consumers.Wait()
}

func TestRestore_WantsTheMasterKeyAndNoServices(t *testing.T) {
	there := install(t)
	cfg := here(t)
	there.put(map[string]string{"source.acme.src_a": `{"secrets":[{}]}`})
	there.log("one")
	if _, err := there.backups(cfg, "old").Create(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	reason := func(err error) string {
		if e, ok := errors.AsType[*problem.Error](err); ok {
			return e.Reason
		}
		return fmt.Sprint(err)
	}
	_, err := there.backups(cfg, "new").Restore(t.Context(), "b", backup.RestoreOptions{Alone: true, Force: true, Registry: true})
	there.want("with another key", "master_key", reason(err))
	there.put(map[string]string{"heartbeat": "now"})
	_, err = there.backups(cfg, "old").Restore(t.Context(), "b", backup.RestoreOptions{Force: true})
	there.want("while services run", "services_run", reason(err))
	there.want("nothing was replaced", []string{"one"}, there.logged())
}

// The engine itself writes to S3 and reads from there: here that is versitygw.
func TestBackup_ToS3(t *testing.T) {
	const id, secret = "keeper", "keeper-secret"
	address := startS3(t, id, secret)
	there := install(t)
	cfg := backup.Config{To: "s3:" + address + "/backups/acme/whatchanged", AccessKeyID: id, SecretAccessKey: secret}
	b := there.backups(cfg, "")
	there.log("one", "two")
	if _, err := b.Create(t.Context(), "nightly"); err != nil {
		t.Fatal(err)
	}
	listed, err := backup.List(t.Context(), cfg, nil)
	if err != nil || len(listed) != 1 || listed[0].Name != "nightly" || listed[0].Size < 1000 {
		t.Errorf("listed %+v, %v", listed, err)
	}
	there.log("three")
	if _, err := b.Restore(t.Context(), "nightly", backup.RestoreOptions{Alone: true, Force: true}); err != nil {
		t.Fatal(err)
	}
	there.want("restored", []string{"one", "two"}, there.logged())

	cfg.SecretAccessKey = "another-secret-of-ours"
	if _, err := there.backups(cfg, "").Create(t.Context(), "refused"); err == nil || strings.Contains(err.Error(), "another-secret") {
		t.Errorf("with a wrong secret: %v", err)
	}
}

func startS3(t *testing.T, id, secret string) string {
	t.Helper()
	program, err := s3test.Program()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, dir := l.Addr().String(), t.TempDir()
	l.Close()
	for _, sub := range []string{"data", "meta", "iam"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "--access", id, "--secret", secret, "--region", "us-east-1", "--port", addr, "--iam-dir", filepath.Join(dir, "iam"), "--quiet",
		"posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it says that it was killed
	})
	client, err := minio.New(addr, &minio.Options{Creds: credentials.NewStaticV4(id, secret, "")})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := client.MakeBucket(t.Context(), "backups", minio.MakeBucketOptions{})
		if err == nil {
			return "http://" + addr
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestConfig_ReportsEveryFaultAtOnce(t *testing.T) {
	f := func(to, want string) {
		t.Helper()
		err := backup.Config{To: to}.Validate()
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", to, err, want)
		}
	}
	f("", "")
	f("file:/var/backups", "")
	f("disk:backups/whatchanged", "")
	f("s3:https://s3.example.com/bucket/path", "")
	f("file:backups", "whole path")
	f("file:/var/../etc", "whole path")
	f("disk:../x", "disks")
	f("s3:s3.example.com/bucket", "bucket's address")
	f("s3:https://key:secret@s3.example.com/bucket", "bucket's address")
	f("ftp://x", "must begin with")
	if err := (backup.Config{AccessKeyID: "id"}).Validate(); err == nil {
		t.Error("an id without its secret is fine")
	}
}
