package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/repair"
)

type repairInput struct {
	ID     string    `path:"id" doc:"Its id" maxLength:"64"`
	Since  spanParam `query:"since" doc:"How far back to look; default 24h, at most 7d; github.com keeps 3 days"`
	DryRun bool      `query:"dry_run" doc:"Only find out what is missing"`
}

// repairFor is how long one call may ask GitHub, less than an answer may take;
// the rest is for the next.
const repairFor = 8 * time.Second

func (a *API) registerRepair() {
	register(a, huma.Operation{
		OperationID: "repair-source", Method: http.MethodPost, Path: "/api/v1/sources/{id}/repair", Tags: []string{"sources"},
		Summary: "Ask GitHub for what was never received",
		Description: "Lists what GitHub's hook has sent, compares it by GUID with what was received, and asks GitHub to send the rest again. " +
			"The source needs `github` credentials; with them this is done every 15 minutes, too.",
	}, auth.SourcesAdmin, a.repairSource)
}

// repairSource serves POST /api/v1/sources/{id}/repair.
func (a *API) repairSource(ctx context.Context, in *repairInput) (*one[client.RepairReport], error) {
	if in.Since.d > repair.Longest {
		return nil, problem.Invalid("since", "since is at most 7d: GitHub keeps no more")
	}
	since := 24 * time.Hour
	if in.Since.set {
		since = in.Since.d
	}
	src, err := a.source(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if !in.DryRun {
		if err := a.Audit.Record(ctx, audit.Change{
			Org: src.Org, Operation: "repair", Object: audit.Object{Kind: "source", ID: src.ID, Name: src.Name},
		}); err != nil {
			return nil, fmt.Errorf("record repair: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, repairFor)
	defer cancel()
	report, err := a.repairs.Repair(ctx, src, time.Now().Add(-since), in.DryRun)
	if err != nil {
		return nil, fmt.Errorf("repair source: %w", err)
	}
	out := client.RepairReport{
		Since: report.Since, DryRun: in.DryRun, Sent: report.Sent, Pending: report.Pending, Asked: report.Asked, GivenUp: report.GivenUp,
		Missing: make([]client.MissingDelivery, len(report.Missing)), Truncated: report.Truncated, RetryAt: report.RetryAt,
	}
	for i, m := range report.Missing {
		out.Missing[i] = client.MissingDelivery{
			GUID: m.GUID, Event: m.Event, SentAt: m.SentAt, Status: m.Status, Tries: m.Tries, Asked: m.Asked,
		}
	}
	return answer(out), nil
}
