//go:build integration

package integration

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// leaderlessStep is a RUN step that holds a process whose first thread has ended while
// others work on. In the host's PID namespace nothing ends it with the step's first
// process.
const leaderlessStep = "RUN " + roleEnv + "=" + leaderless + " " + bombProgram + " & /bin/busybox sleep 1001\n"

// TestProcessWhoseFirstThreadHasEndedGoesWithItsBuild: cgroup.kill, and KillUnit by
// way of it, spare such a process and say that they have worked. It is ended by the
// rung that kills, and no rung waits for its end in vain.
func TestProcessWhoseFirstThreadHasEndedGoesWithItsBuild(t *testing.T) {
	flags := func(t *testing.T) []string { return append([]string{"--pid=host"}, strings.Fields(bombFlags(t))...) }
	for name, cancel := range map[string]func(t *testing.T) (held []*proc.Handle, act func()){
		"placed": func(t *testing.T) ([]*proc.Handle, func()) {
			b := startBuild(t, leaderlessStep, flags(t)...)
			held := hold(t, b.withLeaderless())
			return held, func() { must(t, b.cmd.Process.Kill()); b.wait() }
		},
		"stopped": func(t *testing.T) ([]*proc.Handle, func()) {
			b := startBuild(t, leaderlessStep, flags(t)...)
			view := b.withLeaderless()
			return hold(t, view), func() { sh(t, "%s stop %s", ctl, view.ID); b.wait() }
		},
		"under run": func(t *testing.T) ([]*proc.Handle, func()) {
			b := startRun(t, root, leaderlessStep, false, nil, flags(t)...)
			view := withLeaderless(t, func() api.Build { return b.supervised(1) })
			return hold(t, view), func() { must(t, b.cmd.Process.Signal(syscall.SIGTERM)); b.wait() }
		},
		"observed": func(t *testing.T) ([]*proc.Handle, func()) {
			b := startOutside(t, leaderlessStep, "cgroupfs by hand", flags(t)...)
			held := hold(t, b.withLeaderless())
			return held, func() { must(t, b.cmd.Process.Kill()); b.wait() }
		},
		"observed, of a user": func(t *testing.T) ([]*proc.Handle, func()) {
			p := startBuildOf(t, builder, "podman --cgroup-manager=cgroupfs --runtime /usr/bin/crun build", leaderlessStep, "--network=none "+strings.Join(flags(t), " "))
			view := withLeaderless(t, func() api.Build { return listedOf(t, builder, 2) })
			return hold(t, view), func() { sh(t, "kill -KILL %d", view.Owner.PID); p.wait(t) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			held, act := cancel(t)
			before := lateRungs(t)
			act()
			allGone(t, held)
			nothingListed(t)
			if after := lateRungs(t); !slices.Equal(after, before) {
				t.Errorf("rungs whose time ran out: %v before, %v after", before, after)
			}
		})
	}
}

// lateRungs counts how often each rung has run out of time.
func lateRungs(t *testing.T) []string {
	t.Helper()
	var late []string
	for _, step := range api.Rungs() {
		late = append(late, metric(t, fmt.Sprintf("buildwatch_ladder_rung_timeouts_total{rung=%q}", step)))
	}
	return late
}

func (b *build) withLeaderless() api.Build {
	b.t.Helper()
	return withLeaderless(b.t, func() api.Build { return b.supervised(2) })
}

// withLeaderless waits until the process has lost its first thread.
func withLeaderless(t *testing.T, of func() api.Build) api.Build {
	t.Helper()
	var view api.Build
	eventually(t, func() (string, bool) {
		view = of()
		detail, err := show(view.ID)
		return fmt.Sprintf("%+v, %v", detail, err), err == nil && slices.ContainsFunc(detail.ProcessTree, func(p api.Process) bool {
			return p.State == "Z"
		})
	})
	return view
}
