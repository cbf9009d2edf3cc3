package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// replies answers every request with what it is asked for at the moment.
type replies struct {
	keys  string
	err   error
	asked int
}

func (r *replies) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.err != nil {
		return nil, r.err
	}
	body := `{"issuer":"https://issuer.example","jwks_uri":"https://issuer.example/certs"}`
	if req.URL.Path == "/certs" {
		r.asked++
		body = r.keys
	}
	return &http.Response{StatusCode: 200, Header: http.Header{"Cache-Control": {"max-age=3600"}}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

func TestIssuer_KeepsItsKeysAndFindsNewOnes(t *testing.T) {
	key := func(id string) string {
		return fmt.Sprintf(`{"keys":[{"kty":"NEW","kid":"n"},{"kty":"oct","kid":"one","k":"AAAA"},{"kty":"RSA","kid":%q,"n":"sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1WlUzewbgBHod5pcM9H95GQRV3JDXboIRROSBigeC5yjU1hGzHHyXss8UDprecbAYxknTcQkhslANGRUZmdTOQ5qTRsLAt6BTYuyvVRdhS8exSZEy_c4gs_7svlJJQ4H9_NxsiIoLwAEk7-Q3UXERGYw_75IDrGA84-lA_-Ct4eTlXHBIY2EaV7t7LjJaynVJCpkv4LKjTTAumiGUIuQhrNhZLuF_RJLqHpM2kgWFLU7-VTdL1VbC2tejvcI2BlMkEpk1BzBZI0KQB0GaDWFLN-aEAw3vRw","e":"AQAB"}]}`, id)
	}
	other := &replies{keys: key("one")}
	i := newIssuers(newOutside(&http.Client{Transport: other})).of("https://issuer.example")
	now := time.Unix(1_800_000_000, 0)
	f := func(what, id string, after time.Duration, found bool, fault error, asked int) {
		t.Helper()
		keys, err := i.keysFor(context.Background(), id, now.Add(after))
		if (len(keys) == 1) != found || !errors.Is(err, fault) || other.asked != asked {
			t.Errorf("%s: %d keys, %v, asked %d times; want %v, %v, %d", what, len(keys), err, other.asked, found, fault, asked)
		}
	}
	f("first", "one", 0, true, nil, 1)
	f("again", "one", time.Second, true, nil, 1)
	f("an unknown one, at once", "two", 2*time.Second, false, nil, 1)
	other.keys = key("two")
	f("an unknown one, later", "two", 11*time.Second, true, nil, 2)
	f("the one that is gone", "one", 12*time.Second, false, nil, 2)
	other.err = errors.New("no route")
	f("old ones, while the issuer is away", "two", 2*time.Hour, true, nil, 2)
	f("an unknown one, while it is away", "three", 2*time.Hour, false, errKeysUnreachable, 2)
	f("very old ones", "two", 26*time.Hour, false, errKeysUnreachable, 2)
	other.err = nil
	f("when it is back", "two", 27*time.Hour, true, nil, 3)
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"one","n":"AQAB","e":"AQAB"},{"kty":"NEW"}]}`))
	f.Add([]byte(`{"keys":[1,null,{"kty":"RSA","use":"enc"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, key := range parseKeys(text) {
			if !key.IsPublic() {
				t.Errorf("a key that is not public: %v", key.KeyID)
			}
		}
	})
}
