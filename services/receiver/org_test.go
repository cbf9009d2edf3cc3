package receiver_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/registry"
)

func TestReceiver_AnOrgOverItsLimitsIsTold(t *testing.T) {
	t.Parallel()
	d := openDoor(t, func(s *settings) { s.fair.OrgRate, s.fair.OrgBurst = 1, 3 })
	_, second := d.source(registry.AuthNone) // of the same org
	accepted := 0
	var refused answer
	for i := range 20 {
		token := d.token
		if i%2 == 1 {
			token = second
		}
		if refused = d.post(token, `{"title":"x"}`); refused.status != 200 {
			break
		}
		accepted++
	}
	after, _ := strconv.Atoi(refused.header.Get("Retry-After"))
	if accepted < 3 || refused.status != 429 || refused.reason() != "org_rate_limited" || after < 1 {
		t.Errorf("%d accepted, then %v, Retry-After %d", accepted, refused, after)
	}
	if got := d.post(d.token, `{"title":"x"}`, "x-amz-sns-message-type: Notification"); got.status != 503 || got.reason() != "org_rate_limited" {
		t.Errorf("SNS is told %v", got)
	}
}

func TestReceiver_AnOrgsBytesAreCounted(t *testing.T) {
	t.Parallel()
	d := openDoor(t, func(s *settings) { s.fair.OrgBytes, s.fair.OrgByteBurst = 1, 1000 })
	body := `{"title":"` + strings.Repeat("x", 800) + `"}`
	if got := d.post(d.token, body); got.status != 200 {
		t.Fatal(got)
	}
	if got := d.post(d.token, body); got.status != 429 || got.reason() != "org_bytes_limited" {
		t.Errorf("the second: %v", got)
	}
}

func TestReceiver_AtItsQuotaAnOrgIsRefusedUntilItIsRaised(t *testing.T) {
	t.Parallel()
	d := openDoor(t)
	edit := func(quota int64) {
		t.Helper()
		if _, err := d.registry.UpdateOrg(t.Context(), registry.DefaultOrg, func(o *registry.Org) error { o.QuotaBytes = quota; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	edit(1000)
	if got := d.post(d.token, `{"title":"x"}`); got.status != 200 {
		t.Fatal(got)
	}
	if err := d.registry.SetUsage(t.Context(), registry.Usage{Org: registry.DefaultOrg, Bytes: 1000, MeasuredAt: change.At(time.Now())}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the quota is used up", func() bool { return d.post(d.token, `{"title":"x"}`).reason() == "quota" })
	if got := d.post(d.token, `{"title":"x"}`); got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Errorf("at the quota: %v", got)
	}
	edit(2000)
	eventually(t, "more may be stored", func() bool { return d.post(d.token, `{"title":"x"}`).status == 200 })
}
