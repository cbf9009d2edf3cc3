package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
)

// LoadConfig says what the generator sends. A fault may change it in Prepare.
type LoadConfig struct {
	URL        string  `json:"url"`
	GitHubPath string  `json:"github_path"` // of a source that checks signatures
	Secret     string  `json:"secret"`      // of these signatures
	PlainPath  string  `json:"plain_path"`  // of a source that takes all
	Rate       float64 `json:"rate"`        // requests a second, whether answers come or not
	InFlight   int     `json:"in_flight"`   // at most; beyond it requests are not sent
	Repeats    float64 `json:"repeats"`     // the share of requests that were sent before
	Poison     float64 `json:"poison"`      // the share that carries poisonMark
	Large      float64 `json:"large"`       // the share with large bodies
	LargeBytes int     `json:"large_bytes"` // how large these are at most
	Months     int     `json:"months"`      // over which the times of plain requests are spread; beyond 12, of keyed ones too
	Seed       uint64  `json:"seed"`
	First      int64   `json:"first"`   // the number of the first request
	Journal    string  `json:"journal"` // file
	Began      int64   `json:"began"`   // of the round, in nanoseconds of the machine's own clock
}

// Kinds of requests.
const (
	kindPush   = "push"   // GitHub's, signed, with a delivery id
	kindKeyed  = "keyed"  // JSON with an Idempotency-Key
	kindPlain  = "plain"  // JSON that names itself in no way: two of them are two facts
	kindPoison = "poison" // JSON with what breaks a normalizer or an insert
)

// poisonMark is what failpoints look for in a body.
const poisonMark = "poisoned-by-chaos"

const answerLimit = 15 * time.Second

// generator sends requests and keeps the journal.
type generator struct {
	LoadConfig
	journal *journal
	client  *http.Client
	rand    *rand.Rand
	next    int64
	facts   []fact // lately sent, to be repeated
	slots   chan struct{}
	wg      sync.WaitGroup

	mu  sync.Mutex
	err error // the first failure of our own
}

// fact is what a request says.
type fact struct {
	number int64
	kind   string
}

// runLoad sends until ctx ends or in is closed, and then waits for the last
// answers. Requests go out at the configured rate whatever becomes of them.
func runLoad(ctx context.Context, cfg LoadConfig) error {
	j, err := createJournal(cfg.Journal)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		MaxIdleConns:        cfg.InFlight,
		MaxIdleConnsPerHost: cfg.InFlight,
		IdleConnTimeout:     30 * time.Second,
	}
	defer transport.CloseIdleConnections()
	g := &generator{
		LoadConfig: cfg, journal: j, next: cfg.First,
		client: &http.Client{Transport: transport, Timeout: answerLimit},
		rand:   rand.New(rand.NewPCG(cfg.Seed, uint64(cfg.First))),
		slots:  make(chan struct{}, cfg.InFlight),
	}
	g.run(ctx)
	g.wg.Wait()
	return errors.Join(g.failure(), j.close())
}

func (g *generator) run(ctx context.Context) {
	every := time.Duration(float64(time.Second) / g.Rate)
	for due := time.Now(); ctx.Err() == nil && g.failure() == nil; due = due.Add(every) {
		if wait := time.Until(due); wait > 0 {
			if pause(ctx, wait) != nil {
				return
			}
		}
		f := g.choose()
		id := g.next
		g.next++
		select {
		case g.slots <- struct{}{}:
		default:
			continue // all wait for answers; what is not sent is not promised
		}
		g.wg.Go(func() {
			defer func() { <-g.slots }()
			if err := g.send(id, f); err != nil {
				g.fail(err)
			}
		})
	}
}

func (g *generator) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
}

func (g *generator) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// choose decides what the next request says.
func (g *generator) choose() fact {
	if len(g.facts) > 0 && g.rand.Float64() < g.Repeats {
		return g.facts[g.rand.IntN(len(g.facts))]
	}
	f := fact{number: g.next}
	switch p := g.rand.Float64(); {
	case p < g.Poison:
		f.kind = kindPoison
	case p < g.Poison+(1-g.Poison)*0.6:
		f.kind = kindPush
	case p < g.Poison+(1-g.Poison)*0.85:
		f.kind = kindKeyed
	default:
		f.kind = kindPlain
	}
	if f.kind == kindPush || f.kind == kindKeyed {
		const remembered = 2000
		if len(g.facts) < remembered {
			g.facts = append(g.facts, f)
		} else {
			g.facts[g.rand.IntN(remembered)] = f
		}
	}
	return f
}

// send sends one request and writes down what became of it.
func (g *generator) send(id int64, f fact) error {
	body := g.body(f)
	hash := sha256.Sum256(body)
	header, identity := g.header(f, body)
	path := g.PlainPath
	if f.kind == kindPush {
		path = g.GitHubPath
	}
	req, err := http.NewRequest(http.MethodPost, g.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header
	req.GetBody = nil // else net/http may send it again by itself, and report of the second try only
	sent := entry{
		State: stateSent, ID: id, At: g.now(), Fact: f.number, Kind: f.kind, Identity: identity, Hash: hex.EncodeToString(hash[:]),
	}
	if err := g.journal.write(&sent); err != nil {
		return err
	}
	resp, err := g.client.Do(req)
	answer := entry{ID: id}
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
	}
	answer.At = g.now()
	var op *net.OpError
	switch {
	case err == nil && resp.StatusCode/100 == 2:
		answer.State, answer.Status, answer.Delivery = stateOK, resp.StatusCode, gjson.GetBytes(text, "data.delivery_id").String()
	case err == nil:
		answer.State, answer.Status, answer.Why = stateRefused, resp.StatusCode, gjson.GetBytes(text, "reason").String()
	case errors.As(err, &op) && op.Op == "dial":
		answer.State, answer.Why = stateRefused, "dial" // never sent
	default:
		answer.State, answer.Why = stateUnknown, strings.ReplaceAll(err.Error(), g.URL, "")
	}
	return g.journal.write(&answer)
}

// now is on the clock that all generators of a round share and nobody moves.
func (g *generator) now() int64 { return (monotonic() - g.Began) / 1000 }

// header makes the request's header, and the identity that it gives to it.
func (g *generator) header(f fact, body []byte) (h http.Header, identity string) {
	h = http.Header{"Content-Type": {"application/json"}, "User-Agent": {"chaos"}}
	switch f.kind {
	case kindPush:
		id := deliveryID(g.Seed, f.number)
		mac := hmac.New(sha256.New, []byte(g.Secret))
		mac.Write(body)
		h.Set("X-GitHub-Event", "push")
		h.Set("X-GitHub-Delivery", id)
		h.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		h.Set("User-Agent", "GitHub-Hookshot/chaos")
		return h, "github:" + id
	case kindKeyed:
		key := fmt.Sprintf("chaos-%d-%d", g.Seed, f.number)
		h.Set("Idempotency-Key", key)
		return h, "key:" + key
	default:
		return h, ""
	}
}

func deliveryID(seed uint64, number int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "delivery/%d/%d", seed, number))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// mark is what a fact's change must show: the commit of a push, a word in the
// summary of all else.
func mark(seed uint64, number int64, kind string) string {
	if kind == kindPush {
		sum := sha1.Sum(fmt.Appendf(nil, "commit/%d/%d", seed, number))
		return hex.EncodeToString(sum[:])
	}
	return fmt.Sprintf("chaos-%d-%d", seed, number)
}

// body makes the body of a fact, the same each time.
func (c *LoadConfig) body(f fact) []byte {
	seed := c.Seed
	rng := rand.New(rand.NewPCG(seed, uint64(f.number)))
	filler := 40 + rng.IntN(1500)
	if rng.Float64() < c.Large {
		filler = c.LargeBytes/10 + rng.IntN(c.LargeBytes*9/10)
	}
	text := make([]byte, filler) // compresses little: what is written counts
	for i := 0; i < len(text); i += 8 {
		for j, bits := i, rng.Uint64(); j < min(i+8, len(text)); j, bits = j+1, bits>>8 {
			text[j] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789  "[bits&63]
		}
	}
	var doc any
	if f.kind == kindPush {
		doc = pushBody(mark(seed, f.number, kindPush), mark(seed, f.number-1, kindPush), string(text), day(rng.IntN(c.Months)), rng)
	} else {
		title := "Deploy " + mark(seed, f.number, f.kind)
		if f.kind == kindPoison {
			title += " " + poisonMark
		}
		body := map[string]any{
			"title": title, "author": fmt.Sprintf("dev-%d", rng.IntN(20)),
			"environment": []string{"production", "staging"}[rng.IntN(2)], "version": fmt.Sprintf("v1.%d.%d", rng.IntN(50), rng.IntN(50)),
			"description": string(text),
		}
		// A repeat of what names no time must find its first delivery's: most keyed ones do not.
		if f.kind == kindPlain || c.Months > 12 {
			body["occurred_at"] = day(rng.IntN(c.Months))
		}
		doc = body
	}
	out, err := json.Marshal(doc)
	if err != nil {
		panic(err) // a value made here
	}
	return out
}

// day returns a day of a month since 2024.
func day(month int) string {
	return time.Date(2024, time.Month(1+month), 2, 10, 0, 0, 0, time.UTC).Format(time.RFC3339)
}

func pushBody(after, before, text, at string, rng *rand.Rand) any {
	repo := fmt.Sprintf("service-%d", rng.IntN(30))
	who := map[string]any{"name": fmt.Sprintf("dev-%d", rng.IntN(20)), "email": "dev@example.com", "username": "dev"}
	commit := map[string]any{
		"id": after, "message": "Change " + after[:10] + "\n\n" + text, "timestamp": at,
		"url": "https://github.com/acme/" + repo + "/commit/" + after, "author": who, "committer": who,
		"added": []string{}, "removed": []string{}, "modified": []string{"main.go"},
	}
	return map[string]any{
		"ref": "refs/heads/main", "before": before, "after": after, "created": false, "deleted": false, "forced": false,
		"compare": "https://github.com/acme/" + repo + "/compare/" + before[:12] + "..." + after[:12],
		"commits": []any{commit}, "head_commit": commit,
		"repository": map[string]any{
			"id": 1, "name": repo, "full_name": "acme/" + repo, "html_url": "https://github.com/acme/" + repo,
			"owner": map[string]any{"name": "acme", "login": "acme"}, "default_branch": "main",
		},
		"pusher": map[string]any{"name": "dev", "email": "dev@example.com"},
		"sender": map[string]any{"login": "dev", "id": 1, "type": "User"},
	}
}
