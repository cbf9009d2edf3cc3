package normalizers_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

func TestParseTime_ReadsWhatProvidersWrite(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		got := "no"
		if at, ok := normalizers.ParseTime(in); ok {
			got = at.Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("ParseTime(%q) = %s, want %s", in, got, want)
		}
	}
	f("2026-01-05T11:00:00Z", "2026-01-05T11:00:00Z")
	f("2026-01-05T12:00:00.1234567+01:00", "2026-01-05T11:00:00.1234567Z")
	f("2016-08-12 15:23:28 UTC", "2016-08-12T15:23:28Z")
	f("2021-04-28 21:50:00 +0200", "2021-04-28T19:50:00Z")
	f("2020-07-17T08:42:58.315+0000", "2020-07-17T08:42:58.315Z")
	f("2022-12-11 05:17:28.078", "2022-12-11T05:17:28.078Z")
	f("2024-01-26", "2024-01-26T00:00:00Z")
	f("1767610680", "2026-01-05T10:58:00Z")
	f("1767610680.5", "2026-01-05T10:58:00.5Z")
	f("1767610680000", "2026-01-05T10:58:00Z")
	f("1767610680000000000", "2026-01-05T10:58:00Z")
	f("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z")
	f("", "no")
	f("yesterday", "no")
	f("99999999999999999999", "no")
}

func TestEnvironment_TakesWholeWordsOnly(t *testing.T) {
	f := func(want string, names ...string) {
		t.Helper()
		if got, _ := normalizers.Environment(names...); got != want {
			t.Errorf("Environment(%q) = %q, want %q", names, got, want)
		}
	}
	f("production", "shop-prod-db")
	f("production", "LIVE/eu")
	f("production", "", "none", "prd.example.com")
	f("staging", "preprod")
	f("staging", "shop-pre-prod")
	f("staging", "uat_db")
	f("development", "sandbox:mona")
	f("", "product-catalogue")
	f("", "nonprod")
	f("", "acme-non-prod")
	f("", "devices", "livestream", "latest")
}

func TestUpgrade_GoesByWords(t *testing.T) {
	f := func(want change.Type, texts ...string) {
		t.Helper()
		if got := normalizers.Upgrade(change.Code, texts...); got != want {
			t.Errorf("Upgrade(%q) = %s, want %s", texts, got, want)
		}
	}
	f(change.Code, "Fix login", "cart/price.go")
	f(change.Rollback, `Revert "Raise pool size"`)
	f(change.Rollback, "Roll back to 1.3")
	f(change.DatabaseMigration, "main", "db/migrate/0007.sql")
	f(change.DatabaseMigration, "Run Flyway")
	f(change.FeatureFlag, "Turn on a feature flag")
	f(change.SecurityPatch, "Bump openssl (CVE-2026-1234)")
	f(change.Infrastructure, "modules/vpc/main.tf")
	f(change.Maintenance, "Planned maintenance on Sunday")
	f(change.Scaling, "Set replicas to 5")
	f(change.Rollback, "terraform", "rollback") // the first row with a match wins
	f(change.Rollback, "revert(cart): raise pool size")
	f(change.Rollback, "main", "revert-42-pool-size")
	f(change.Rollback, "This reverts commit 6dcb09b.")
	f(change.Rollback, "Deploy shop from v1.4.0 to v1.3.9")
	f(change.Code, "Bump shop from 1.3.9 to 1.4.0")
	f(change.Code, "Move the list from 2 to 1", "Change it from here to there")
	f(change.FeatureFlag, "Add a feature toggle for the new cart")
	f(change.Code, "Add a toggle button", "Unleash the new cart", "Show a maintenance page")
	f(change.Code, "Test that the transaction does a rollback on error", "Scale up the logo")
	f(change.Code, "Immigrations/", "untoggled", "replicaset") // not words
}

func TestUpgrade_TakesWeakWordsOutsideOfCode(t *testing.T) {
	f := func(want change.Type, text string) {
		t.Helper()
		if got := normalizers.Upgrade(change.Deployment, text); got != want {
			t.Errorf("Upgrade(%q) = %s, want %s", text, got, want)
		}
	}
	f(change.Rollback, "automatic rollback")
	f(change.FeatureFlag, "toggle dark-mode")
	f(change.FeatureFlag, "unleash")
	f(change.Maintenance, "maintenance begins")
	f(change.Scaling, "scale up web")
	f(change.Deployment, "untoggled")
}

func TestRiskOf_AddsUp(t *testing.T) {
	f := func(want change.Risk, hints ...string) {
		t.Helper()
		if got := normalizers.RiskOf(hints); got != want {
			t.Errorf("RiskOf(%q) = %s, want %s", hints, got, want)
		}
	}
	f(change.Low)
	f(change.Low, "time_inferred", "env_inferred", "large_change")
	f(change.Medium, "production")
	f(change.High, "production", "failed")
	f(change.High, "public_exposure")
	f(change.Critical, "production", "destructive", "root_or_owner_actor")
}

func TestText_FitsOneLine(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(normalizers.OneLine(" a\r\n\tb\u00a0 c\x00d \xff "), "a b c d \uFFFD")
	f(normalizers.Truncate("häuser", 6), "häuser")
	f(normalizers.Truncate("häuser und mehr", 8), "häuser…")
	f(normalizers.Truncate("abc", 0), "")
	f(normalizers.FirstLine("\n  Fix login\r\n\nWhy"), "Fix login")
	f(normalizers.ShortSHA("6dcb09b5b57875f334f61aebed695e2e4193db5e"), "6dcb09b")
	f(normalizers.ShortSHA("v1.4.0"), "v1.4.0")
}

func TestMeta_KeepsOrderAndLeavesOutWhatSaysNothing(t *testing.T) {
	var m normalizers.Meta
	if m.JSON() != nil {
		t.Error("empty metadata is not nil")
	}
	m.Set("z", "last <letter> \"first\"\n")
	m.Set("empty", "")
	m.Set("nothing", nil)
	m.Set("none", []string{})
	m.Set("no", false)
	m.Set("zero", 0)
	m.Set("list", []string{"a", "b\xff"})
	m.Set("nan", math.NaN())
	m.Set("at", time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC))
	m.Set("z", "again")
	m.SetRaw("raw", ` { "n" : 1e400 } `)
	m.SetRaw("bad", `{`)
	m.SetRaw("null", `null`)
	m.Set("map", map[string]int{"a": 1})
	want := `{"z":"last <letter> \"first\"\n","no":false,"zero":0,"list":["a","b` + "\uFFFD" + `"],"at":"2026-01-05T12:00:00Z","raw":{"n":1e400},"map":{"a":1}}`
	if got := string(m.JSON()); got != want || !json.Valid(m.JSON()) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\"\\\u2028ü\xff\xed\xa0\x80")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(normalizers.AppendString(nil, s), &back); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(s, "\uFFFD"); strings.Count(back, "\uFFFD") < strings.Count(want, "\uFFFD") ||
			strings.ReplaceAll(back, "\uFFFD", "") != strings.ReplaceAll(want, "\uFFFD", "") {
			t.Errorf("%q comes back as %q", s, back)
		}
	})
}
