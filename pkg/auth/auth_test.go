package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/auth"
)

const marker = "MARKERs3cr3t"

func TestSecret_IsNeverPrinted(t *testing.T) {
	type config struct {
		Name   string
		Secret auth.Secret
		List   []auth.Secret
		Map    map[string]auth.Secret
		Ptr    *auth.Secret
	}
	s := auth.Secret(marker)
	c := config{Name: "x", Secret: s, List: []auth.Secret{s}, Map: map[string]auth.Secret{"k": s}, Ptr: &s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", s, &s, c)
	}
	fmt.Fprintln(&out, s, c, fmt.Errorf("wrapped %v", s))
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("m", "secret", s, "config", c, "pointer", &s)
	}
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	for _, leak := range []string{marker, fmt.Sprintf("%x", marker), fmt.Sprintf("%X", marker)} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("the secret was printed:\n%s", out.String())
		}
	}
	if !strings.Contains(out.String(), auth.Redacted) {
		t.Errorf("nothing says %s:\n%s", auth.Redacted, out.String())
	}
}

func TestNewToken_HasTheDocumentedForm(t *testing.T) {
	form := regexp.MustCompile(`^wct_[A-Za-z0-9_-]{43}$`)
	a, b := auth.NewToken(auth.TokenPrefix), auth.NewToken(auth.TokenPrefix)
	if !form.MatchString(a) || a == b || !auth.ValidToken(a) {
		t.Errorf("tokens %q and %q", a, b)
	}
}

func TestValidToken(t *testing.T) {
	f := func(token string, want bool) {
		t.Helper()
		if got := auth.ValidToken(token); got != want {
			t.Errorf("ValidToken(%q) = %v, want %v", token, got, want)
		}
	}
	f(strings.Repeat("a", 15), false)
	f(strings.Repeat("a", 16), true)
	f(strings.Repeat("Z", 128), true)
	f(strings.Repeat("a", 129), false)
	f("abcdefgh-_012345", true)
	f("abcdefgh/_012345", false)
	f("abcdefgh%_012345", false)
	f("abcdefgh\x00_012345", false)
	f("abcdefghé_012345", false)
	f("", false)
}

func TestDigest_KeepsItsTextForm(t *testing.T) {
	d := auth.Hash("x")
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	want := `"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("digest (-want +got):\n%s", diff)
	}
	var back auth.Digest
	if err := json.Unmarshal(text, &back); err != nil || back != d {
		t.Errorf("read back %v, %v", back, err)
	}
	for _, bad := range []string{`"00"`, `"` + strings.Repeat("z", 64) + `"`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was read as a digest", bad)
		}
	}
}

func TestSealer_OpensWithTheSameKeyForTheSameOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "master.key")
	first, err := auth.OpenSealer(path, "", false)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v, want 0600", info.Mode(), err)
	}
	sealed := first.Seal("org1", marker)
	if bytes.Contains(sealed, []byte(marker)) {
		t.Error("the secret is readable in its sealed form")
	}
	if bytes.Equal(sealed, first.Seal("org1", marker)) {
		t.Error("sealing twice gave the same bytes")
	}
	again, err := auth.OpenSealer(path, "", true)
	if err != nil {
		t.Fatal(err)
	}
	got, err := again.Open("org1", sealed)
	if err != nil || got.Reveal() != marker {
		t.Errorf("opened %q, %v", got.Reveal(), err)
	}
	if _, err := again.Open("org2", sealed); err == nil {
		t.Error("another owner could open it")
	}
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if _, err := again.Open("org1", damaged); err == nil {
			t.Errorf("opened with byte %d changed", i)
		}
		if _, err := again.Open("org1", sealed[:i]); err == nil {
			t.Errorf("opened when cut at %d", i)
		}
	}
}

func TestOpenSealer_RefusesWhatCannotBeRight(t *testing.T) {
	dir := t.TempDir()
	if _, err := auth.OpenSealer(filepath.Join(dir, "none"), "", true); !errors.Is(err, auth.ErrNoMasterKey) {
		t.Errorf("missing key with sealed secrets: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("a key was made although sealed secrets exist")
	}
	open := filepath.Join(dir, "open")
	os.WriteFile(open, []byte(strings.Repeat("ab", 32)), 0o644)
	if _, err := auth.OpenSealer(open, "", true); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("key readable by others: %v", err)
	}
	short := filepath.Join(dir, "short")
	os.WriteFile(short, []byte(marker), 0o600)
	for _, value := range []auth.Secret{"", marker} {
		_, err := auth.OpenSealer(short, value, false)
		if err == nil || strings.Contains(err.Error(), marker) {
			t.Errorf("bad key: %v", err)
		}
	}
}

func TestOpenSealer_TakesTheKeyFromTheEnvironmentInEitherForm(t *testing.T) {
	hexKey, base64Key := auth.Secret(strings.Repeat("00", 32)), auth.Secret(strings.Repeat("A", 43)+"=\n")
	a, err := auth.OpenSealer("/nonexistent/x", hexKey, true)
	if err != nil {
		t.Fatal(err)
	}
	b, err := auth.OpenSealer("/nonexistent/x", base64Key, true)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Open("o", a.Seal("o", marker)); err != nil || got != marker {
		t.Errorf("the two forms are different keys: %v", err)
	}
}

func TestPrincipal_Allows(t *testing.T) {
	f := func(has string, asked auth.Scope, want bool) {
		t.Helper()
		p := auth.Principal{Scopes: strings.Fields(has)}
		if got := p.Allows(asked); got != want {
			t.Errorf("%q allows %q: %v, want %v", has, asked, got, want)
		}
	}
	f("", auth.ChangesRead, false)
	f("changes:read", auth.ChangesRead, true)
	f("changes:read", auth.ChangesWrite, false)
	f("api", auth.ChangesWrite, true)
	f("api", auth.AuditRead, true)
	f("api", auth.SourcesAdmin, false)
	f("api", auth.KeysAdmin, false)
	f("api", auth.Admin, false)
	f("api keys:admin", auth.KeysAdmin, true)
	for _, s := range auth.Scopes() {
		f("admin", s, true)
	}
}

func TestPrincipalFrom_IsEmptyWithoutOne(t *testing.T) {
	ctx := context.Background()
	if _, ok := auth.PrincipalFrom(ctx); ok || auth.Org(ctx) != "" {
		t.Error("a bare context has a principal")
	}
	ctx = auth.WithPrincipal(ctx, auth.Principal{Org: "o"})
	if p, ok := auth.PrincipalFrom(ctx); !ok || p.Org != "o" || auth.Org(ctx) != "o" {
		t.Errorf("got %+v, %v", p, ok)
	}
}
