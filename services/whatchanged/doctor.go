package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"whatchanged/pkg/chdb"
	"whatchanged/pkg/client"
	"whatchanged/pkg/durable"
	"whatchanged/pkg/telemetry"
)

// How a check came out.
const (
	fine  = "ok"
	warns = "warning"
	fails = "failed"
)

// finding is what one check says.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Detail string `json:"detail"`
	Do     string `json:"do,omitempty"` // what to do about it
}

func newDoctor(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine and the server, and say what to do",
		Long: `Checks the engine's library, the disk and the data directory on this machine, and
asks the server whether it is up, which version it is, whether bus, ClickHouse
and registry are well, how far its clock is from this one's, which services it runs, and whether the
account of the last day closes. A server is the one process that answers: of
services that run apart it says which it does not see.
With --nats, or in the environment of a service that has WHATCHANGED_BUS_URL, it looks at the NATS servers too:
copies and leaders of the streams, fsync, versions, and the size of messages.
Exits with 1 when something failed.`,
		Example: `  whatchanged doctor
  whatchanged doctor --url https://changes.example.com --json`,
		Args: args(cobra.NoArgs),
	}
	conn := connect(cmd, env)
	nats := cmd.Flags().String("nats", "", "look at these NATS servers too, as nats://host:4222 (default WHATCHANGED_BUS_URL)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), 40*time.Second)
		defer cancel()
		d := &doctor{}
		d.checkMachine(env, conn)
		d.checkServer(ctx, conn)
		d.checkNATS(ctx, env, *nats)
		if conn.json {
			if err := printJSON(env.Stdout, d.findings); err != nil {
				return err
			}
		} else {
			d.print(env.Stdout)
		}
		return d.err()
	}
	return cmd
}

type doctor struct{ findings []finding }

func (d *doctor) say(check, result, detail, do string) {
	d.findings = append(d.findings, finding{check, result, detail, do})
}

func (d *doctor) print(w io.Writer) {
	for _, f := range d.findings {
		fmt.Fprintf(w, "%-8s %-14s %s\n", f.Result, f.Check, printable(f.Detail))
		if f.Do != "" {
			fmt.Fprintf(w, "%-8s %-14s → %s\n", "", "", f.Do)
		}
	}
}

func (d *doctor) err() error {
	var failed []string
	for _, f := range d.findings {
		if f.Result == fails {
			failed = append(failed, f.Check)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

// checkMachine looks at what a server on this machine needs. With a server
// elsewhere none of it matters.
func (d *doctor) checkMachine(env *Environment, conn *connection) {
	if conn.url != "" || env.Getenv("WHATCHANGED_URL") != "" {
		return
	}
	d.say("program", fine, fmt.Sprintf("whatchanged %s, %s, %s/%s", telemetry.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH), "")
	if path, err := chdb.FindLibrary(env.Getenv("WHATCHANGED_LIBCHDB")); err != nil {
		d.say("engine", fails, err.Error(), "run `make lib`, or use a ClickHouse server with --clickhouse")
	} else {
		d.say("engine", fine, path, "")
	}
	d.checkDisk(conn.dataDir)
}

func (d *doctor) checkDisk(dataDir string) {
	info, err := os.Stat(dataDir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		d.say("data", warns, dataDir+" is not there", "start a server with `whatchanged serve`, or say --data-dir")
		dataDir = filepath.Dir(filepath.Clean(dataDir))
	case err != nil:
		d.say("data", fails, err.Error(), "make it readable for the user that runs the server")
		return
	case info.Mode().Perm()&0o077 != 0:
		d.say("data", warns, fmt.Sprintf("%s can be read by others (%s)", dataDir, info.Mode().Perm()), "chmod 700 "+dataDir)
	default:
		d.say("data", fine, dataDir, "")
	}
	v, err := durable.VolumeOf(dataDir)
	if err != nil {
		d.say("disk", fails, err.Error(), "")
		return
	}
	detail := fmt.Sprintf("%.1f GiB free of %.1f", float64(v.Free)/(1<<30), float64(v.Size)/(1<<30))
	if reserve := max(2<<30, v.Size/20); v.Free < 2*reserve {
		d.say("disk", warns, detail, "free some space: below a reserve of "+
			fmt.Sprintf("%.1f GiB the receiver refuses new deliveries", float64(reserve)/(1<<30)))
		return
	}
	d.say("disk", fine, detail, "")
}

func (d *doctor) checkServer(ctx context.Context, conn *connection) {
	api, err := conn.client()
	if err != nil {
		d.say("server", fails, err.Error(), "")
		return
	}
	base := api.String()
	ready, header, err := get(ctx, base+"/readyz", "")
	if err != nil {
		d.say("server", fails, err.Error(), "is it running? start it with `whatchanged serve`, or say --url")
		return
	}
	d.checkReady(base, ready)
	d.checkClock(header)
	families := d.checkMetrics(ctx, base, conn)
	if d.checkServices(families) {
		d.checkAccount(ctx, api)
	}
}

// checkServices says which services the process that is asked does not run:
// nothing of what they do is seen here but for the account. It reports whether
// the process has the API, as far as that is known.
func (d *doctor) checkServices(families map[string]*dto.MetricFamily) (withAPI bool) {
	var here, elsewhere []string
	for _, m := range families[serviceRunning].GetMetric() {
		name := m.GetLabel()[0].GetValue()
		if m.GetGauge().GetValue() > 0 {
			here = append(here, name)
		} else {
			elsewhere = append(elsewhere, name)
		}
	}
	const check = "services"
	switch {
	case len(here) == 0: // the metrics are not for us to see
		return true
	case len(elsewhere) == 0:
		d.say(check, fine, "all in this process", "")
		return true
	}
	withAPI = slices.Contains(here, serviceAPI)
	detail := fmt.Sprintf("this process is %s; not seen from here: %s", strings.Join(here, ", "), strings.Join(elsewhere, ", "))
	advice := "ask each at its own address: curl http://HOST:PORT/readyz, and /metrics with an admin's key"
	if !withAPI {
		advice += "; the account is the API's to tell: say --url with its address"
	}
	d.say(check, fine, detail, advice)
	return withAPI
}

// get fetches a path that needs no key, or one for operators.
func get(ctx context.Context, url, key string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxInput))
	return body, res.Header, err
}

func (d *doctor) checkReady(base string, answer []byte) {
	var ready struct {
		Status string            `json:"status"`
		Checks map[string]string `json:"checks"`
	}
	if err := json.Unmarshal(answer, &ready); err != nil || ready.Status == "" {
		d.say("server", fails, base+" answers, but not as whatchanged does", "is it the right --url?")
		return
	}
	d.say("server", fine, base, "")
	advice := map[string]string{
		"bus":      "see the server's log for part=bus; a full disk and an unreachable NATS are the usual causes",
		"store":    "see the server's log for part=store; is ClickHouse up? Taking in goes on meanwhile",
		"registry": "see the server's log for part=registry; webhooks are refused until its view is fresh",
	}
	for _, name := range []string{"bus", "store", "registry"} {
		if state, ok := ready.Checks[name]; ok && state != "ok" {
			d.say(name, fails, state, advice[name])
		} else if ok {
			d.say(name, fine, "", "")
		}
	}
}

func (d *doctor) checkClock(header http.Header) {
	there, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		d.say("clock", warns, "the server sends no date", "")
		return
	}
	off := time.Since(there).Round(time.Second)
	if off.Abs() > 5*time.Second {
		d.say("clock", warns, fmt.Sprintf("the server's clock is %s from this one", off), "turn on NTP on both; signatures with a time fail when clocks differ")
		return
	}
	d.say("clock", fine, "within 5s of the server's", "")
}

// checkMetrics reads what the server says of itself: its version, and what
// needs a person.
func (d *doctor) checkMetrics(ctx context.Context, base string, conn *connection) map[string]*dto.MetricFamily {
	key := conn.key
	if key == "" {
		key = conn.env.Getenv("WHATCHANGED_KEY")
	}
	text, _, err := get(ctx, base+"/metrics", key)
	if err != nil {
		d.say("metrics", warns, err.Error(), "")
		return nil
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	build := families["whatchanged_build_info"]
	if err != nil || build == nil {
		d.say("version", warns, "not shown", "ask on the server's own machine, or with an admin key")
		return nil
	}
	d.checkDead(families)
	version := build.Metric[0].Label[0].GetValue()
	if ours := telemetry.Version(); version != ours {
		d.say("version", warns, fmt.Sprintf("the server is %s, this program %s", version, ours), "use the same version for both")
		return families
	}
	d.say("version", fine, version, "")
	return families
}

// checkAccount says whether the account of the last day closes: whether it is
// known what became of everything that was received.
func (d *doctor) checkAccount(ctx context.Context, api *client.Client) {
	const check = "account"
	account, err := api.WholeAccount(ctx, client.AccountFilter{Start: time.Now().Add(-24 * time.Hour), Bucket: 24 * time.Hour})
	if err != nil {
		d.say(check, fails, err.Error(), adviceOn(err))
		return
	}
	sum := account.Totals
	detail := fmt.Sprintf("last day: %d received = %d stored + %d duplicate + %d ignored + %d dead + %d in flight",
		sum.Received, sum.Stored, sum.Duplicate, sum.Ignored, sum.Dead, sum.InFlight)
	switch stuck := time.Since(sum.InFlightSince.Time); {
	case sum.Missing > 0:
		d.say(check, fails, fmt.Sprintf("%s + %d missing (%s): it does not close", detail, sum.Missing, strings.Join(sourcesMissing(account.Data), ", ")),
			"wait for five minutes: what is on the bus still is stored again by itself; then see docs/account.md")
	case !sum.Closed:
		d.say(check, warns, fmt.Sprintf("%s; not counted from %s on", detail, sum.NotCountedFrom.Format(time.RFC3339)),
			"see the server's log for \"counting what was received has to be tried again\"")
	case sum.InFlight > 0 && stuck > 5*time.Minute:
		d.say(check, warns, fmt.Sprintf("%s, for %s", detail, stuck.Round(time.Minute)),
			"see the server's log for part=normalizer and part=writer; is ClickHouse up?")
	case sum.Dead > 0:
		d.say(check, warns, detail+": it closes", "see why with `whatchanged dead list`, and re-drive or discard them")
	default:
		d.say(check, fine, detail+": it closes", "")
	}
}

// adviceOn says what to do when the account cannot be read.
func adviceOn(err error) string {
	var answer *client.Problem
	switch {
	case !errors.As(err, &answer):
		return "the server does not answer in time: are bus and store well?"
	case answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden:
		return "give a key that may read changes: WHATCHANGED_KEY"
	case answer.Status == http.StatusNotFound:
		return "this address has no API: say --url with the API's"
	default:
		return "see the server's log for part=api and part=store"
	}
}

// sourcesMissing names those whose accounts do not close, each once.
func sourcesMissing(rows []client.AccountRow) []string {
	missing := map[string]bool{}
	for _, r := range rows {
		if !r.Closed {
			missing[r.SourceID] = true
		}
	}
	names := slices.Sorted(maps.Keys(missing))
	if len(names) > 5 {
		names = append(names[:5], "...")
	}
	return names
}
