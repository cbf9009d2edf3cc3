package registry

import (
	"net/netip"
	"strings"
	"testing"

	"whatchanged/pkg/change"
)

// FuzzView: what lies in the bucket speaks for the org and the id of its key
// alone, and what cannot be read speaks for nobody.
func FuzzView(f *testing.F) {
	f.Add("source.acme.src_1", []byte(`{"id":"src_1","org":"acme","services":[{"match":"a*"}]}`))
	f.Add("key.acme.key_1", []byte(`{"id":"key_1","org":"other"}`))
	f.Add("service.acme.svc_1", []byte(`{"id":"svc_1","org":"acme","name":"s","repositories":["o/*","*"]}`))
	f.Add("org.acme.acme", []byte(`{"id":"acme"}`))
	f.Add("person.a.b.c", []byte(`{"sessions":[{}]}`))
	f.Add("heartbeat", []byte(`x`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		if value == nil {
			value = []byte{} // nil is a deletion
		}
		v, damaged := (&view{}).with([]entry{{key: key, value: value, revision: 7}})
		for at, r := range v.sources.rows {
			if joinKey(kindSource, r.value.Org, r.value.ID) != key || len(damaged) > 0 {
				t.Errorf("%v is of %q", at, key)
			}
		}
		for at, r := range v.keys.rows {
			if joinKey(kindKey, r.value.Org, r.value.ID) != key || len(damaged) > 0 {
				t.Errorf("%v is of %q", at, key)
			}
		}
		for org, m := range v.matchers {
			m.find(&change.Change{Repository: "o/r", ServiceName: "s", Tags: []string{"a"}})
			if !strings.Contains(key, org) {
				t.Errorf("%q speaks for %q", key, org)
			}
		}
		if v.revision != 7 {
			t.Errorf("revision %d", v.revision)
		}
	})
}

// FuzzParseNetwork: a network has no bits beside its prefix, and is read again
// from how we write it.
func FuzzParseNetwork(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "10.1.2.3/8", "192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.0/120", "fe80::1%eth0", "2001:db8::/129"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseNetwork(s)
		if err != nil {
			return
		}
		if !got.IsValid() || got != got.Masked() || got.Addr().Is4In6() || got.Addr().Zone() != "" {
			t.Errorf("%q is %v", s, got)
		}
		if again, err := parseNetwork(got.String()); err != nil || again != got {
			t.Errorf("%q is %v, and again %v, %v", s, got, again, err)
		}
		if addr, err := netip.ParseAddr(s); err == nil && !got.Contains(addr.Unmap().WithZone("")) {
			t.Errorf("%q is not in %v", s, got)
		}
	})
}

// FuzzCheckSecret: a refusal never shows the secret.
func FuzzCheckSecret(f *testing.F) {
	for _, kind := range []string{AuthGitHubHMAC, AuthGitLabToken, AuthGitLabSigning, AuthStandardWebhooks, AuthHMAC, AuthToken, AuthBasic, AuthNone, AuthOIDC} {
		f.Add(kind, "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=")
		f.Add(kind, "user:0123456789abcdef ")
	}
	f.Fuzz(func(t *testing.T, kind, secret string) {
		if err := checkSecret(kind, secret); err != nil && len(secret) > 12 && strings.Contains(err.Error(), secret) && !strings.Contains(kind, secret) {
			t.Errorf("%v shows the secret", err)
		}
	})
}
