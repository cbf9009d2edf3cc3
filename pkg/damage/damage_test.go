package damage_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/damage"
	"whatchanged/pkg/store"
)

func open(t *testing.T, database string) *store.Store {
	t.Helper()
	cfg := store.DefaultConfig()
	cfg.Database = database
	s, err := store.OpenWith(t.Context(), cfg, chdbtest.Engine(t), bustest.Log(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Only people read the audit trail, in a process that puts nothing aside: the
// writer learns of its damaged part, and they are answered again.
func TestTell_TheWriterMendsWhatAnotherProcessCannotRead(t *testing.T) {
	database := chdbtest.Database(t)
	api, writer := open(t, database), open(t, database)
	if err := writer.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := writer.InsertAuditEvents(t.Context(), []audit.Event{{
		ID: change.NewAuditID(now), Version: 1, Org: "acme", At: change.At(now), Outcome: audit.Done,
	}}); err != nil {
		t.Fatal(err)
	}
	b := bustest.New(t)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		stop()
		wg.Wait()
	})
	wg.Go(func() { _ = damage.Tell(ctx, b, api, bustest.Log(t)) })
	wg.Go(func() { _ = damage.Hear(ctx, b, writer, bustest.Log(t)) })

	ask := func() error { _, err := api.FindEvents(t.Context(), store.EventQuery{Org: "acme"}); return err }
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	empty(t, database, "audit_events")
	if ask() == nil {
		t.Fatal("a damaged part can be read")
	}
	var aside []store.Damaged
	for deadline := time.After(30 * time.Second); len(aside) == 0; {
		select {
		case <-writer.Stumbled():
		case <-time.After(time.Second):
			_ = ask() // a person tries again; what is told while nobody hears is lost
			continue
		case <-deadline:
			t.Fatal("the writer is not told")
		}
		var err error
		if aside, err = writer.Mend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if aside[0].Table != "audit_events" {
		t.Errorf("put aside: %v", aside)
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
}

// What is told goes into statements: it must be the name of a part.
func TestHear_TakesOnlyNamesOfParts(t *testing.T) {
	s := open(t, chdbtest.Database(t))
	good := store.Suspect{Table: "changes", Part: "202611_1_1_0"}
	s.Suspect(good,
		store.Suspect{Table: "changes", Part: "202611_1_1_0' SETTINGS x = '1"},
		store.Suspect{Table: "changes; DROP", Part: "202611_1_1_0"},
		store.Suspect{Part: "202611_1_1_0"},
	)
	if got := fmt.Sprint(s.Suspects()); got != fmt.Sprint([]store.Suspect{good}) {
		t.Errorf("suspects are %s", got)
	}
}

// empty empties the data files of a table.
func empty(t *testing.T, database, table string) {
	t.Helper()
	conn := chdbtest.Conn(t, database)
	var dir string
	if err := conn.QueryRow(t.Context(), "SELECT path FROM system.parts WHERE database = currentDatabase() AND active AND table = '"+table+"'").Scan(&dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.bin"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no data in %s: %v", dir, err)
	}
	for _, file := range files {
		if err := os.Truncate(file, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, cache := range []string{"MARK CACHE", "UNCOMPRESSED CACHE"} {
		if err := conn.Exec(t.Context(), "SYSTEM DROP "+cache); err != nil {
			t.Fatal(err)
		}
	}
}
