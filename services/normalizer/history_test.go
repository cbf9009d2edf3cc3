package normalizer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
)

var noon = time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)

const (
	v1 = "1111111111111111111111111111111111111111"
	v2 = "2222222222222222222222222222222222222222"
)

// github delivers a deployment's status, or the deployment itself when state
// is empty.
func (p *pipeline) github(deployment int, sha, environment, state string, second int) change.DeliveryID {
	p.t.Helper()
	at := noon.Add(time.Duration(second) * time.Second).Format(time.RFC3339)
	body := fmt.Sprintf(`{"action":"created","deployment":{"id":%d,"sha":%q,"ref":"main","task":"deploy","environment":%q,
		"creator":{"login":"mona","id":1,"type":"User"},"created_at":%q,"updated_at":%q},
		"repository":{"id":7,"name":"shop","full_name":"acme/shop","html_url":"https://github.com/acme/shop"},
		"sender":{"login":"mona","id":1,"type":"User"}`, deployment, sha, environment, at, at)
	event := "deployment"
	if state != "" {
		event = "deployment_status"
		body += fmt.Sprintf(`,"deployment_status":{"id":%d,"state":%q,"environment":%q,"created_at":%q,"updated_at":%q}`,
			deployment*1000+second, state, environment, at, at)
	}
	return p.deliver(body+"}", "X-GitHub-Event", event, "X-GitHub-Delivery", fmt.Sprintf("%s-%d-%d", event, deployment, second))
}

// told is what a test looks at of a change.
func told(changes []change.Change) []string {
	var out []string
	for _, c := range changes {
		note := ""
		if _, from, ok := strings.Cut(c.Summary, " (rollback"); ok {
			note = ": rollback" + strings.TrimSuffix(from, ")")
		}
		out = append(out, fmt.Sprintf("%s %s%s", c.Type, c.Action, note))
	}
	return out
}

func TestRollback_AnOlderCommitDeployedAgain(t *testing.T) {
	p := start(t)
	run(t, p.service(p.store).Run)
	p.github(1, v1, "production", "", 1)
	p.github(1, v1, "production", "success", 2)
	p.github(2, v2, "production", "", 3)
	p.github(2, v2, "production", "success", 4)
	p.github(1, v1, "production", "inactive", 5)
	p.stored(5)
	p.github(3, v1, "production", "", 6) // within a second of its own end: not stored yet when that comes
	p.github(3, v1, "production", "in_progress", 7)
	p.github(3, v1, "production", "success", 8)
	got := p.stored(8)
	want := []string{
		"deployment deployment.created",
		"deployment deployment.succeeded",
		"deployment deployment.created",
		"deployment deployment.succeeded",
		"deployment deployment.inactive",
		"rollback deployment.created: rollback from 2222222",
		"rollback deployment.in_progress: rollback from 2222222",
		"rollback deployment.succeeded: rollback from 2222222",
	}
	if diff := cmp.Diff(want, told(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	begun, done := got[5], got[7]
	if begun.CorrelationID == "" || begun.CorrelationID != done.CorrelationID {
		t.Errorf("started and succeeded are not tied: %q and %q", begun.CorrelationID, done.CorrelationID)
	}
	if !strings.Contains(string(done.Metadata), `"rolled_back_from":"`+v2+`"`) {
		t.Errorf("metadata do not say what was rolled back: %s", done.Metadata)
	}
	if diff := cmp.Diff([]string{"production", "rollback"}, done.RiskHints); diff != "" || done.Risk != change.High {
		t.Errorf("risk %s, hints (-want +got):\n%s", done.Risk, diff)
	}
}

func TestRollback_EachEnvironmentHasItsOwnHistory(t *testing.T) {
	p := start(t)
	run(t, p.service(p.store).Run)
	p.github(1, v1, "staging", "success", 1)
	p.github(2, v1, "production", "success", 2)
	p.github(3, v2, "staging", "success", 3)
	p.github(4, v1, "production", "success", 4) // the same again
	p.github(5, v1, "qa", "success", 5)
	p.github(6, v1, "staging", "success", 6)
	var got []string
	for _, c := range p.stored(6) {
		got = append(got, string(c.Type)+" "+c.Environment)
	}
	want := []string{
		"deployment staging", "deployment production", "deployment staging", "deployment production", "deployment qa", "rollback staging",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whether the earlier deployments are found in the store or in memory, and
// however often a frame is handled, the answer is one.
func TestRollback_IsTheSameWhenItIsDoneAgain(t *testing.T) {
	p := start(t)
	stop := run(t, p.service(p.store).Run)
	for i, sha := range []string{v1, v2, v1, v2, v2} {
		p.github(i+1, sha, "production", "success", i+1)
	}
	first := p.stored(5)
	want := []string{"deployment", "deployment", "rollback", "rollback", "deployment"}
	var got []string
	for _, c := range first {
		got = append(got, string(c.Type))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	stop()

	// A normalizer that has just been started takes the same frames once more.
	frames := p.frames()
	if err := p.service(p.store).Handle(t.Context(), frames); err != nil {
		t.Fatal(err)
	}
	p.caughtUp()
	if diff := cmp.Diff(first, p.changes()); diff != "" {
		t.Errorf("handled again (-first +second):\n%s", diff)
	}
}

// What the normalizer knows of earlier deployments, it may not know at all.
type unreachable struct {
	*store.Store
	err   error
	down  atomic.Bool
	asked atomic.Int32
}

func (u *unreachable) Before(ctx context.Context, d []store.Deployment) ([]store.Past, error) {
	u.asked.Add(1)
	if u.down.Load() {
		return nil, u.err
	}
	return u.Store.Before(ctx, d)
}

func TestRollback_WaitsForTheStore(t *testing.T) {
	p := start(t)
	known := &unreachable{Store: p.store, err: errors.New("the store cannot be reached")}
	run(t, p.service(known).Run)
	p.outcome(p.deliver(`{"action":"created"}`, "X-GitHub-Event", "star"))
	if known.asked.Load() > 0 {
		t.Error("the store is asked though nothing was deployed")
	}
	p.github(1, v1, "production", "success", 1)
	p.github(2, v2, "production", "success", 2)
	p.stored(2)
	known.down.Store(true)
	before := known.asked.Load()
	id := p.github(3, v1, "production", "success", 3)
	p.eventually(func() error {
		if known.asked.Load() < before+2 {
			return errors.New("the batch was not tried again")
		}
		return nil
	})
	known.down.Store(false)
	if got := p.outcome(id); got.Outcome != change.Stored {
		t.Errorf("outcome %s: %s", got.Outcome, got.Reason)
	}
	if last := p.stored(3)[2]; last.Type != change.Rollback {
		t.Errorf("type %s, want rollback", last.Type)
	}
}

// A store that takes too long is no reason to keep changes back: what passed
// through lately is compared all the same.
func TestRollback_DoesNotWaitForAQuestionThatIsTooLarge(t *testing.T) {
	p := start(t)
	known := &unreachable{Store: p.store, err: problem.BusyFor(time.Second, "query_timeout", "the query takes too long", nil)}
	known.down.Store(true)
	run(t, p.service(known).Run)
	for i, sha := range []string{v1, v2, v1} {
		p.outcome(p.github(i+1, sha, "production", "success", i+1))
	}
	if last := p.stored(3)[2]; last.Type != change.Rollback {
		t.Errorf("type %s, want rollback", last.Type)
	}
	if n := known.asked.Load(); n != 1 {
		t.Errorf("the store was asked %d times within a minute, want once", n)
	}
}

// What a caller of the API says in our own words stays as it was said.
func TestRollback_IsNotReadIntoWhatTheAPIWasTold(t *testing.T) {
	p := start(t)
	run(t, p.service(p.store).Run)
	for i, version := range []string{"v1.0.0", "v1.1.0", "v1.0.0"} {
		p.deliverAs("api", fmt.Sprintf(`{"summary":"Deploy shop","change_type":"deployment","service_id":"shop","version":%q,"occurred_at":%q}`,
			version, noon.Add(time.Duration(i)*time.Minute).Format(time.RFC3339)))
	}
	for _, c := range p.stored(3) {
		if c.Type != change.Deployment || c.Summary != "Deploy shop" || c.Metadata != nil {
			t.Errorf("changed: %s %q %s", c.Type, c.Summary, c.Metadata)
		}
	}
}
