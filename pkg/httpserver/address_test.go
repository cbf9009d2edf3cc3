package httpserver_test

import (
	"net/http"
	"testing"

	"whatchanged/pkg/httpserver"
)

func FuzzCaller(f *testing.F) {
	f.Add("10.0.0.1:1", "192.0.2.1, 10.0.0.2", `for="[2001:db8::1]:4711";proto=https`)
	f.Add("192.0.2.9:1", "10.0.0.1", "for=_hidden, for=unknown")
	trusted, err := httpserver.ParseNetworks([]string{"10.0.0.0/8", "fd00::/8"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, remote, forwardedFor, forwarded string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {forwardedFor}, "Forwarded": {forwarded}}}
		got, ok := trusted.Caller(r)
		peer, peerOK := httpserver.Networks(nil).Caller(r)
		if ok && (!got.IsValid() || !peerOK) {
			t.Errorf("caller %v without a peer", got)
		}
		if peerOK && !trusted.Contains(peer) && (!ok || got != peer) {
			t.Errorf("the word of %v counted: %v", peer, got)
		}
	})
}
