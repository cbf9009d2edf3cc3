package e2e_test

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"whatchanged/pkg/repair/repairtest"
)

// github starts a server that speaks as GitHub's API does, with a hook that has
// sent deliveries an hour ago, of which none arrived, and sends them when asked
// to. It sets GITHUB to its URL: github SECRET COUNT BODY @URL.
func github(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: github SECRET COUNT BODY @URL")
	}
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	g := repairtest.New("/repos/acme/shop/hooks/7", strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Defer(g.Close)
	g.SendTo(strings.TrimSpace(ts.ReadFile(strings.TrimPrefix(args[3], "@"))))
	body := ts.ReadFile(args[2])
	for i := range count {
		n := fmt.Sprintf("%040x", i+1)
		g.Happen(fmt.Sprintf("guid-%d", i), "push", strings.ReplaceAll(body, "COMMIT", n), time.Now().Add(-time.Hour))
	}
	ts.Setenv("GITHUB", g.URL)
}
