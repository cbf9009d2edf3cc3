package e2e_test

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// source makes a source with the settings of a JSON object and sets a variable
// to its webhook URL: source NAME '{"provider": "gitea", ...}'.
func source(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: source NAME SETTINGS")
	}
	var settings map[string]any
	ts.Check(json.Unmarshal([]byte(args[1]), &settings))
	settings["name"] = args[0]
	body, err := json.Marshal(settings)
	ts.Check(err)
	req, err := http.NewRequest(http.MethodPost, ts.Getenv("WHATCHANGED_URL")+"/api/v1/sources", bytes.NewReader(body))
	ts.Check(err)
	req.Header = http.Header{"Authorization": {"Bearer " + ts.Getenv("WHATCHANGED_KEY")}, "Content-Type": {"application/json"}}
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	ts.Check(err)
	var made struct {
		Data struct {
			WebhookURL   string `json:"webhook_url"`
			IncidentsURL string `json:"incidents_url"`
		}
	}
	if err := json.Unmarshal(text, &made); err != nil || made.Data.WebhookURL == "" {
		ts.Fatalf("source %s: %s: %s", args[0], res.Status, text)
	}
	ts.Setenv(args[0], made.Data.WebhookURL)
	ts.Setenv(args[0]+"_INCIDENTS", made.Data.IncidentsURL)
}

// usageDeliver is how a script delivers.
const usageDeliver = `deliver [FLAG...] FILE [URL or @FILE]
  -H 'Name: value'           set a header; without a value, remove it
  -X METHOD                  instead of POST
  -form                      as the payload of a form
  -gzip                      compressed
  -secret S                  signed as GitHub signs
  -hmac S 'Name: prefix'     signed with HMAC-SHA256, in hex behind the prefix
  -hmac512 S 'Name: prefix'  the same with SHA-512
  -webhook S ID              signed as Standard Webhooks are`

// deliver sends a file to a webhook URL, and keeps the answer.
func deliver(ts *testscript.TestScript, _ bool, args []string) {
	method, header := http.MethodPost, http.Header{"Content-Type": {"application/json"}}
	form, zipped := false, false
	var sign []func(body []byte)
	byHMAC := func(newHash func() hash.Hash, secret, field string) func([]byte) {
		name, prefix, ok := strings.Cut(field, ":")
		if !ok {
			ts.Fatalf("%s", usageDeliver)
		}
		return func(body []byte) {
			header.Set(name, strings.TrimSpace(prefix)+hex.EncodeToString(sum(newHash, secret, body)))
		}
	}
	take := func(n int) []string {
		if len(args) < n+1 {
			ts.Fatalf("%s", usageDeliver)
		}
		taken := args[1 : n+1]
		args = args[n+1:]
		return taken
	}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-H":
			name, value, ok := strings.Cut(take(1)[0], ":")
			if !ok {
				ts.Fatalf("%s", usageDeliver)
			}
			if header.Del(name); value != "" {
				header.Set(name, strings.TrimSpace(value))
			}
		case "-X":
			method = take(1)[0]
		case "-form":
			take(0)
			form = true
		case "-gzip":
			take(0)
			zipped = true
		case "-secret":
			sign = append(sign, byHMAC(sha256.New, take(1)[0], "X-Hub-Signature-256: sha256="))
		case "-hmac":
			two := take(2)
			sign = append(sign, byHMAC(sha256.New, two[0], two[1]))
		case "-hmac512":
			two := take(2)
			sign = append(sign, byHMAC(sha512.New, two[0], two[1]))
		case "-webhook":
			two := take(2)
			sign = append(sign, func(body []byte) { standardWebhook(ts, header, two[0], two[1], body) })
		default:
			ts.Fatalf("%s", usageDeliver)
		}
	}
	to := ts.Getenv("WEBHOOK")
	switch len(args) {
	case 1:
	case 2:
		if file, ok := strings.CutPrefix(args[1], "@"); ok {
			args[1] = ts.ReadFile(file)
		}
		to = args[1]
	default:
		ts.Fatalf("%s", usageDeliver)
	}
	body := fill(ts, ts.ReadFile(args[0]))
	if form {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
		body = []byte("payload=" + url.QueryEscape(string(body)))
	}
	if zipped {
		header.Set("Content-Encoding", "gzip")
		body = compress(ts, body)
	}
	for _, f := range sign { // what is sent is what is signed
		f(body)
	}
	send(ts, method, strings.TrimSpace(to), header, body)
}

// send keeps the answer for status, header and answer.
func send(ts *testscript.TestScript, method, to string, header http.Header, body []byte) {
	req, err := http.NewRequest(method, to, bytes.NewReader(body))
	ts.Check(err)
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	ts.Check(err)
	s := last(ts)
	s.status, s.header, s.body = res.StatusCode, res.Header, string(text)
}

func sum(newHash func() hash.Hash, secret string, parts ...[]byte) []byte {
	mac := hmac.New(newHash, []byte(secret))
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

func standardWebhook(ts *testscript.TestScript, header http.Header, secret, id string, body []byte) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	ts.Check(err)
	now := strconv.FormatInt(time.Now().Unix(), 10)
	header.Set("webhook-id", id)
	header.Set("webhook-timestamp", now)
	header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(sum(sha256.New, string(key), []byte(id+"."+now+"."), body)))
}

// inlay is a place in a body for another file: @base64(FILE)@, or compressed
// before, @gzip64(FILE)@; as the text of a JSON string, @text(FILE)@; or for
// the time in milliseconds, @now@.
var inlay = regexp.MustCompile(`@(base64|gzip64|text)\(([^)]+)\)@|@now@`)

// fill puts the other files into a body.
func fill(ts *testscript.TestScript, text string) []byte {
	return inlay.ReplaceAllFunc([]byte(text), func(match []byte) []byte {
		parts := inlay.FindSubmatch(match)
		if parts[1] == nil {
			return strconv.AppendInt(nil, time.Now().UnixMilli(), 10)
		}
		inside := fill(ts, ts.ReadFile(string(parts[2])))
		switch string(parts[1]) {
		case "text":
			quoted, err := json.Marshal(string(inside))
			ts.Check(err)
			return quoted
		case "gzip64":
			inside = compress(ts, inside)
		}
		return []byte(base64.StdEncoding.EncodeToString(inside))
	})
}

func compress(ts *testscript.TestScript, b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	ts.Check(err)
	ts.Check(w.Close())
	return out.Bytes()
}

// status checks the status of the last answer.
func status(ts *testscript.TestScript, _ bool, args []string) {
	s := last(ts)
	if got := strconv.Itoa(s.status); len(args) != 1 || got != args[0] {
		ts.Fatalf("status %s, want %v\n%s", got, args, s.body)
	}
}

// header checks that a header of the last answer matches a regular expression.
func header(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: header NAME REGEXP")
	}
	if got := last(ts).header.Get(args[0]); regexp.MustCompile(args[1]).MatchString(got) == neg {
		ts.Fatalf("%s is %q", args[0], got)
	}
}

// answer checks that the last answer matches a regular expression.
func answer(ts *testscript.TestScript, neg bool, args []string) {
	body := last(ts).body
	if len(args) != 1 || regexp.MustCompile(args[0]).MatchString(body) == neg {
		ts.Fatalf("the answer is %s", body)
	}
}
