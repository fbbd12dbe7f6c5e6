package proc

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/share"
)

// TestSubordinateUIDCountsForWhomItIsLentTo: a login user has tens of thousands of them.
func TestSubordinateUIDCountsForWhomItIsLentTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "subuid")
	write := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a := &Accounts{path: path}
	if got := a.OfUID(100000); got.UID != 100000 {
		t.Errorf("without a file: %+v", got)
	}
	write("# comment\n1000:100000:65536\nnobodyknows:200000:65536\nnobodyknows:300000:10\nroot:400000:10\n0:500000:10\nbad\n7:x:1\n9:0:10\n9:4294967295:2\n")
	for uid, want := range map[uint32]share.Account{
		0:          {},
		1:          {UID: 1},
		1000:       {UID: 1000},
		99999:      {UID: 99999},
		100000:     {UID: 1000},
		165535:     {UID: 1000},
		165536:     {UID: 165536},
		200005:     {UID: 200000},
		300005:     {UID: 200000},
		400005:     {UID: 400000}, // lent to root's containers: not root
		500005:     {UID: 500000},
		4294967295: {UID: 4294967295},
	} {
		if got := a.OfUID(uid); got != want {
			t.Errorf("UID %d counts for %+v, want %+v", uid, got, want)
		}
	}
	write("1001:100000:65536\n")
	if err := os.Chtimes(path, time.Now(), time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := a.OfUID(100000); got.UID != 1001 {
		t.Errorf("after the file has changed: %+v", got)
	}
}

// TestWhoIsInAUserNamespaceCountsForItsMaker by the kernel's word, whatever files say.
func TestWhoIsInAUserNamespaceCountsForItsMaker(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act as another user")
	}
	a := &Accounts{path: filepath.Join(t.TempDir(), "none")}
	start := func(attr *syscall.SysProcAttr) *Handle {
		t.Helper()
		cmd := exec.Command("/bin/sleep", "60")
		cmd.SysProcAttr = attr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		h, err := Open(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		return h
	}
	const user, lent = 54321, 700000
	maps := func() *syscall.SysProcAttr {
		return &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: lent, Size: 1000}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: lent, Size: 1000}},
			Credential:  &syscall.Credential{Uid: 5, Gid: 5},
		}
	}
	ours := start(&syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}})
	if got := a.OfProcess(ours, user); got != (share.Account{UID: user}) {
		t.Errorf("of a user's own process: %+v", got)
	}
	first, second := start(maps()), start(maps())
	one, two := a.OfProcess(first, lent+5), a.OfProcess(second, lent+5)
	if one == two || one.IsRoot() || one.Namespace == 0 || a.OfProcess(first, lent+6) != one {
		t.Errorf("of two namespaces of root's: %+v, %+v", one, two)
	}
	// A user makes one, as rootless podman does.
	cmd := exec.Command("unshare", "--user", "--map-root-user", "sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	h, err := Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	proctest.Eventually(t, "it is so", func() bool { _, nested, err := UserNamespaceOf(h.PID); return err == nil && nested })
	if got := a.OfProcess(h, lent+77); got != (share.Account{UID: user}) {
		t.Errorf("of a process in a user's namespace: %+v, want %d's", got, user)
	}
}
