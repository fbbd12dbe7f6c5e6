package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// recorder notes which of its methods was called.
type recorder []string

func (r *recorder) note(what string) error               { *r = append(*r, what); return nil }
func (r *recorder) RefuseSteps(context.Context) error    { return r.note("refuse steps") }
func (r *recorder) AwaitStart(context.Context) error     { return r.note("await start") }
func (r *recorder) KillSteps(context.Context) error      { return r.note("kill steps") }
func (r *recorder) Kill(context.Context) error           { return r.note("kill") }
func (r *recorder) Wait(context.Context) error           { return r.note("wait") }
func (r *recorder) TerminateOwner(context.Context) error { return r.note("SIGTERM") }
func (r *recorder) KillOwner(context.Context) error      { return r.note("SIGKILL") }
func (r *recorder) Stop(context.Context) error           { return r.note("stop") }
func (r *recorder) CgroupKill(context.Context) error     { return r.note("cgroup.kill") }
func (r *recorder) Free(context.Context) error           { return r.note("free") }
func (r *recorder) EndHelpers(context.Context) error     { return r.note("helpers") }

// TestLadder is what each rung does, how long it may take, and what is said of it.
func TestLadder(t *testing.T) {
	timeouts := Timeouts{1 * time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second, 6 * time.Second, 7 * time.Second}
	want := []string{
		`refuse "": refuse steps 2s wait "" refuse_steps`,
		`let_start "": await start 400ms wait "" await_start`,
		`containers "kill": kill steps 1s cgroup_kill "SIGKILL" kill_steps`,
		`kill "kill": kill 1s kill_unit "SIGKILL" kill_scope`,
		`tidy "owner": wait 2s wait "" tidy`,
		`term "owner": SIGTERM 3s pidfd "SIGTERM" terminate_owner`,
		`kill_owner "owner": SIGKILL 3s pidfd "SIGKILL" kill_owner`,
		`stop "stop": stop 4s stop_unit "SIGKILL" stop_scope`,
		`cgroup_kill "cgroup_kill": cgroup.kill 5s cgroup_kill "SIGKILL" cgroup_kill`,
		`free "survivors": free 6s fuse_abort "" abort_fuse`,
		`helpers "helpers": helpers 7.3s pidfd "SIGTERM" end_helpers`,
	}
	var got []string
	var named []api.Rung
	for _, r := range ladder {
		var does recorder
		if err := r.Does(&does, context.Background()); err != nil || len(does) != 1 {
			t.Errorf("%s does %v, %v", r.Stage, does, err)
		}
		w := r.Act(Status{}, Held{Scope: true})
		got = append(got, fmt.Sprintf("%s %q: %s %v %s %q %s", r.Stage, r.Name, does[0], r.Limit(timeouts), w.Means, w.Signal, w.Kind))
		if r.Obeys == "" || w.Kind.Meaning() == "" || r.Stage.RungName() != r.Name {
			t.Errorf("%s is incomplete: %+v", r.Stage, r)
		}
		named = append(named, r.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the ladder is\n%q, want\n%q", got, want)
	}
	for _, step := range api.Rungs() {
		if !slices.Contains(named, step) {
			t.Errorf("no rung is called %q", step)
		}
	}
}
