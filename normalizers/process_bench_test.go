package normalizers_test

import (
	"testing"
	"time"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/change"
)

// BenchmarkProcess_GitHubPush is what the normalizer service does for each
// delivery of the load that we measure with.
func BenchmarkProcess_GitHubPush(b *testing.B) {
	body := pushBody()
	received := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	d := &change.Delivery{
		ID: change.DeliveryID{1}, Org: "acme", SourceID: "src_1", ReceivedAt: change.At(received),
		Header: pushHeader(), Body: body, Identity: normalizers.Identity(pushHeader()),
	}
	set := all.Set()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if res := set.Process(d, normalizers.Settings{}, received, received); res.Outcome != change.Stored {
			b.Fatal(res.Outcome, res.Reason)
		}
	}
}
