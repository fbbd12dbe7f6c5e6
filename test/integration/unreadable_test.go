//go:build integration

package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// manyUnreadable is more than all the reads of memory that the daemon makes at once, so that
// those of one user would take every place if there were no bound for each.
const manyUnreadable = 64

// unreadableFamily is a role: it has children which run its own program and are called as those
// are that a builder starts, and whose command lines are on a file system that does not answer.
func unreadableFamily(file string) error {
	for range manyUnreadable {
		cmd := &exec.Cmd{
			Path: "/proc/self/exe", Args: []string{strings.Repeat("x", 4*os.Getpagesize()), file},
			Env: append(os.Environ(), roleEnv+"=unreadable"), Stdout: os.Stdout,
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		go func() { _ = cmd.Wait() }()
	}
	select {}
}

// unreadable is the role of one of them. Who reads its command line waits for the file's
// server, which is what CVE-2018-1120 is about; the page lies amid its first argument.
func unreadable(file string) error {
	fd, err := unix.Open(file, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	page := uintptr(os.Getpagesize())
	first := uintptr(unsafe.Pointer(unsafe.StringData(os.Args[0])))
	where, _, errno := unix.Syscall6(unix.SYS_MMAP, (first+page-1)&^(page-1), page, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_FIXED, uintptr(fd), 0)
	if errno != 0 {
		return errno
	}
	if where < first || where >= first+page {
		return errors.New("mapped elsewhere")
	}
	fmt.Println("ready")
	select {}
}

// TestAttack32UserWhoseCommandLinesHang: root's and another user's builds are placed,
// observed and ended as ever.
func TestAttack32UserWhoseCommandLinesHang(t *testing.T) {
	unharmed := underAttack(t)
	mayLeaveStorage(t)
	t.Cleanup(func() { core.tidy(t) })
	server := startFUSE(t, builder)
	// A program that is root's, on the host's own file system: others' names are not asked for.
	const program = "/opt/unreadable"
	sh(t, "install -m 755 /proc/%d/exe %s", os.Getpid(), program)
	t.Cleanup(func() { must(t, os.Remove(program)) })
	family := exec.Command(program, server.dir+"/hang")
	family.Env, family.Dir = append(os.Environ(), roleEnv+"=unreadable family"), "/"
	id := uint32(userIDs[builder])
	family.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}, Setpgid: true}
	must(t, family.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-family.Process.Pid, syscall.SIGKILL)
		_ = family.Wait()
	})
	eventually(t, func() (string, bool) { // the attack works: reads hang
		reads := metric(t, "buildwatch_proc_reads")
		return reads + " reads", reads == fmt.Sprint(readsOfUser)
	})

	for _, who := range []user{root, core} {
		for way, flags := range map[string]string{"placed": "", "observed": "--runtime " + realRuntime(t)} {
			p := startProgram(t, who, "podman "+flags+" build --no-cache --network=none "+native(t, "RUN /bin/busybox sleep 1717\n"), false)
			var view string
			within(t, 4*long, func() (string, bool) {
				for _, b := range listed(t) {
					if b.Owner.PID == p.pid && b.Processes > 0 {
						view = string(b.Placement)
					}
				}
				return fmt.Sprintf("%s's build is not listed: %+v\n%s", who, listed(t), p.said()), view != ""
			})
			if want := map[string]string{"placed": "scope", "observed": "observed"}[way]; view != want {
				t.Errorf("%s's build is in %q, not in %q", who, view, want)
			}
			p.signal(t, syscall.SIGKILL)
			p.wait(t)
			eventually(t, func() (string, bool) {
				left, err := try("pgrep -f '[s]leep 1717$'")
				return who.sh(t, ctl+" list") + left, err != nil
			})
		}
	}
	if reads := metric(t, "buildwatch_proc_reads"); reads != fmt.Sprint(readsOfUser) {
		t.Errorf("%s reads hang", reads)
	}
	unharmed()
	_ = syscall.Kill(-family.Process.Pid, syscall.SIGKILL)
	server.release(t)
	eventually(t, func() (string, bool) {
		reads := metric(t, "buildwatch_proc_reads")
		return reads + " reads", reads == "0"
	})
}

// readsOfUser is docs/security.md's figure.
const readsOfUser = 4
