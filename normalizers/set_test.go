package normalizers_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/normtest"
	"whatchanged/pkg/change"
)

// says is a normalizer that makes of a record what the test says.
type says func(normalizers.Record) (normalizers.Result, error)

func (says) Provider() string { return "generic" }
func (says) Version() int     { return 7 }
func (f says) Normalize(r normalizers.Record) (normalizers.Result, error) {
	return f(r)
}

// draft makes one change of every record.
func draft(c change.Change, key string) says {
	return func(normalizers.Record) (normalizers.Result, error) { return normalizers.One(c, key), nil }
}

var received = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

func process(n says, d change.Delivery, src normalizers.Settings) change.Result {
	if d.Body == nil {
		d.Body = []byte(`{}`)
	}
	d.Org, d.SourceID, d.ReceivedAt = "acme", "src_1", change.At(received)
	return normalizers.Set{"generic": n}.Process(&d, src, received, received.Add(time.Second))
}

// only returns the one change of a result.
func only(t *testing.T, res change.Result) change.Change {
	t.Helper()
	normtest.Check(t, res)
	if len(res.Changes) != 1 {
		t.Fatalf("%d changes, want 1: %s %s", len(res.Changes), res.Outcome, res.Reason)
	}
	return res.Changes[0]
}

func TestProcess_AddsWhatTheDeliveryKnows(t *testing.T) {
	d := change.Delivery{ID: change.DeliveryID{9}, Identity: "key:k", Body: []byte(`{"a":1}`)}
	res := process(draft(change.Change{Summary: "it changed"}, "k"), d, normalizers.Settings{})
	c := only(t, res)
	want := change.Change{
		ID: change.NewID(received, "acme", "generic", "k"), Org: "acme", Type: change.Other, Summary: "it changed", Source: "generic",
		Risk: change.Low, RiskHints: []string{"time_inferred"}, OccurredAt: change.At(received), CreatedAt: change.At(received),
		Provenance: change.Provenance{SourceID: "src_1", DeliveryID: d.ID, Provider: "generic", Normalizer: "generic", Version: 7, DetectedBy: "shape:unknown"},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("change (-want +got):\n%s", diff)
	}
	if res.Outcome != change.Stored || res.Size != 7 || res.Identity != "key:k" || res.NormalizedAt != change.At(received.Add(time.Second)) ||
		res.FirstReceived != change.At(received) || res.Provider != "generic" {
		t.Errorf("result %+v", res)
	}
}

func TestProcess_Outcomes(t *testing.T) {
	f := func(want change.Outcome, reason, body string, n says) {
		t.Helper()
		res := process(n, change.Delivery{Body: []byte(body)}, normalizers.Settings{})
		if res.Outcome != want || res.Reason != reason {
			t.Errorf("%s: %s %q, want %s %q", body, res.Outcome, res.Reason, want, reason)
		}
		normtest.Check(t, res)
	}
	stores := draft(change.Change{Summary: "s"}, "")
	ignores := says(func(normalizers.Record) (normalizers.Result, error) { return normalizers.Ignore("ping"), nil })
	fails := says(func(normalizers.Record) (normalizers.Result, error) {
		return normalizers.Result{}, fmt.Errorf("%w: no such thing", change.ErrMalformed)
	})
	panics := says(func(normalizers.Record) (normalizers.Result, error) { panic("index out of range") })
	f(change.Stored, "", `{}`, stores)
	f(change.Ignored, "ping", `{}`, ignores)
	f(change.Dead, "no such thing", `{}`, fails)
	f(change.Dead, "panic while normalizing (string)", `{}`, panics)
	f(change.Dead, "the JSON ends too early, after 1 bytes", `{`, stores)
	f(change.Ignored, "no records in it", `{"Records":[]}`, stores)
	f(change.Ignored, "SNS subscription handshake", `{"Type":"SubscriptionConfirmation","MessageId":"m","TopicArn":"t","SubscribeURL":"u"}`, stores)
	f(change.Ignored, "Event Grid subscription handshake",
		`[{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","subject":"","eventTime":"2026-01-05T11:00:00Z","data":{"validationCode":"c"},"dataVersion":"1"}]`, stores)
	f(change.Ignored, "S3 test event", `{"Service":"Amazon S3","Event":"s3:TestEvent"}`, stores)
	f(change.Ignored, "CloudWatch Logs control message", `{"messageType":"CONTROL_MESSAGE","logGroup":"","logEvents":[{"message":"x"}]}`, stores)
}

func TestProcess_OneBadRecordLeavesTheOthers(t *testing.T) {
	n := says(func(r normalizers.Record) (normalizers.Result, error) {
		switch name := gjson.GetBytes(r.JSON, "eventName").Str; name {
		case "Bad":
			return normalizers.Result{}, fmt.Errorf("%w: bad", change.ErrMalformed)
		case "GetUser":
			return normalizers.Ignore("read-only call"), nil
		default:
			return normalizers.One(change.Change{Summary: name}, name), nil
		}
	})
	var records []string
	for _, name := range []string{"CreateUser", "Bad", "GetUser", "DeleteUser"} {
		records = append(records, strings.Replace(cloudTrail, "AttachRolePolicy", name, 1))
	}
	res := process(n, change.Delivery{Body: []byte(`{"Records":[` + strings.Join(records, ",") + `]}`)}, normalizers.Settings{})
	normtest.Check(t, res)
	var got []string
	for _, c := range res.Changes {
		got = append(got, fmt.Sprintf("%d %s", c.Provenance.Index, c.Summary))
	}
	if diff := cmp.Diff([]string{"0 CreateUser", "3 DeleteUser"}, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]change.DeadRecord{{Index: 1, Reason: "bad"}}, res.Dead); diff != "" || res.Outcome != change.Stored {
		t.Errorf("outcome %s, dead (-want +got):\n%s", res.Outcome, diff)
	}
}

func TestProcess_IDIsTheFactsOwn(t *testing.T) {
	id := func(key string, d change.Delivery) change.ID {
		return only(t, process(draft(change.Change{Summary: "s"}, key), d, normalizers.Settings{})).ID
	}
	a, b := change.Delivery{ID: change.DeliveryID{1}}, change.Delivery{ID: change.DeliveryID{2}}
	if id("k", a) != id("k", b) {
		t.Error("the same fact by two deliveries has two ids")
	}
	if id("k", a) == id("l", a) {
		t.Error("two facts have one id")
	}
	if id("", a) == id("", b) {
		t.Error("without a key or identity, two deliveries are one")
	}
	a.Identity, b.Identity = "key:1", "key:1"
	if id("", a) != id("", b) {
		t.Error("the same identity gives two ids")
	}
}

func TestProcess_KeepsTimesWithinReason(t *testing.T) {
	f := func(at time.Time, want, hint string) {
		t.Helper()
		c := only(t, process(draft(change.Change{Summary: "s", OccurredAt: change.Time{Time: at}}, "k"), change.Delivery{}, normalizers.Settings{}))
		if c.OccurredAt.String() != want || strings.Join(c.RiskHints, " ") != hint {
			t.Errorf("%v becomes %v %v, want %s %s", at, c.OccurredAt, c.RiskHints, want, hint)
		}
	}
	f(time.Time{}, "2026-01-05T12:00:00.000Z", "time_inferred")
	f(time.Date(2019, 5, 15, 15, 20, 41, 123456789, time.FixedZone("", 3600)), "2019-05-15T14:20:41.123Z", "")
	f(time.Date(2026, 1, 6, 12, 0, 0, 0, time.UTC), "2026-01-06T12:00:00.000Z", "")
	f(time.Date(2026, 1, 6, 12, 0, 1, 0, time.UTC), "2026-01-06T12:00:00.000Z", "time_clamped")
	f(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), "2026-01-06T12:00:00.000Z", "time_clamped")
	f(time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), "1970-01-01T00:00:00.000Z", "time_clamped")
}

func TestProcess_ChoosesServiceAndEnvironment(t *testing.T) {
	f := func(what string, c change.Change, d change.Delivery, src normalizers.Settings, service, environment string) {
		t.Helper()
		c.Summary = "s"
		got := only(t, process(draft(c, "k"), d, src))
		if got.ServiceName != service || got.Environment != environment {
			t.Errorf("%s: service %q environment %q, want %q %q", what, got.ServiceName, got.Environment, service, environment)
		}
	}
	src := normalizers.Settings{
		DefaultEnvironment: "staging",
		DefaultService:     change.Service{ID: "svc_d", Name: "default"},
		FindService: func(c *change.Change) (change.Service, bool) {
			return change.Service{ID: "svc_s", Name: "shop"}, c.Repository == "acme/shop"
		},
	}
	none := normalizers.Settings{}
	f("the door's service first", change.Change{Repository: "acme/shop"}, change.Delivery{Service: change.Service{ID: "svc_a", Name: "api"}}, src, "api", "staging")
	f("then the mapping's", change.Change{Repository: "acme/shop"}, change.Delivery{}, src, "shop", "staging")
	f("then the default", change.Change{Repository: "acme/other"}, change.Delivery{}, src, "default", "staging")
	f("a name from the payload stays", change.Change{ServiceName: "cart"}, change.Delivery{}, src, "cart", "staging")
	f("the payload's environment first", change.Change{Environment: "canary", Tags: []string{"env:prod"}}, change.Delivery{}, src, "default", "canary")
	f("then its tags", change.Change{Tags: []string{"team:a", "Environment:prod"}}, change.Delivery{}, src, "default", "prod")
	guessed := change.Change{Environment: "production", RiskHints: []string{normalizers.HintEnvInferred}}
	f("the source knows better than a guess", guessed, change.Delivery{}, src, "default", "staging")
	f("a guess is better than nothing", guessed, change.Delivery{}, none, "", "production")
	f("then names", change.Change{Resource: change.Resource{Name: "shop-prod-db"}}, change.Delivery{}, none, "", "production")
	f("but not any name", change.Change{Resource: change.Resource{Name: "product-db"}}, change.Delivery{}, none, "", "")
}

func TestProcess_IgnoresWhatTheSourceDoesNotWant(t *testing.T) {
	f := func(pattern string, want change.Outcome) {
		t.Helper()
		n := says(func(normalizers.Record) (normalizers.Result, error) {
			return normalizers.One(change.Change{Summary: "s", Action: "pull_request.opened"}, "k"), nil
		})
		d := change.Delivery{Header: header("X-GitHub-Event", "pull_request")}
		if res := process(n, d, normalizers.Settings{IgnoreEvents: []string{pattern}}); res.Outcome != want ||
			want == change.Ignored && res.Reason != "the source ignores github.pull_request (ignore_events: "+pattern+")" {
			t.Errorf("%s: %s %q, want %s", pattern, res.Outcome, res.Reason, want)
		}
	}
	f("github.pull_request", change.Ignored)
	f("github.pull_request.opened", change.Ignored)
	f("github.*", change.Ignored)
	f("github.pull", change.Stored)
	f("github.push", change.Stored)
	f("gitlab.*", change.Stored)
	f("github.pull_request.merged", change.Stored)
}

func TestProcess_IgnoresTheBranchesThatTheSourceDoesNotWant(t *testing.T) {
	f := func(branch, pattern, reason string) {
		t.Helper()
		n := draft(change.Change{Summary: "s", Action: "push", Branch: branch}, "k")
		res := process(n, change.Delivery{Header: header("X-GitHub-Event", "push")}, normalizers.Settings{
			IgnoreEvents: []string{"github.release"}, IgnoreBranches: []string{"gh-pages", pattern},
		})
		if (res.Outcome == change.Ignored) != (reason != "") || res.Reason != reason {
			t.Errorf("%s with %s: %s %q, want %q", branch, pattern, res.Outcome, res.Reason, reason)
		}
	}
	f("renovate/lodash-4.x", "renovate/*", "the source ignores branch renovate/lodash-4.x (ignore_branches: renovate/*)")
	f("gh-pages", "renovate/*", "the source ignores branch gh-pages (ignore_branches: gh-pages)")
	f("main", "renovate/*", "")
	f("Renovate/x", "renovate/*", "")
	f("", "*", "")
}

func TestProcess_CleansText(t *testing.T) {
	c := only(t, process(draft(change.Change{
		Summary:  "  a\tline\nthat is " + strings.Repeat("very ", 100) + "long \xff",
		Branch:   "main\xff",
		Tags:     []string{"a\xc3"},
		Metadata: json.RawMessage(`{"lone":"\ud800 and \udc00","pair":"\ud83d\ude00","escaped":"\\ud800"}`),
	}, "k"), change.Delivery{}, normalizers.Settings{}))
	if !strings.HasPrefix(c.Summary, "a line that is very") || !strings.HasSuffix(c.Summary, "…") {
		t.Errorf("summary %q", c.Summary)
	}
	if want := `{"lone":"\ufffd and \ufffd","pair":"\ud83d\ude00","escaped":"\\ud800"}`; string(c.Metadata) != want {
		t.Errorf("metadata %s, want %s", c.Metadata, want)
	}
}

func TestProcess_CutsMetadata(t *testing.T) {
	big := strings.Repeat("x", 900<<10)
	c := only(t, process(draft(change.Change{
		Summary: "s", Metadata: json.RawMessage(`{"id":7,"before":"` + big + `","name":"n","after":{"deep":"` + big + `"}}`),
	}, "k"), change.Delivery{}, normalizers.Settings{}))
	v := gjson.ParseBytes(c.Metadata)
	if v.Get("id").Int() != 7 || v.Get("name").Str != "n" || !strings.HasPrefix(v.Get("before").Str, "xxx") || c.RiskHints[len(c.RiskHints)-1] != "metadata_truncated" {
		t.Errorf("hints %v, metadata %.200s", c.RiskHints, c.Metadata)
	}
}

func TestProcess_MasksSecrets(t *testing.T) {
	f := func(secret string) {
		t.Helper()
		text := "token=" + secret + " used"
		var meta normalizers.Meta
		meta.Set("env", []string{"A=1\n" + secret, "B=2"})
		c := only(t, process(draft(change.Change{Summary: text, Description: text, Metadata: meta.JSON()}, "k"), change.Delivery{}, normalizers.Settings{}))
		b, _ := json.Marshal(c)
		if strings.Contains(string(b), secret[:15]) || c.Description != "token=*** used" || !strings.Contains(string(b), "secret_masked") {
			t.Errorf("%.12s...: %s", secret, b)
		}
	}
	body := strings.Repeat("a1B2", 12)
	for _, prefix := range []string{
		"ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "sk_live_", "rk_live_", "whsec_", "wc_live_", "wct_", "npm_", "AKIA", "AIza",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.",
	} {
		f(prefix + body)
	}
	f("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----")
	f("-----BEGIN PRIVATE KEY-----MIIEpAIBAAKCAQEA-----END PRIVATE KEY-----")
}

// A secret that is cut is half a secret still.
func TestProcess_MasksBeforeItCuts(t *testing.T) {
	secret := "ghp_" + strings.Repeat("a1B2", 9)
	var meta normalizers.Meta
	meta.Set("long", strings.Repeat("x", 990)+" "+secret+strings.Repeat(" y", 40<<10))
	c := only(t, process(draft(change.Change{
		Summary: strings.Repeat("x", 185) + " " + secret, Description: strings.Repeat("x", 16<<10-12) + " " + secret, Metadata: meta.JSON(),
	}, "k"), change.Delivery{}, normalizers.Settings{}))
	if b, _ := json.Marshal(c); strings.Contains(string(b), "ghp_") {
		t.Errorf("part of a secret comes through: %q", c.Summary)
	}
}

func TestProcess_LeavesWhatOnlyLooksLikeSecrets(t *testing.T) {
	for _, text := range []string{
		"rename ghp_token to github_token", "xoxb-short", "task_npm_install", "-----BEGIN CERTIFICATE-----abc-----END CERTIFICATE-----",
		"eyJlaGVyZSBpcyBubyBkb3QgaW4gdGhpcyBvbmU", "WAKIAABCDEFGHIJKLMNOPQ",
	} {
		c := only(t, process(draft(change.Change{Summary: text}, "k"), change.Delivery{}, normalizers.Settings{}))
		if c.Summary != text {
			t.Errorf("%q becomes %q", text, c.Summary)
		}
	}
}

func FuzzProcess(f *testing.F) {
	f.Add("summary", []byte(`{"a":"b"}`))
	f.Add("-----BEGIN RSA PRIVATE KEY-----", []byte(`{"k":"-----BEGIN PRIVATE KEY-----","z":"-----END PRIVATE KEY-----"}`))
	f.Add("ghp_0123456789abcdefghijABCDEFGHIJ456789\xff\n", []byte(`{"k":"\ud800ghp_0123456789abcdefghijABCDEFGHIJ456789"}`))
	f.Fuzz(func(t *testing.T, text string, meta []byte) {
		c := change.Change{Summary: text, Description: text, Tags: []string{text}}
		if normalizers.CheckJSON(meta) == nil && gjson.ParseBytes(meta).IsObject() && meta[0] == '{' {
			c.Metadata = meta
		}
		normtest.Check(t, process(draft(c, ""), change.Delivery{}, normalizers.Settings{}))
	})
}
