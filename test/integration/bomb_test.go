//go:build integration

package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// bombProgram is where a build that has bombFlags finds the test's program.
const bombProgram = "/bomb/program"

// bombFlags let a RUN step run this test's program, which is native, with the host's
// libraries. Not read-only: bookworm's runc can't make it so for a user.
func bombFlags(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	dir, err := os.MkdirTemp("", "bomb-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	sh(t, "install -m 755 %s %s/program", self, dir)
	return fmt.Sprintf("--volume %s:%s --volume /usr/lib/x86_64-linux-gnu:/lib/x86_64-linux-gnu --volume /usr/lib64:/lib64", dir, filepath.Dir(bombProgram))
}

func bombStep(number int, then string) string {
	return fmt.Sprintf("RUN %s='process bomb' %s %d %s\n", roleEnv, bombProgram, number, then)
}

// populated waits until a build's cgroup has at least n processes; the kernel counts
// them, not the daemon. Nothing is started for it: where thousands want a processor,
// that can take its time, see TestAttack24ForkBomb.
func populated(t *testing.T, cgroup string, n int) {
	t.Helper()
	eventually(t, func() (string, bool) {
		count := 0
		err := filepath.WalkDir("/sys/fs/cgroup"+cgroup, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Name() == "cgroup.procs" {
				procs, _ := os.ReadFile(path)
				count += bytes.Count(procs, []byte("\n"))
			}
			return nil
		})
		return fmt.Sprintf("%d processes, %v", count, err), count >= n
	})
}

// TestAttack24ForkBomb: processes that ignore signals and multiply until there are
// thousands, or make others for ever. While they run the daemon lists them, and all is
// gone within three seconds of the owner's end; where the kernel alone takes longer, in
// twice its time.
//
// It asks the daemon itself, not by buildwatchctl: as long as thousands of processes
// that want a processor fork, any other fork on the host can take seconds. A writer of
// the kernel's cgroup_threadgroup_rwsem, such as who moves a process, waits for one of
// them that was preempted within fork(2), and everybody's forks wait behind it.
func TestAttack24ForkBomb(t *testing.T) {
	for _, bomb := range []struct {
		who    user
		number int
		then   string
	}{
		{root, 10_000, bombSleeps},
		{root, 3000, bombSpins},
		{builder, 3000, bombSpins},
		{root, 500, bombChurns},
		{builder, 500, bombChurns},
	} {
		t.Run(fmt.Sprintf("%s, %d, %s", bomb.who, bomb.number, bomb.then), func(t *testing.T) {
			unharmed := underAttack(t)
			p := startRootless(t, bomb.who, bombStep(bomb.number, bomb.then), "--network=none "+bombFlags(t))
			daemon := control()
			defer daemon.Close()
			view := listedBomb(t, bomb.who, p)
			least := bomb.number
			if bomb.then != bombSleeps {
				least /= 2 // those that spin come to their turn late
			}
			populated(t, view.Cgroup, least)
			owner, err := proc.Open(p.pid)
			must(t, err)
			defer owner.Close()
			var slowest time.Duration
			for range 20 {
				started := time.Now()
				_, err := daemon.List(context.Background())
				slowest = max(slowest, time.Since(started))
				must(t, err)
			}
			started := time.Now()
			detail, err := daemon.Show(context.Background(), view.ID)
			must(t, err)
			t.Logf("list took up to %v, show %v: %d processes, %d shown", slowest, time.Since(started), detail.Processes, len(detail.ProcessTree))
			if slowest > soon(time.Second) {
				t.Errorf("list took %v", slowest)
			}
			started = time.Now()
			must(t, owner.Signal(unix.SIGKILL))
			eventually(t, func() (string, bool) {
				_, err := os.Stat("/sys/fs/cgroup" + view.Cgroup)
				return view.Cgroup + " is still there", errors.Is(err, fs.ErrNotExist)
			})
			took := time.Since(started)
			t.Logf("gone after %v", took)
			if took > soon(3*time.Second) {
				if kernel := bombKilledByHand(t, bomb.number, bomb.then, least); took > 2*kernel {
					t.Errorf("gone after %v, of cgroup.kill alone after %v", took, kernel)
				}
			}
			p.wait(t)
			unharmed()
		})
	}
}

// bombKilledByHand returns how long as many processes take to end, on this host as busy
// as it is, if all that is done is to write cgroup.kill.
func bombKilledByHand(t *testing.T, number int, then string, least int) time.Duration {
	t.Helper()
	const cgroup = "/bomb-killed-by-hand"
	path := "/sys/fs/cgroup" + cgroup
	must(t, os.Mkdir(path, 0o755))
	defer func() {
		eventually(t, func() (string, bool) {
			err := os.Remove(path)
			return fmt.Sprint(err), err == nil
		})
	}()
	dir, err := os.Open(path)
	must(t, err)
	defer dir.Close()
	cmd := exec.Command("/proc/self/exe", fmt.Sprint(number), then)
	cmd.Env = append(os.Environ(), roleEnv+"=process bomb")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	must(t, cmd.Start())
	populated(t, cgroup, least)
	started := time.Now()
	must(t, os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0))
	eventually(t, func() (string, bool) {
		events, err := os.ReadFile(filepath.Join(path, "cgroup.events"))
		return fmt.Sprintf("%s %v", events, err), bytes.HasPrefix(events, []byte("populated 0"))
	})
	took := time.Since(started)
	_ = cmd.Wait()
	return took
}

// listedBomb waits for the user's build that is not the one under attack.
func listedBomb(t *testing.T, who user, p *program) (found api.Build) {
	t.Helper()
	daemon := control()
	defer daemon.Close()
	eventually(t, func() (string, bool) {
		builds, err := daemon.List(context.Background())
		must(t, err)
		for _, view := range builds {
			if view.User.Name == string(who) && view.Processes >= 20 {
				found = view
			}
		}
		if !p.alive() {
			t.Fatalf("the build has ended:\n%s", p.said())
		}
		return fmt.Sprintf("listed: %+v", builds), found.ID != ""
	})
	return found
}
