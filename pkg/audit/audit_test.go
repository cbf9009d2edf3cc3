package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/problem"
)

var update = flag.Bool("update", false, "rewrite golden files")

// stream is a publisher whose stream can be away.
type stream struct {
	mu      sync.Mutex
	away    bool
	slow    time.Duration
	frames  int
	records []json.RawMessage
}

func (s *stream) PublishAudit(ctx context.Context, _, _ string, records []json.RawMessage) error {
	time.Sleep(s.slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errors.New("away")
	}
	s.frames++
	s.records = append(s.records, records...)
	return nil
}

func (s *stream) set(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *stream) has() (frames, records int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frames, len(s.records)
}

// outcomes lists what the events that are on the stream say, in order.
func (s *stream) outcomes(t *testing.T) []string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, raw := range s.records {
		var e audit.Event
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s %s %d", e.Description, e.Outcome, e.Version))
	}
	return all
}

// run runs a recorder, and returns it and what stops it.
func run(t *testing.T, s *stream, limits audit.Limits) (*audit.Recorder, func() error) {
	t.Helper()
	r := audit.NewRecorder(s, limits, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	var once sync.Once
	var err error
	stop := func() error {
		once.Do(func() {
			cancel()
			err = <-ended
		})
		return err
	}
	t.Cleanup(func() { stop() })
	return r, stop
}

func service(name string) audit.Change {
	return audit.Change{Org: "acme", Operation: audit.OpCreate, Object: audit.Object{Kind: "service", ID: "svc_1", Name: name}}
}

func use() audit.Use {
	return audit.NewUse(auth.Principal{Org: "acme", KeyID: "key_1"}, "GET", "/api/v1/changes", time.Now())
}

func TestBegin_RecordsBeforeAndSaysAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{}
		r, stop := run(t, s, audit.DefaultLimits())
		for _, c := range []struct {
			name string
			said audit.Outcome
		}{{"a", audit.Done}, {"b", audit.Withdrawn}, {"c", audit.Unknown}} {
			_, before := s.has()
			became, err := r.Begin(t.Context(), service(c.name))
			if err != nil {
				t.Fatal(err)
			}
			if _, now := s.has(); now != before+1 {
				t.Errorf("%s: %d records before it is done, want one", c.name, now-before)
			}
			became(c.said)
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"Created service 'a' unknown 1", "Created service 'a' done 2",
			"Created service 'b' unknown 1", "Created service 'b' withdrawn 2",
			"Created service 'c' unknown 1",
		}
		if diff := cmp.Diff(want, s.outcomes(t)); diff != "" {
			t.Errorf("on the stream (-want +got):\n%s", diff)
		}
	})
}

// What cannot be recorded is refused, and leaves nothing behind: it was not done.
func TestBegin_IsBusyWhileTheStreamIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{away: true}
		r, stop := run(t, s, audit.DefaultLimits())
		for _, name := range []string{"taken", "still waiting"} {
			_, err := r.Begin(t.Context(), service(name))
			if problem.KindOf(err) != problem.Busy {
				t.Errorf("%s: %v, want busy", name, err)
			}
		}
		s.set(false)
		if err := r.Record(t.Context(), service("later")); err != nil {
			t.Error(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		// The first was on its way when its caller gave up.
		want := []string{"Created service 'taken' unknown 1", "Created service 'taken' withdrawn 2", "Created service 'later' done 1"}
		if diff := cmp.Diff(want, s.outcomes(t)); diff != "" {
			t.Errorf("on the stream (-want +got):\n%s", diff)
		}
	})
}

// S2-17: what a key was used for is on disk before the call goes on.
func TestUsed_IsOnTheStreamWhenItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{slow: 5 * time.Millisecond}
		r, _ := run(t, s, audit.DefaultLimits())
		for want := range 10 {
			if err := r.Used(t.Context(), use()); err != nil {
				t.Fatal(err)
			}
			if _, records := s.has(); records != want+1 {
				t.Fatalf("%d uses on the stream after use %d", records, want+1)
			}
		}
	})
}

// A use that cannot be recorded is refused, whether it had room or not.
func TestUsed_IsBusyWhileTheStreamIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{away: true}
		limits := audit.DefaultLimits()
		limits.Waiting = 100
		limits.Room = limits.Answer / 2
		r, stop := run(t, s, limits)
		var waiting sync.WaitGroup
		for range limits.Waiting {
			waiting.Go(func() {
				began := time.Now()
				if err := r.Used(t.Context(), use()); problem.KindOf(err) != problem.Busy {
					t.Errorf("not acknowledged: %v, want busy", err)
				}
				if waited := time.Since(began); waited != limits.Answer {
					t.Errorf("it waited %s, want %s", waited, limits.Answer)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		if err := r.Used(t.Context(), use()); problem.KindOf(err) != problem.Busy {
			t.Errorf("one more than there is room for: %v, want busy", err)
		}
		if waited := time.Since(began); waited != limits.Room {
			t.Errorf("it waited for room %s, want %s", waited, limits.Room)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Used(gone, use()); problem.KindOf(err) != problem.Busy {
			t.Errorf("of a caller who has left: %v, want busy", err)
		}
		waiting.Wait()
		s.set(false)
		if err := r.Used(t.Context(), use()); err != nil {
			t.Errorf("with the stream back: %v", err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if err := r.Used(t.Context(), use()); problem.KindOf(err) != problem.Busy {
			t.Errorf("after the end: %v, want busy", err)
		}
	})
}

func TestUsed_ManyShareAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{slow: 5 * time.Millisecond}
		r, _ := run(t, s, audit.DefaultLimits())
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				if err := r.Used(t.Context(), use()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if frames, records := s.has(); records != 500 || frames > 3 {
			t.Errorf("%d uses in %d frames, want 500 in few", records, frames)
		}
	})
}

func TestRun_SaysWhatItCouldNotPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{away: true}
		limits := audit.DefaultLimits()
		limits.Stop = limits.Answer / 2
		r, stop := run(t, s, limits)
		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() {
				if err := r.Used(t.Context(), use()); problem.KindOf(err) != problem.Busy {
					t.Errorf("at the end: %v, want busy", err)
				}
			})
		}
		synctest.Wait()
		if err := stop(); err == nil || !strings.Contains(err.Error(), "3 audit records (use)") {
			t.Errorf("the end: %v", err)
		}
		waiting.Wait()
	})
}

func TestRecord_TellsNoValuesOfWhatNobodyRegistered(t *testing.T) {
	s := &stream{}
	r, _ := run(t, s, audit.DefaultLimits())
	c := audit.Change{
		Org: "acme", Operation: audit.OpUpdate, Object: audit.Object{Kind: "new_thing", ID: "thg_1"},
		Old: map[string]any{"name": "thing", "pin": "1234"}, New: map[string]any{"name": "thing", "pin": "5678"},
	}
	if err := r.Record(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Updated new thing 'thing': pin changed done 1"}, s.outcomes(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.Operation = "juggle"
	if err := r.Record(t.Context(), c); err == nil {
		t.Error("an operation that the kind does not have was recorded")
	}
}

// What is written as an update can be meant as more, and belongs to something.
func TestAs_NamesWhatIsMeant(t *testing.T) {
	s := &stream{}
	r, _ := run(t, s, audit.DefaultLimits())
	in := audit.Object{Kind: "pipeline", ID: "pip_1", Name: "p"}
	f := func(kind, meant, want string) {
		t.Helper()
		err := r.Record(audit.As(t.Context(), meant, in), audit.Change{
			Org: "acme", Operation: audit.OpUpdate, Object: audit.Object{Kind: kind, ID: "x", Name: "x"},
			Old: json.RawMessage(`{"name": "w"}`), New: json.RawMessage(`{"name": "x"}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		all := s.outcomes(t)
		if got := all[len(all)-1]; got != want+" done 1" {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f("key", "rotate", "Rotated API key 'x' for pipeline 'p': name changed from 'w' to 'x'")
	f("pipeline", "start", "Started pipeline 'x' for pipeline 'p'")
	f("pipeline_object", "start", "Updated pipeline object 'x' for pipeline 'p': name changed from 'w' to 'x'")
}

// S3-14, S3-16: old and new values in all their forms.
func TestRecord_DescribesValues(t *testing.T) {
	f := func(old, new, want string) {
		t.Helper()
		s := &stream{}
		r, _ := run(t, s, audit.DefaultLimits())
		err := r.Record(t.Context(), audit.Change{
			Org: "acme", Operation: audit.OpUpdate, Object: audit.Object{Kind: "source", ID: "src_1", Name: "x"},
			Old: json.RawMessage(old), New: json.RawMessage(new),
		})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if all := s.outcomes(t); len(all) > 0 {
			got = strings.TrimSuffix(strings.TrimPrefix(all[0], "Updated source 'x'"), " done 1")
		}
		if got != want {
			t.Errorf("%s to %s:\n%s\nwant\n%s", old, new, got, want)
		}
	}
	f(`{"topics": ["a"]}`, `{"topics": ["a", "b"]}`, ": topics changed from ['a'] to ['a', 'b']")
	f(`{}`, `{"disabled": true}`, ": disabled changed from 'false' to 'true'")
	f(`{"disabled": true}`, `{}`, ": disabled changed from 'true' to 'false'")
	f(`{"oidc": {"audience": "a"}}`, `{}`, `: oidc changed from {"audience":"a"} to ''`)
	f(`{"name": "a\nb"}`, `{"name": "b\u0007"}`, ": name changed from 'a b' to 'b '")
	f(`{"name": "a"}`, `{"name": "x' for y 'z\\"}`, `: name changed from 'a' to 'x\' for y \'z\\'`)
	f(`{"name": "a"}`, `{"name": "\u202etxt"}`, ": name changed from 'a' to ' txt'")
	f(`{"secrets": [1], "aws": {"region": "x"}}`, `{"secrets": [2], "aws": {"region": "y"}}`, ": secrets changed, aws changed")
	f(`{"provider": "`+strings.Repeat("a", 400)+`"}`, `{"provider": "b"}`, ": provider changed from '"+strings.Repeat("a", 300)+"...' to 'b'")
	// The program's own bookkeeping is nothing to tell of.
	f(`{"rotated_at": "x", "topics": []}`, `{"rotated_at": "y"}`, "")
}

// S2-37: the target is the relative URL.
func TestTarget_IsThePathBelowTheAPI(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		if got := audit.Target(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	f("/api/v1/logs/user/tokens", "/v1/logs/user/tokens")
	f("/api/v1/services/svc_1/", "/v1/services/svc_1")
	f("/metrics", "/metrics")
	f("", "/")
	f("/api/\xff", "/?")
	f("/"+strings.Repeat("a", 600), "/"+strings.Repeat("a", 511)+"...")
}

// S3-4, S3-35, S3-36: the document lists every type that is stored, with its actions, and what is not stored.
func TestDocs_ListWhatIsStored(t *testing.T) {
	const file, from, to = "../../docs/audit.md", "-update -->\n", "<!-- end -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), from)
	_, tail, found := strings.Cut(rest, to)
	if !ok || !found {
		t.Fatalf("%s: the table's place is not marked", file)
	}
	want := head + from + storedTable() + to + tail
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s (-want +got), -update rewrites it:\n%s", file, diff)
	}
	for _, want := range []string{"### What is not stored", "What is taken in", "up- and downloads in general"} {
		if !strings.Contains(tail, want) {
			t.Errorf("%s does not say %q", file, want)
		}
	}
}

func storedTable() string {
	var b strings.Builder
	b.WriteString("\n| object (`object_type`) | also called | what is stored | `type` and `action` of user actions |\n|---|---|---|---|\n")
	for _, k := range audit.Kinds() {
		var ops, words []string
		for _, o := range k.Operations {
			op := "`" + string(o.Action) + "`"
			if o.Name != string(o.Action) {
				op += ": " + strings.ReplaceAll(o.Name, "_", " ")
			}
			ops = append(ops, op)
			word := o.Name
			if o.Word != "" {
				word = o.Word
			}
			if quoted := "`" + word + "`"; len(words) == 0 || words[len(words)-1] != quoted {
				words = append(words, quoted)
			}
		}
		alias := ""
		if k.Alias != "" {
			alias = "`" + k.Alias + "`"
		}
		if of, ok := audit.Of(k.Parent); ok {
			k.Words += ", of a " + of.Words + ","
		}
		fmt.Fprintf(&b, "| %s (`%s`) | %s | %s | `%s`: %s |\n", k.Words, k.Name, alias, strings.Join(ops, ", "), k.Area, strings.Join(words, ", "))
	}
	return b.String() + "\n"
}
