//go:build integration

package integration

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
)

// TestAttack34FileSystemOfOthersIsNeverAborted, though a build's processes hang in it:
// neither one that another user has mounted, nor one that is meant for others too, nor
// one that anybody else uses. The build is stuck, and says why.
func TestAttack34FileSystemOfOthersIsNeverAborted(t *testing.T) {
	sh(t, "grep -q ^user_allow_other /etc/fuse.conf || echo user_allow_other >>/etc/fuse.conf")
	for _, row := range []struct {
		name           string
		server, victim user
		options        []string
		use            func(t *testing.T, dir string) (pid int) // by somebody else; may be nil
		want           api.Abort
	}{
		{name: "root's, in a user's build", server: root, victim: builder, options: []string{"allow_other"}, want: api.AbortMounter},
		{name: "a user's, in root's build", server: builder, victim: root, options: []string{"allow_other"}, want: api.AbortMounter},
		{name: "another user's", server: core, victim: builder, options: []string{"allow_other"}, want: api.AbortMounter},
		{name: "for everybody, as lxcfs", server: root, victim: root, options: []string{"allow_other"}, want: api.AbortServer},
		{name: "used by a container", server: root, victim: root, use: useInContainer, want: api.AbortUsed},
		{name: "the directory of a shell", server: builder, victim: builder, use: useAs("sh -c 'cd \"$0\" && exec sleep 1000' %s"), want: api.AbortUsed},
		{name: "an open file", server: builder, victim: builder, use: useAs("sh -c 'exec sleep 1000 3<\"$0\"/fine' %s"), want: api.AbortUsed},
		{name: "a mapped file", server: root, victim: root, use: useMapped, want: api.AbortUsed},
	} {
		t.Run(row.name, func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			s := startFUSE(t, row.server, row.options...)
			pid := 0
			if row.use != nil {
				pid = row.use(t, s.dir)
			}
			aborts := metric(t, "buildwatch_fuse_aborts_total")
			p, view := startWaiters(t, row.victim, s)
			p.signal(t, 9)
			eventually(t, func() (string, bool) { // in doubt it looks again
				said, right := "", true
				for _, process := range inState(t, view.ID, api.StateStuck).ProcessTree {
					w := process.Waits
					right = right && len(w) == 1 && w[0].Abort == row.want && (pid == 0 || w[0].AbortPID == pid)
					said += fmt.Sprintf("waits for %+v, want %s by process %d\n", w, row.want, pid)
				}
				return said, right
			})
			if now := metric(t, "buildwatch_fuse_aborts_total"); now != aborts || !s.works(row.server) {
				t.Errorf("%s aborts, before %s; it works: %v", now, aborts, s.works(row.server))
			}
			if row.use != nil {
				// When the other is gone, it is the build's alone.
				must(t, syscall.Kill(pid, syscall.SIGKILL))
			} else {
				s.release(t)
			}
			eventually(t, func() (string, bool) {
				return "still stuck: " + sh(t, "%s show %s || true", ctl, view.ID), len(listed(t)) == 0
			})
			if row.use == nil && !s.works(row.server) {
				t.Error("it was aborted in the end")
			}
		})
	}
}

// useAs makes a user of builder's, of a command with the directory for %s.
func useAs(command string) func(t *testing.T, dir string) int {
	return func(t *testing.T, dir string) int {
		t.Helper()
		p := startProgram(t, builder, fmt.Sprintf(command, dir), false)
		eventually(t, func() (string, bool) {
			out := sh(t, "cat /proc/%d/comm", p.pid)
			return "it is still " + out, out == "sleep"
		})
		return p.pid
	}
}

func useInContainer(t *testing.T, dir string) int {
	t.Helper()
	startRootless(t, root, "RUN true\n", "--network=none --tag user").wait(t)
	sh(t, "podman run --detach --pids-limit=0 --network none --name user --platform %s --volume %s:/elsewhere user /bin/busybox sleep 1000 2>/dev/null", arch64, dir)
	t.Cleanup(func() { sh(t, "podman rm --force --time 0 user") })
	var pid int
	_, err := fmt.Sscan(sh(t, "podman inspect --format '{{.State.Pid}}' user"), &pid)
	must(t, err)
	return pid
}

func useMapped(t *testing.T, dir string) int {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", dir+"/fine")
	cmd.Env = []string{roleEnv + "=map"}
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := fmt.Fscan(out, new(string)); err != nil {
		t.Fatalf("it has not mapped the file: %v", err)
	}
	return cmd.Process.Pid
}

// mapFile is the role: it keeps a file mapped, and no descriptor of it.
func mapFile(name string) error {
	fd, err := unix.Open(name, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	page, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	_ = unix.Close(fd)
	fmt.Println("mapped", unsafe.Pointer(&page[0]))
	select {}
}

// TestAttack36OfTenMountsOnlyTheOneThatHangsIsAborted.
func TestAttack36OfTenMountsOnlyTheOneThatHangsIsAborted(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	hung := startFUSE(t, root)
	var others []*fuseServer
	var flags []string
	for i := range 9 {
		s := startFUSE(t, root)
		others = append(others, s)
		flags = append(flags, fmt.Sprintf("--volume %s:/fm%d", s.dir, i))
	}
	p, view := startWaiters(t, root, hung, flags...)
	held := hold(t, view)
	p.signal(t, 9)
	allGone(t, held)
	if i := slices.IndexFunc(others, func(s *fuseServer) bool { return !s.works(root) }); i >= 0 {
		t.Errorf("mount %d does not work any more", i)
	}
	if out, err := try("cat %s/fine", hung.dir); err == nil || !strings.Contains(out, "not connected") {
		t.Errorf("the one that hung: %v, %s", err, out)
	}
}
