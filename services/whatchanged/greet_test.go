package main

import (
	"strings"
	"testing"

	"whatchanged/pkg/auth"
)

// What the first start drew is shown, once; what it was given is not.
func TestGreet_ShowsOnlyWhatWasDrawn(t *testing.T) {
	key, token := "wc_live_"+strings.Repeat("k", 43), "wct_"+strings.Repeat("t", 43)
	f := func(given Bootstrap, want bool) {
		t.Helper()
		s := &server{cfg: Config{Bootstrap: given}, first: &bootstrap{APIKey: key, SourceToken: token, WebhookURL: "http://127.0.0.1:8080/" + token}}
		var out strings.Builder
		s.greet(&out)
		for _, secret := range []string{key, token} {
			if got := strings.Contains(out.String(), secret); got != want {
				t.Errorf("given %v: %.8s... is shown: %t, want %t", given, secret, got, want)
			}
		}
	}
	f(Bootstrap{}, true)
	f(Bootstrap{APIKey: auth.Secret(key), Token: auth.Secret(token)}, false)
	f(Bootstrap{Token: auth.Secret(token)}, false)
}
