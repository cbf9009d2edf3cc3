package bench

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"whatchanged/pkg/store"
)

// filling says what goes into an installation that nobody has open.
type filling struct {
	DSN     string        `json:"dsn"`
	Changes int           `json:"changes"`
	Orgs    []string      `json:"orgs"`
	End     time.Time     `json:"end"` // of the newest
	Span    time.Duration `json:"span"`
}

type filled struct{}

// newFill is run by bench itself: one process opens the embedded database at a
// time, and what filling takes is not the server's.
func newFill() *cobra.Command {
	return &cobra.Command{
		Use: "bench-fill", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			return serveHelper(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(),
				func(ctx context.Context, f filling, _ func(message[filled])) (filled, error) {
					return filled{}, f.run(ctx, log)
				})
		},
	}
}

func (f filling) run(ctx context.Context, log *slog.Logger) (err error) {
	cfg := store.DefaultConfig()
	cfg.DSN = f.DSN
	s, err := store.Open(ctx, cfg, log, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.Fill(ctx, store.FillConfig{Rows: f.Changes, Orgs: f.Orgs, Until: f.End, Span: f.Span})
}
