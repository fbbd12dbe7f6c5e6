//go:build integration

package integration

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

var recyclings = flag.Int64("recyclings", 50, "how many PIDs of builds TestPIDsThatAreUsedAgainAreNobodysBuild gives to others")

// TestPIDsThatAreUsedAgainAreNobodysBuild: as soon as a process of a cancelled build has ended,
// and some do so before the daemon ends them, a stranger is started with its very PID. None is
// signalled, and none is moved: neither of an observed build, whose orphans are gathered by PID,
// nor of one in a scope.
func TestPIDsThatAreUsedAgainAreNobodysBuild(t *testing.T) {
	leakCheck(t)
	dir, err := os.MkdirTemp("/opt", "recycle-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	program := dir + "/buildah" // noticed by its file once it was seen with a step
	sh(t, "chmod 755 %s; install -m 755 /bin/bash %s", dir, program)
	var strangers atomic.Int64
	for strangers.Load() < *recyclings {
		var all []*standIn
		for range 6 {
			all = append(all, startStandIn(t, program, "-c", `(exec -a buildah-oci-runtime $0 -c "$1" $0 "$2"); true`, program, `unshare --uts --mount $0 -c "$1"; true`, family6))
		}
		for range 2 {
			all = append(all, startStandIn(t, ctl, "run", "--", program, "-c", family6))
		}
		sh(t, "podman --version") // the first time
		for _, s := range all {
			s.read(t)
		}
		eventually(t, func() (string, bool) {
			n, builds := 0, listed(t)
			for _, b := range builds {
				if b.Processes >= standInSize-1 {
					n++
				}
			}
			return fmt.Sprintf("%d of %d are listed: %+v", n, len(all), builds), n >= len(all)
		})
		var taking sync.WaitGroup
		for _, s := range all {
			for _, h := range s.held {
				taking.Go(func() { strangers.Add(takePID(t, h)) })
			}
		}
		for i, s := range all {
			must(t, s.cmd.Process.Kill())
			taking.Go(func() { _ = s.cmd.Wait() })
			for _, h := range s.held[:i%len(s.held)] {
				_ = h.Signal(syscall.SIGKILL)
			}
		}
		taking.Wait()
		for _, s := range all {
			for _, h := range s.held {
				h.Close()
			}
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d PIDs were used again", strangers.Load())
}

// family6 are the processes of a stand-in for a step, which tell their PIDs.
const family6 = `for i in 1 2 3 4 5 6; do /bin/sleep 1000 & all="$all $!"; done; echo $$ $all; wait`

// standInSize counts a shell, which is the program of the stand-in for a builder: in a build that is
// observed it is taken for what becomes the OCI runtime.
const standInSize = 7

// standIn is a stand-in for a build: its builder, and the processes of its step.
type standIn struct {
	cmd  *exec.Cmd
	out  *bufio.Reader
	held []*proc.Handle
}

func startStandIn(t *testing.T, args ...string) *standIn {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return &standIn{cmd: cmd, out: bufio.NewReader(out)}
}

// read takes hold of the processes.
func (s *standIn) read(t *testing.T) {
	t.Helper()
	line, err := s.out.ReadString('\n')
	must(t, err)
	for _, field := range strings.Fields(line) {
		pid, err := strconv.Atoi(field)
		must(t, err)
		h, err := proc.Open(pid)
		must(t, err)
		s.held = append(s.held, h)
	}
}

// takePID starts a process by the PID of another as soon as that has ended, and looks what
// becomes of it. It returns how many it has started: none where the PID was somebody else's by then.
func takePID(t *testing.T, h *proc.Handle) (started int64) {
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	if err := h.Wait(ctx); err != nil {
		t.Errorf("process %d of a cancelled build: %v", h.PID, err)
		return 0
	}
	err := unix.EEXIST // until it is reaped
	for tries := 0; err == unix.EEXIST && tries < 10_000; tries++ {
		if err = cloneAs(h.PID); err == unix.EEXIST {
			time.Sleep(100 * time.Microsecond)
		}
	}
	if err != 0 {
		if err != unix.EEXIST {
			t.Errorf("start a process as %d: %v", h.PID, err)
		}
		return 0
	}
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, h.PID, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			t.Errorf("wait for %d: %v", h.PID, err)
			return 0
		}
	}
	if where, own := proc.Cgroup(h.PID), proc.Cgroup(os.Getpid()); where != own {
		t.Errorf("the stranger %d was moved from %s to %s", h.PID, own, where)
	}
	var status syscall.WaitStatus
	_, waitErr := syscall.Wait4(h.PID, &status, 0, nil)
	if waitErr != nil || status.ExitStatus() != 0 {
		t.Errorf("the stranger %d: %v, signal %v, exit status %d", h.PID, waitErr, status.Signal(), status.ExitStatus())
	}
	return 1
}

// cloneArgs is what clone3(2) takes.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls uint64
	setTID                                                               uintptr
	setTIDSize, cgroup                                                   uint64
}

// cloneAs starts a process that sleeps for a moment, by a PID of one's choice.
//
//go:norace
func cloneAs(pid int) unix.Errno {
	tid := int32(pid)
	program, _ := unix.BytePtrFromString("/bin/sleep")
	moment, _ := unix.BytePtrFromString("0.2")
	argv := [...]*byte{program, moment, nil}
	args := cloneArgs{exitSignal: uint64(unix.SIGCHLD), setTID: uintptr(unsafe.Pointer(&tid)), setTIDSize: 1}
	r, _, err := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	if err == 0 && r == 0 { // the child
		_, _, _ = unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(program)), uintptr(unsafe.Pointer(&argv)), 0)
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 127, 0, 0)
	}
	return err
}
