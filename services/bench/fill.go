package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
)

// filling says what goes into an installation that nobody has open.
type filling struct {
	DSN     string    `json:"dsn"`
	Changes int       `json:"changes"`
	End     time.Time `json:"end"` // of the newest; they reach fillDays back
	Seed    uint64    `json:"seed"`
}

type filled struct {
	Changes int `json:"changes"`
}

const (
	fillOrg   = "default" // the one that is asked later, as the first start names it
	fillOrgs  = 5
	fillDays  = 120
	fillBatch = 50_000
	fillKinds = 200 // services and repositories of an org
)

// newFill is run by bench itself, so that the memory it takes is not counted
// as the server's.
func newFill() *cobra.Command {
	return &cobra.Command{
		Use: "bench-fill", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			return serveHelper(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(),
				func(ctx context.Context, f filling, say func(message[filled])) (filled, error) {
					return f.run(ctx, log, func(n int64) { say(message[filled]{Accepted: &n}) })
				})
		},
	}
}

func (f filling) run(ctx context.Context, log *slog.Logger, progress func(int64)) (_ filled, err error) {
	cfg := store.DefaultConfig()
	cfg.DSN = f.DSN
	s, err := store.Open(ctx, cfg, log, prometheus.NewRegistry())
	if err != nil {
		return filled{}, err
	}
	defer func() {
		if closeErr := s.Close(); err == nil {
			err = closeErr
		}
	}()
	if err := s.Migrate(ctx); err != nil {
		return filled{}, err
	}
	rng := rand.New(rand.NewPCG(f.Seed, 0))
	every := fillDays * 24 * time.Hour / time.Duration(max(f.Changes, 1))
	begin := f.End.Add(-fillDays * 24 * time.Hour)
	for from := 0; from < f.Changes; from += fillBatch {
		to := min(from+fillBatch, f.Changes)
		batch := store.Batch{Chain: "bench", Frame: uint64(from), Lane: change.Bulk}
		for i := from; i < to; i++ {
			batch.Results = append(batch.Results, madeUp(rng, i, begin.Add(time.Duration(i)*every)))
		}
		if err := s.InsertChanges(ctx, []store.Batch{batch}); err != nil {
			return filled{}, fmt.Errorf("insert changes: %w", err)
		}
		progress(int64(to))
	}
	return filled{Changes: f.Changes}, nil
}

// madeUp is a delivery with one change, much as a month of webhooks has them.
func madeUp(rng *rand.Rand, i int, at time.Time) change.Result {
	org := fillOrg
	if n := i % fillOrgs; n > 0 {
		org = fmt.Sprintf("org-%d", n)
	}
	pick := func(values ...string) string { return values[rng.IntN(len(values))] }
	types := change.Types()
	service := rng.IntN(fillKinds)
	var sha [40]byte
	source := rand.NewPCG(rng.Uint64(), rng.Uint64())
	fillFrom(sha[:], hexDigits, 4, source)
	var words [60]byte
	fillFrom(words[:], textDigits, 6, source)
	c := change.Change{
		ID: change.NewID(at, org, "bench", string(sha[:])), Org: org,
		ServiceID: fmt.Sprintf("svc_%d", service), ServiceName: fmt.Sprintf("service %d", service),
		Type: types[rng.IntN(len(types))], Action: pick("push", "deployment.succeeded", "iam.AttachRolePolicy", "config.changed"),
		Status:  change.Status(pick("", "started", "succeeded", "failed")),
		Summary: fmt.Sprintf("%s %s: %s", pick("Deploy", "Change", "Merge", "Rotate", "Scale"), pick("checkout", "cart", "search", "mail"), words[:]),
		Source:  pick("github", "gitlab", "cloudtrail", "gcp", "azure", "jenkins"), Environment: pick("production", "staging", "development"),
		Risk: change.Risk(pick("low", "low", "low", "medium", "high", "critical")), ChangedBy: fmt.Sprintf("user%d@example.com", rng.IntN(500)),
		Repository: fmt.Sprintf("octo-org/service-%d", service), CommitSHA: string(sha[:]), Branch: pick("main", "next"),
		Tags: []string{pick("team:a", "team:b", "team:c")}, Metadata: json.RawMessage(`{"commits":1}`),
		OccurredAt: change.At(at), CreatedAt: change.At(at),
	}
	c.Actor = change.Actor{Name: c.ChangedBy, Type: "user"}
	c.Provenance = change.Provenance{SourceID: "src_bench", DeliveryID: change.NewDeliveryID(at), Provider: c.Source, Normalizer: c.Source, Version: 1}
	return change.Result{
		DeliveryID: c.Provenance.DeliveryID, Org: org, SourceID: "src_bench", ReceivedAt: c.CreatedAt, FirstReceived: c.CreatedAt,
		NormalizedAt: c.CreatedAt, Outcome: change.Stored, Provider: c.Source, Changes: []change.Change{c},
	}
}
