//go:build integration

package integration

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// TestBuilderThatIsKilledInARunLeavesNothing: the run is a script, which goes on. So does the
// API service that it has started, when a client of that is killed.
func TestBuilderThatIsKilledInARunLeavesNothing(t *testing.T) {
	const socket = "/run/buildwatch-test-run.sock"
	for name, program := range map[string]string{
		"podman":          "podman",
		"runtime by hand": "podman --runtime " + realRuntime(t),
		"API":             "podman --url unix://" + socket,
	} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			dir := contextDir(t, family)
			script := fmt.Sprintf("%s build --no-cache --network=none --platform %s %s; exec sleep 1009", program, arch64, dir)
			if name == "API" {
				script = fmt.Sprintf("podman system service --time 0 unix://%s & while ! [ -S %[1]s ]; do sleep 0.1; done; ", socket) + script
				t.Cleanup(func() { sh(t, "rm -f %s; rm -rf /var/tmp/libpod_builder*", socket) })
			}
			run := startCommand(t, ctl, "run", "--", "bash", "-c", script)
			var view api.Build
			var steps []*proc.Handle
			eventually(t, func() (string, bool) {
				if all := listed(t); len(all) == 1 {
					view = all[0]
				}
				detail, err := show(view.ID)
				if err != nil {
					return err.Error(), false
				}
				steps = nil
				for _, p := range detail.ProcessTree {
					if h, err := proc.Open(p.PID); err == nil && p.Arch != "" {
						t.Cleanup(h.Close)
						steps = append(steps, h)
					}
				}
				return fmt.Sprintf("%+v", detail), len(steps) >= familySize
			})
			sh(t, "kill -KILL $(pgrep -f 'podman.* build .*%s$' | head -1)", filepath.Clean(dir))
			allGone(t, steps)
			all := listed(t)
			if len(all) != 1 || all[0].ID != view.ID || all[0].State != api.StateRunning || view.Mode != api.ModeRun {
				t.Errorf("the run was %+v, and is %+v", view, all)
			}
			sh(t, "%s stop %s", ctl, view.ID)
			run.wait()
			nothingListed(t)
		})
	}
}
