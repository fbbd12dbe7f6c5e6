package proc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

func TestMain(m *testing.M) {
	proctest.Roles{}.Play()
	goleak.VerifyTestMain(m)
}

// child is a process that lives until it is told to end, or is killed.
type child struct {
	*Handle
	process *proctest.Child
}

// startShell starts a shell that runs script and then waits. It returns when the
// script has been run.
func startShell(t *testing.T, script string, args ...string) *child {
	t.Helper()
	p := proctest.Shell(t, script, func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, args...) })
	h, err := Open(p.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return &child{h, p}
}

// waitShort is Wait with a bound that only a broken test meets.
func waitShort(t *testing.T, h *Handle) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := h.Wait(ctx); err != nil {
		t.Fatalf("Wait: %v", err)
	}
}

func TestHandleIsOfTheProcessThatHasThePID(t *testing.T) {
	c := startShell(t, "")
	if c.PID != c.process.Process.Pid || c.Start == 0 || !c.Alive() {
		t.Errorf("got %+v, alive %v", c.Identity, c.Alive())
	}
	stat, err := c.Stat()
	if err != nil || stat.PPID != os.Getpid() || stat.Comm != "sh" {
		t.Errorf("Stat = %+v, %v", stat, err)
	}
	if uid, err := c.UID(); err != nil || uid != uint32(os.Getuid()) {
		t.Errorf("UID = %d, %v", uid, err)
	}
	want, err := os.Readlink("/proc/" + strconv.Itoa(c.PID) + "/exe")
	if err != nil {
		t.Fatal(err)
	}
	if exe, err := c.Exe(); err != nil || exe != want {
		t.Errorf("Exe = %q, %v; want %q", exe, err, want)
	}
	parent, err := c.Parent()
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	if parent.PID != os.Getpid() {
		t.Errorf("the parent is %d, not %d", parent.PID, os.Getpid())
	}
}

// Attack 1: the PID belongs to another process by now.
func TestHandleOfARecycledPIDIsNotTheOtherProcess(t *testing.T) {
	c := startShell(t, "")
	if again, err := Find(c.Identity); err != nil {
		t.Errorf("Find of a living process: %v", err)
	} else {
		again.Close()
	}
	for name, id := range map[string]Identity{
		"started later":   {c.PID, c.Start + 1},
		"started earlier": {c.PID, c.Start - 1},
		"without a start": {PID: c.PID},
	} {
		if h, err := Find(id); !errors.Is(err, ErrGone) {
			t.Errorf("%s: Find = %v, %v; want ErrGone", name, h, err)
		}
	}

	// A pidfd of a process that ended, together with a PID that now is another's:
	// what SO_PEERCRED and SO_PEERPIDFD tell of a peer that exited.
	dead := startShell(t, "")
	fd, err := dead.Pidfd()
	if err != nil {
		t.Fatal(err)
	}
	dead.process.End()
	waitShort(t, dead.Handle)
	dead.process.Status()
	if h, err := FromPidfd(c.PID, fd); !errors.Is(err, ErrGone) {
		t.Errorf("FromPidfd = %v, %v; want ErrGone", h, err)
	}
	if err := fd.Close(); !errors.Is(err, os.ErrClosed) {
		t.Error("the pidfd that was handed over was left open")
	}
}

func TestOpenOfNoProcess(t *testing.T) {
	c := startShell(t, "")
	c.process.End()
	waitShort(t, c.Handle)
	c.process.Status()
	if h, err := Open(c.PID); !errors.Is(err, ErrGone) {
		t.Errorf("a PID that was free again: %v, %v", h, err)
	}
	for _, pid := range []int{0, -1, 1 << 30} {
		if h, err := Open(pid); err == nil {
			h.Close()
			t.Errorf("Open(%d) succeeded", pid)
		}
	}
}

// Attack 32: a zombie may be kept for as long as its parent likes.
func TestZombieHasEnded(t *testing.T) {
	c := startShell(t, "")
	c.process.End()
	waitShort(t, c.Handle)
	if look, err := Look(c.PID); err != nil || look.State != "Z" {
		t.Fatalf("it is no zombie: %+v, %v", look, err)
	}
	if c.Alive() {
		t.Error("it is alive")
	}
	if h, err := Open(c.PID); !errors.Is(err, ErrGone) {
		t.Errorf("Open = %v, %v; want ErrGone", h, err)
	}
	if h, err := Find(c.Identity); !errors.Is(err, ErrGone) {
		t.Errorf("Find = %v, %v; want ErrGone", h, err)
	}
	for name, read := range map[string]func() error{
		"Stat":   func() error { _, err := c.Stat(); return err },
		"UID":    func() error { _, err := c.UID(); return err },
		"Exe":    func() error { _, err := c.Exe(); return err },
		"Parent": func() error { _, err := c.Parent(); return err },
		"Args":   func() error { _, err := NewReader().Args(context.Background(), c.Handle); return err },
	} {
		if err := read(); !errors.Is(err, ErrGone) {
			t.Errorf("%s of a zombie: %v; want ErrGone", name, err)
		}
	}
}

func TestWaitEndsWithTheContext(t *testing.T) {
	for name, makeContext := range map[string]func() (context.Context, context.CancelFunc){
		"cancelled before": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx, cancel
		},
		"time out": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 10*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := startShell(t, "")
			ctx, cancel := makeContext()
			defer cancel()
			if err := c.Wait(ctx); err == nil || !errors.Is(err, ctx.Err()) {
				t.Errorf("Wait = %v, the context's error is %v", err, ctx.Err())
			}
			if !c.Alive() {
				t.Error("the process does not live on")
			}
		})
	}
}

func TestWaitReturnsWhenTheProcessEnds(t *testing.T) {
	for name, end := range map[string]func(*child){
		"by itself":          func(c *child) { c.process.End() },
		"by a signal":        func(c *child) { _ = c.Signal(unix.SIGTERM) },
		"by SIGKILL":         func(c *child) { _ = c.Signal(unix.SIGKILL) },
		"before Wait begins": func(c *child) { _ = c.Signal(unix.SIGKILL); c.process.Status() },
	} {
		t.Run(name, func(t *testing.T) {
			c := startShell(t, "")
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				waitShort(t, c.Handle)
			}()
			end(c)
			<-ended
			if c.Alive() {
				t.Error("it is alive")
			}
		})
	}
}

// Attack 33: between check and kill the PID goes to somebody else.
func TestSignalGoesToThisProcessOnly(t *testing.T) {
	c := startShell(t, "")
	if err := c.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.process.Status()
	for range 2 {
		if err := c.Signal(unix.SIGKILL); !errors.Is(err, ErrGone) {
			t.Errorf("signal to a process that was reaped: %v; want ErrGone", err)
		}
	}
}

func TestClosedHandleIsOfNobody(t *testing.T) {
	h, err := Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	h.Close()
	if h.Alive() {
		t.Error("alive")
	}
	if err := h.Signal(unix.SIGCONT); !errors.Is(err, ErrGone) {
		t.Errorf("Signal: %v", err)
	}
	if fd, err := h.Pidfd(); !errors.Is(err, ErrGone) {
		t.Errorf("Pidfd: %v, %v", fd, err)
	}
	if err := h.Wait(context.Background()); err == nil {
		t.Error("Wait says that it ended")
	}
}

func TestPidfdOutlivesTheHandle(t *testing.T) {
	c := startShell(t, "")
	fd, err := c.Pidfd()
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	c.Close()
	if flags, err := unix.FcntlInt(fd.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v: every child would inherit it", flags, err)
	}
	if ended(int(fd.Fd())) {
		t.Error("the pidfd says that the process ended")
	}
	c.process.End()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd.Fd()), Events: unix.POLLIN}}, 5000); err != nil || n != 1 {
		t.Errorf("poll = %d, %v", n, err)
	}
}

func TestProcessOutsideOurNamespaceIsNoParent(t *testing.T) {
	init, err := Open(1)
	if err != nil {
		t.Fatal(err)
	}
	defer init.Close()
	if parent, err := init.Parent(); !errors.Is(err, ErrGone) {
		t.Errorf("the parent of PID 1 is %v, %v", parent, err)
	}
}
