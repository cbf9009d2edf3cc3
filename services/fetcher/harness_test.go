package fetcher_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
	"whatchanged/services/fetcher"
	"whatchanged/services/normalizer"
	"whatchanged/services/writer"
)

func TestMain(m *testing.M) { os.Exit(chdbtest.Main(m)) }

// patience is how long a test waits for something that must come.
const patience = 30 * time.Second

// product is all that a notice passes through, from the bus to the store.
type product struct {
	t         *testing.T
	s3        *s3Server
	bus       *bus.Bus
	store     *store.Store
	committer *bus.Committer
	cfg       fetcher.Config
	account   atomic.Pointer[fetcher.Account] // nil: the source has none
	wrap      func(fetcher.Committer) fetcher.Committer
	metrics   *prometheus.Registry
	stops     []func()
}

func newProduct(t *testing.T) *product {
	t.Helper()
	p := &product{t: t, s3: startS3(t), store: storetest.New(t), cfg: fetcher.DefaultConfig()}
	p.account.Store(&fetcher.Account{Region: region, AccessKeyID: rootID, Secret: auth.Secret(rootSecret), Endpoint: p.s3.url()})
	p.wrap = func(c fetcher.Committer) fetcher.Committer { return c }
	return p
}

// start starts everything on a bus; withFetcher is false to leave the queue alone.
func (p *product) start(b *bus.Bus, withFetcher bool) {
	p.t.Helper()
	p.bus, p.metrics = b, prometheus.NewRegistry()
	p.committer = b.NewCommitter(change.Fresh)
	log := bustest.Log(p.t)
	w, err := writer.New(writer.Deps{Bus: b, Store: p.store, Log: log, Metrics: prometheus.NewRegistry()})
	if err != nil {
		p.t.Fatal(err)
	}
	n, err := normalizer.New(change.Fresh, normalizer.Deps{
		Bus: b, Known: p.store, Normalizers: all.Set(), Log: log, Metrics: prometheus.NewRegistry(),
		Settings: func(string, string) normalizers.Settings { return normalizers.Settings{} },
		Fetches:  func(string, string) bool { return true },
	})
	if err != nil {
		p.t.Fatal(err)
	}
	f, err := fetcher.New(fetcher.Deps{
		Bus: b, Committer: p.wrap(p.committer), Log: log, Metrics: p.metrics,
		Accounts: func(string, string) (fetcher.Account, bool, error) {
			if a := p.account.Load(); a != nil {
				return *a, true, nil
			}
			return fetcher.Account{}, false, nil
		},
	}, p.cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.run(p.committer.Run)
	p.run(w.RunChanges)
	p.run(w.RunBulkChanges)
	p.run(n.Run)
	if withFetcher {
		p.run(f.Run)
	}
}

func (p *product) run(part func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = part(ctx) }) // it ends with ctx's error
	stop := func() {
		cancel()
		wg.Wait()
	}
	p.t.Cleanup(stop)
	p.stops = append(p.stops, stop)
}

// stop stops what start started, the last first.
func (p *product) stop() {
	for _, v := range slices.Backward(p.stops) {
		v()
	}
	p.stops = nil
}

// notice delivers CloudTrail's notice of new log files, as SNS brings it.
func (p *product) notice(keys ...string) change.DeliveryID {
	p.t.Helper()
	message := fmt.Sprintf(`{\"s3Bucket\":\"%s\",\"s3ObjectKey\":[\"%s\"]}`, bucket, strings.Join(keys, `\",\"`))
	now := time.Now()
	d := &change.Delivery{
		ID: change.NewDeliveryID(now), Org: "acme", SourceID: "src_trail", ReceivedAt: change.At(now),
		Body: fmt.Appendf(nil, `{"Type":"Notification","MessageId":"m-%d","TopicArn":"arn:aws:sns:eu-central-1:123456789012:trail",
			"Message":"%s","Timestamp":"2026-03-30T12:00:00.000Z"}`, now.UnixNano(), message),
	}
	if _, err := p.committer.Commit(p.t.Context(), d); err != nil {
		p.t.Fatalf("commit a notice: %v", err)
	}
	return d.ID
}

// eventually waits until f returns nil.
func (p *product) eventually(f func() error) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// fetched waits until n deliveries are stored whose identity is that of an
// object, or of a part of one, and returns them, the first received first.
func (p *product) fetched(n int) []store.Delivery {
	p.t.Helper()
	var found []store.Delivery
	p.eventually(func() error {
		page, err := p.store.FindDeliveries(p.t.Context(), store.DeliveryQuery{Org: "acme", Provider: "cloudtrail", Sort: store.Asc, Limit: 1000})
		if err != nil {
			return err
		}
		if found = page.Data; len(found) != n {
			return fmt.Errorf("%d log files are stored, want %d: %+v", len(found), n, found)
		}
		return nil
	})
	return found
}

// changes returns the summaries of all changes that are stored.
func (p *product) changes() (summaries []string) {
	p.t.Helper()
	page, err := p.store.FindChanges(p.t.Context(), store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}, Sort: store.Asc, Limit: 1000})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range page.Data {
		summaries = append(summaries, c.Summary)
	}
	return summaries
}

// letter waits for the one dead letter.
func (p *product) letter() bus.DeadLetter {
	p.t.Helper()
	var letters []bus.DeadLetter
	p.eventually(func() error {
		page, err := p.bus.DeadLetters(p.t.Context(), bus.DeadQuery{Org: "acme"})
		letters = page.Letters
		if err == nil && len(letters) != 1 {
			err = fmt.Errorf("%d dead letters, want 1: %+v", len(letters), letters)
		}
		return err
	})
	return letters[0]
}

// tried waits until there were tries with an outcome.
func (p *product) tried(outcome string) {
	p.t.Helper()
	p.eventually(func() error {
		families, err := p.metrics.Gather()
		if err != nil {
			return err
		}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				if family.GetName() == "whatchanged_fetcher_files_total" && m.GetLabel()[0].GetValue() == outcome && m.GetCounter().GetValue() > 0 {
					return nil
				}
			}
		}
		return fmt.Errorf("no try has ended as %s", outcome)
	})
}

// logFile is one of CloudTrail's, with n records of security groups that were opened.
func logFile(n int) []byte {
	var records []string
	for i := range n {
		records = append(records, fmt.Sprintf(`{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","userName":"alice","accountId":"123456789012"},
			"eventTime":"2026-03-30T12:00:%02dZ","eventSource":"ec2.amazonaws.com","eventName":"AuthorizeSecurityGroupIngress","awsRegion":"eu-central-1",
			"requestParameters":{"groupId":"sg-%d"},"eventID":"%08d-0000-4000-8000-000000000000","readOnly":false,"eventType":"AwsApiCall","recipientAccountId":"123456789012"}`,
			i%60, i, i))
	}
	return []byte(`{"Records":[` + strings.Join(records, ",") + `]}`)
}

func zipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
