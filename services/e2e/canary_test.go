package e2e_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// canaries are the secrets of a test, by what they are. Each is found wherever
// it appears.
type canaries map[string]string

func (c canaries) sing(what string) string {
	c[what] = rand.Text()
	return c[what]
}

// in returns which of them are in a text.
func (c canaries) in(text string) (found []string) {
	for what, word := range c {
		if strings.Contains(text, word) {
			found = append(found, what)
		}
	}
	slices.Sort(found)
	return found
}

// TestCanaries_NoSecretLeaves gives the running program every secret that it
// can be given, by every way, in good requests and bad ones and at the most
// talkative log level, and looks for them in all that it says and writes: its
// log, its metrics, its answers, what the commands print, every file of the bus
// and of ClickHouse, and every row. What is shown once, to whom it was made for,
// is looked for in everything else.
// A28 too: a secret in a query is nowhere.
func TestCanaries_NoSecretLeaves(t *testing.T) {
	secrets := canaries{}
	apiKey := "wc_live_" + secrets.sing("the first API key")
	hook := "wct_" + secrets.sing("the first webhook token")
	master := make([]byte, 32)
	_, _ = rand.Read(master)
	secrets["the master key"] = hex.EncodeToString(master)
	settings := []string{
		"WHATCHANGED_BOOTSTRAP_API_KEY=" + apiKey, "WHATCHANGED_BOOTSTRAP_TOKEN=" + hook,
		"WHATCHANGED_MASTER_KEY=" + secrets["the master key"],
		"WHATCHANGED_OIDC_ISSUER=https://127.0.0.1:1", "WHATCHANGED_OIDC_CLIENT_ID=wc",
		"WHATCHANGED_OIDC_CLIENT_SECRET=" + secrets.sing("the client secret"), "WHATCHANGED_OIDC_DOMAINS=acme.example",
		"WHATCHANGED_LOG_LEVEL=debug", "WHATCHANGED_RECEIVER_FAILURE_RATE=1000", "WHATCHANGED_API_FAILURE_RATE=1000",
	}
	e := startEdge(t, settings...)
	heard := map[string]string{} // what was said, by who asked
	hear := func(what string, a said) said {
		heard[what] += fmt.Sprintln(a, a.header)
		return a
	}
	call := func(method, path, body string, headers ...string) said {
		return hear(method+" "+strings.SplitN(path, "?", 2)[0], e.call(method, path, body, headers...))
	}
	once := func(path, body string) map[string]any { // the answer is for the one who asked
		t.Helper()
		got := e.call("POST", path, body, "Content-Type: application/json")
		var made struct{ Data map[string]any }
		if err := json.Unmarshal([]byte(got.body), &made); got.status != http.StatusCreated || err != nil {
			t.Fatalf("POST %s: %v", path, got)
		}
		return made.Data
	}

	// Sources of every kind, each with a secret and a token.
	const control = "CONTROLq8Zt4LxW" // is no secret, and must be found
	for _, s := range []map[string]any{
		{"auth": "none", "secret_header": "X-Our-Secret"},
		{"auth": "github_hmac"},
		{"auth": "gitlab_token", "provider": "gitlab"},
		{"auth": "hmac", "provider": "gitea"},
		{"auth": "token"},
		{"auth": "token", "secret_header": "X-Amz-Firehose-Access-Key"},
		{"auth": "basic"},
	} {
		kind := fmt.Sprint(s["auth"], s["secret_header"])
		s["name"] = control + " " + kind
		secret := secrets.sing("the secret of " + kind)
		given := secret
		if s["auth"] == "basic" {
			given = "user:" + secret
		}
		if s["auth"] != "none" {
			s["secrets"] = []string{given}
		}
		body, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		made := once("/api/v1/sources", string(body))
		path := strings.TrimPrefix(fmt.Sprint(made["webhook_url"]), "http://"+e.addr)
		secrets["the token of "+kind] = path[strings.LastIndexByte(path, '/')+1:]
		basic := base64.StdEncoding.EncodeToString([]byte("user:" + secret))
		secrets["the Basic header of "+kind] = basic
		payload := `{"repository":{"full_name":"acme/` + control + `"},"ref":"refs/heads/main"}`
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(payload))
		sum := hex.EncodeToString(mac.Sum(nil))
		accepted := 0
		for _, header := range []string{
			"X-None: 1", "Authorization: Bearer " + secret, "Authorization: Basic " + basic, "Authorization: " + secret,
			"X-Gitlab-Token: " + secret, "X-Amz-Firehose-Access-Key: " + secret, "X-Our-Secret: " + secret, "Cookie: session=" + secret,
			"Proxy-Authorization: Basic " + basic, "X-Hub-Signature-256: sha256=" + sum, "X-Gitea-Signature: " + sum,
			"X-Original-Url: https://proxy.example" + path, "Referer: http://x" + path,
		} {
			for _, body := range []string{payload, "{", ""} {
				if strings.HasPrefix(header, "X-Hub-") || strings.HasPrefix(header, "X-Gitea-") || strings.HasPrefix(header, "X-None") || strings.HasPrefix(header, "Authorization") ||
					s["auth"] == "none" || s["secret_header"] != nil || s["auth"] == "gitlab_token" {
					got := hear("webhook of "+kind, e.call("POST", path, body, "Authorization: none", header, "X-Github-Event: push", "X-Kept: "+control))
					if strings.HasPrefix(header, "Authorization") {
						got = hear("webhook of "+kind, e.call("POST", path, body, header, "X-Github-Event: push", "X-Kept: "+control))
					}
					if got.status == http.StatusOK {
						accepted++
					}
				}
			}
		}
		if accepted == 0 {
			t.Errorf("%s: nothing was accepted, so nothing was shown", kind)
		}
		hear("webhook of "+kind, e.call("GET", path+"?secret="+secret, ""))
		hear("webhook of "+kind, e.call("POST", path+"/"+secret+"?token="+secret, "{}"))
		id := fmt.Sprint(made["id"])
		call("GET", "/api/v1/sources/"+id, "")
		call("PATCH", "/api/v1/sources/"+id, `{"name":"`+control+`2"}`, "Content-Type: application/json")
		call("PATCH", "/api/v1/sources/"+id, `{"secrets":["`+secret+`"],"auth":"`+secret+`"}`, "Content-Type: application/json")
	}

	// Keys and sessions, good and bad.
	key := once("/api/v1/keys", `{"name":"`+control+`","scopes":["changes:read"]}`)
	for name, value := range key {
		if text, ok := value.(string); ok && strings.HasPrefix(text, "wc_live_") {
			secrets["a key: "+name] = text
		}
	}
	signed := e.call("POST", "/api/v1/session", "")
	cookies := (&http.Response{Header: signed.header}).Cookies()
	if signed.status != http.StatusCreated || len(cookies) != 1 {
		t.Fatalf("sign in: %v", signed)
	}
	secrets["a session's cookie"] = cookies[0].Value
	browse := []string{"Authorization: ", "Cookie: " + cookies[0].Name + "=" + cookies[0].Value}
	wrong := secrets.sing("a wrong key")
	for _, path := range []string{
		"/api/v1/changes", "/api/v1/sources", "/api/v1/keys", "/api/v1/sessions", "/api/v1/session", "/api/v1/deliveries", "/api/v1/dead",
		"/api/v1/audit-events", "/api/v1/logs/user/actions", "/api/v1/logs/user/tokens", "/api/v1/account", "/metrics", "/openapi.json", "/readyz", "/api/v1/stats",
		"/auth/login", "/auth/callback", "/api/v1/changes/export",
	} {
		call("GET", path, "")
		call("GET", path, "", browse...)
		call("GET", path, "", browse[1])
		call("GET", path, "", "Authorization: Bearer "+wrong)
		call("GET", path, "", "Authorization: Basic "+wrong)
		call("GET", path, "", "Authorization: "+wrong, "Cookie: "+cookies[0].Name+"="+wrong)
		call("GET", path+"?key="+wrong+"&code="+wrong+"&state="+wrong, "")
		call("POST", path, `{"summary":5,"auth":"`+wrong+`","name":7}`, "Content-Type: application/json", "Authorization: Bearer "+wrong)
		for _, a := range e.raw(head("GET", path, "Content-Length: x\r\n", "Authorization: Bearer "+wrong), 1) {
			hear("bad framing", a)
		}
	}
	call("POST", "/api/v1/changes", `{"summary":"`+control+`"}`, "Content-Type: application/json", "Proxy-Authorization: Basic "+wrong)
	call("DELETE", "/api/v1/session", "", append(browse, "Origin: http://"+e.addr)...)
	call("GET", "/api/v1/session", "", browse...)

	// What came of the deliveries, once all of them are stored.
	e.until("the deliveries to be stored", func() error {
		got := e.call("GET", "/api/v1/account", "")
		if !strings.Contains(got.body, `"in_flight":0`) || strings.Contains(got.body, `"received":0,`) {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	var list struct{ Data []struct{ ID string } }
	if err := json.Unmarshal([]byte(call("GET", "/api/v1/deliveries?limit=100", "").body), &list); err != nil || len(list.Data) == 0 {
		t.Fatalf("%d deliveries, %v", len(list.Data), err)
	}
	for _, d := range list.Data {
		call("GET", "/api/v1/deliveries/"+d.ID, "")
		call("GET", "/api/v1/deliveries/"+d.ID+"/payload", "")
	}
	for _, args := range [][]string{
		{"sources"}, {"keys"}, {"changes"}, {"deliveries"}, {"doctor"}, {"audit"}, {"serve", "--dump"}, {"serve", "--listen", "nowhere"},
	} {
		cmd := exec.Command(binary, args...)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "WHATCHANGED_URL=http://"+e.addr, "WHATCHANGED_KEY="+apiKey)
		if args[0] == "serve" {
			cmd.Env = append(os.Environ(), settings...)
		}
		out, _ := cmd.CombinedOutput() // an error has its text too
		heard["whatchanged "+strings.Join(args, " ")] = string(out)
	}
	e.unharmed()
	e.stop()

	heard["the log"] = e.log()
	if !strings.Contains(heard["the log"], "delivery refused") || !strings.Contains(heard["the log"], "key used") {
		t.Error("the log is not at its most talkative")
	}
	for what, text := range heard {
		for _, secret := range secrets.in(text) {
			t.Errorf("%s: in %s", secret, what)
		}
	}
	rows := e.rows()
	if !strings.Contains(rows, control) || !strings.Contains(rows, `X-Kept`) {
		t.Error("the rows do not have what they must have")
	}
	for _, secret := range secrets.in(rows) {
		t.Errorf("%s: in a row of ClickHouse", secret)
	}
	boot := filepath.Join(e.dir, "bootstrap.json") // has the first key and token, for the owner alone
	if info, err := os.Stat(boot); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", boot, info, err)
	}
	if err := os.Remove(boot); err != nil {
		t.Fatal(err)
	}
	words := map[string]string{"control": control}
	maps.Copy(words, secrets)
	found, read, err := find(e.dir, words)
	if err != nil {
		t.Fatal(err)
	}
	controls := 0
	for _, f := range found {
		if strings.HasPrefix(f, "control in ") {
			controls++
		} else {
			t.Error(f)
		}
	}
	if controls == 0 {
		t.Errorf("the control was found %d times in %d bytes", controls, read)
	}
}

// rows returns all that is in ClickHouse, when the program has ended.
func (e *edge) rows() string {
	e.t.Helper()
	cmd := exec.Command(binary, "clickhouse", "--data-dir", e.dir, "--listen", e.addr)
	cmd.Env = os.Environ()
	if err := cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}()
	ask := func(query string) (string, error) {
		res, err := (&http.Client{Timeout: patience}).Post("http://"+e.addr+"/", "text/plain", bytes.NewReader([]byte(query)))
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusOK {
			return "", fmt.Errorf("%s: %s %s", query, res.Status, text)
		}
		return string(text), err
	}
	var tables string
	e.until("the engine", func() (err error) {
		tables, err = ask("SELECT name FROM system.tables WHERE database = 'whatchanged' FORMAT TSV")
		return err
	})
	var all strings.Builder
	for table := range strings.FieldsSeq(tables) {
		text, err := ask("SELECT * FROM whatchanged." + strconv.Quote(table) + " FORMAT JSONEachRow")
		if err != nil {
			e.t.Error(err)
		}
		all.WriteString(text)
	}
	return all.String()
}
