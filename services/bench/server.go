package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
)

const (
	webhookPath  = "/api/webhooks/incoming/changes/"
	startTimeout = time.Minute
	startPoll    = 2 * time.Millisecond
	metricsLimit = 8 << 20
)

// installation is a data directory under test, and what opens it.
type installation struct {
	dir    string
	apiKey string
	token  string // of the source that the first start makes; it asks for no signature
	path   string // of the source that asks for one
	secret string // of that signature
}

func newInstallation(dir string) *installation {
	return &installation{dir: dir, apiKey: auth.NewToken("wc_live_"), token: auth.NewToken("wct_"), secret: rand.Text()}
}

// server is `whatchanged serve` as a process of its own.
type server struct {
	*child
	*installation
	addr, admin string
	api         *client.Client
	ready       time.Duration // from its start until it accepted a webhook
	accepted    int64         // deliveries that it accepted from us
}

// start runs serve on the installation and waits until it accepts a webhook.
func (in *installation) start(ctx context.Context, services ...string) (*server, error) {
	addr, admin, err := freeAddresses()
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--listen", addr, "--admin-listen", admin, "--data-dir", in.dir}
	if len(services) > 0 {
		args = append(args, "--services", strings.Join(services, ","))
	}
	begin := time.Now()
	c, err := startChild(args, nil,
		"WHATCHANGED_BOOTSTRAP_API_KEY="+in.apiKey, "WHATCHANGED_BOOTSTRAP_TOKEN="+in.token, "WHATCHANGED_API_KEY_RATE=0")
	if err != nil {
		return nil, err
	}
	s := &server{child: c, installation: in, addr: addr, admin: admin}
	if s.api, err = client.New("http://"+addr, in.apiKey); err == nil {
		err = s.awaitWebhook(ctx, begin)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// awaitWebhook posts one delivery after the other until one is accepted.
func (s *server) awaitWebhook(ctx context.Context, begin time.Time) error {
	payloads, err := builtIn()
	if err != nil {
		return err
	}
	r, err := newRequest(payloads[0], s.addr, webhookPath+s.token, false)
	if err != nil {
		return err
	}
	deadline := begin.Add(startTimeout)
	w := newWire(s.addr, deadline)
	defer w.close()
	requests := newWriter([]request{r}, "", uint64(begin.UnixNano()), 0)
	last := errors.New("not tried")
	for time.Now().Before(deadline) {
		status, body, err := w.roundTrip(ctx, requests.request(time.Now()))
		if err == nil && status == http.StatusOK {
			s.ready = time.Since(begin)
			s.accepted++
			return nil
		}
		if last = err; err == nil {
			last = fmt.Errorf("status %d: %s", status, cut(body, 200))
		}
		select {
		case <-s.done:
			return s.failure()
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(startPoll):
		}
	}
	return fmt.Errorf("serve accepted no webhook within %v: %w\n%s", startTimeout, last, s.tail)
}

// createSource makes the source that checks GitHub's signature.
func (s *server) createSource(ctx context.Context) error {
	made, err := s.api.CreateSource(ctx, client.NewSource{Name: "bench", Auth: "github_hmac", Secrets: []string{s.secret}})
	if err != nil {
		return fmt.Errorf("create a source: %w", err)
	}
	s.path = webhookPath + made.Token
	return nil
}

// freeAddresses finds two addresses nobody listens on.
func freeAddresses() (a, b string, err error) {
	var addrs [2]string
	for i := range addrs {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", fmt.Errorf("find a free port: %w", err)
		}
		defer ln.Close() // both stay taken until both are known
		addrs[i] = ln.Addr().String()
	}
	return addrs[0], addrs[1], nil
}

// fetch gets what the server says outside of the API.
func (s *server) fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.apiKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, metricsLimit))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d: %s", req.URL.Path, resp.StatusCode, cut(b, 200))
	}
	return b, nil
}

// stored is what the writer has put into ClickHouse since the server started.
type stored struct {
	deliveries int64 // of which everything is there
	rows       int64 // of all tables
}

func (s *server) stored(ctx context.Context) (stored, error) {
	b, err := s.fetch(ctx, "http://"+s.addr+"/metrics")
	if err != nil {
		return stored{}, fmt.Errorf("read the server's metrics: %w", err)
	}
	rows, err := parseRows(b)
	if err != nil {
		return stored{}, err
	}
	return stored{
		deliveries: min(rows["deliveries"], rows["payloads"]),
		rows:       rows["deliveries"] + rows["payloads"] + rows["changes"],
	}, nil
}

const rowsMetric = `whatchanged_writer_rows_total{table="`

// parseRows reads the rows written to each table from the text form of the
// metrics.
func parseRows(metrics []byte) (map[string]int64, error) {
	rows := map[string]int64{}
	lines := bufio.NewScanner(bytes.NewReader(metrics))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), rowsMetric)
		if !ok {
			continue
		}
		table, value, _ := strings.Cut(rest, `"} `)
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("read the server's metrics: %w", err)
		}
		rows[table] = int64(n)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the server's metrics: %w", err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("read the server's metrics: no %s", strings.TrimSuffix(rowsMetric, `{table="`))
	}
	return rows, nil
}

// profile records where the server's CPU goes for d.
func (s *server) profile(ctx context.Context, d time.Duration) (profiled, error) {
	query := url.Values{"seconds": {strconv.Itoa(max(1, int(d.Seconds())))}}
	b, err := s.fetch(ctx, "http://"+s.admin+"/debug/pprof/profile?"+query.Encode())
	if err != nil {
		return profiled{}, fmt.Errorf("profile the server: %w", err)
	}
	return readProfile(b)
}

// drain waits until all that was accepted is stored. It gives up when nothing
// moves any more.
func (s *server) drain(ctx context.Context) error {
	var last int64
	moved := time.Now()
	for {
		now, err := s.stored(ctx)
		if err != nil {
			return err
		}
		if now.deliveries >= s.accepted {
			return nil
		}
		if now.deliveries > last {
			last, moved = now.deliveries, time.Now()
		}
		if time.Since(moved) > startTimeout {
			return fmt.Errorf("%d deliveries were accepted and not stored for %v", s.accepted-now.deliveries, startTimeout)
		}
		if !sleepUntil(ctx, time.Now().Add(50*time.Millisecond)) {
			return ctx.Err()
		}
	}
}
