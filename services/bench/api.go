package bench

import (
	"context"
	"errors"
	"path/filepath"
)

const (
	logPath  = "/api/v1/changes"
	bulkPath = "/api/v1/changes/bulk"
	bulkSize = 1000
)

// logging measures writes through the API beside the receiver in the same
// process, by turns.
func (r *run) logging(ctx context.Context) (err error) {
	r.say("starting the receiver and the API")
	in := newInstallation(filepath.Join(r.base, "api"))
	s, err := in.startDoors(ctx, "receiver", "api")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()

	d := r.short(roundTime)
	webhook := r.load(s.addr, in.path, in.secret, d)
	single := r.load(s.addr, logPath, "", d)
	single.Key, single.Bulk = in.apiKey, 1
	bulk := r.load(s.addr, bulkPath, "", d)
	bulk.Key, bulk.Bulk, bulk.Connections = in.apiKey, bulkSize, min(r.connections, 8)
	loads := []load{webhook, single, bulk}
	took := make([][]round, len(loads))
	for i := range rounds {
		r.say("webhooks, and changes logged by the API, one and %d at once, round %d of %d", bulkSize, i+1, rounds)
		for j, l := range loads {
			got, err := r.round(ctx, s, l)
			if err != nil {
				return err
			}
			took[j] = append(took[j], got)
		}
	}
	r.report.API = &API{Webhooks: *doorOf(took[0]), Single: *doorOf(took[1]), Bulk: *doorOf(took[2]), BulkSize: bulkSize}
	r.report.API.BulkChanges = r.report.API.Bulk.Rate * bulkSize
	return nil
}
