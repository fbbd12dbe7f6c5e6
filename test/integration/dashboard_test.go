//go:build integration && prometheus

package integration

import (
	"fmt"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/test/prometheus"
)

// TestDashboardOfARealRun: Prometheus scrapes a daemon under which a build stalls, one is stuck and twenty are
// cancelled. Each panel of the dashboard shows something, what it shows is what happened, and the alerts come.
func TestDashboardOfARealRun(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	specimenImage(t)
	configured(t, "[stalled]", `after = "5s"`, "[ladder]", `abort_fuse = "never"`)
	const address, dist = "127.0.0.1:19090", "../../dist/prometheus"
	board, err := prometheus.ReadBoard(dist)
	must(t, err)
	server, err := prometheus.Server(t.TempDir(), dist, "127.0.0.1:16786", address)
	must(t, err)
	must(t, server.Start())
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	asked := func(query string) {
		t.Helper()
		eventually(t, func() (string, bool) {
			n, err := prometheus.Ask(address, query)
			return fmt.Sprintf("%s has %d series: %v", query, n, err), n > 0 && err == nil
		})
	}
	asked(`count_over_time(buildwatch_build_info[1m]) >= 2`)

	stalled := startStep(t, "/bin/hang")
	stalled.becomes(api.StateStalled)
	s := startFUSE(t, root)
	stuck, view := startWaiters(t, root, s)
	stuck.signal(t, 9)
	inState(t, view.ID, api.StateStuck)
	const cancels = 20
	for range cancels {
		b := startBuild(t, family)
		held := hold(t, b.supervised(familySize))
		must(t, b.cmd.Process.Kill())
		b.wait()
		allGone(t, held)
	}

	asked(fmt.Sprintf(`sum(buildwatch_builds_ended_total{reason="owner_exited"}) == %d`, cancels))
	asked(`buildwatch_builds{placement="scope",state="stuck"} == 1`)
	asked(`buildwatch_builds{placement="scope",state="stalled"} == 1`)
	for _, alert := range []string{"BuildwatchBuildStuck", "BuildwatchBuildStalled"} {
		asked(fmt.Sprintf(`ALERTS{alertname=%q}`, alert))
	}
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			asked(prometheus.Variables("5m").Replace(target.Expr))
		}
	}

	s.release(t)
	sh(t, "%s stop --all", ctl)
	stalled.wait()
}
