package placement

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/peer"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/scopes"
	"github.com/buildwatch/buildwatch/internal/watch"
	"github.com/buildwatch/buildwatch/internal/wire"
)

func TestWrapperGetsAPlaceAndIsMovedThere(t *testing.T) {
	wrapper := install(t)
	d := serve(t, listen(t), &fakePlaces{}, Options{Wrapper: wrapper})
	p := startRole(t, wrapper, "whole", nil, d.socket)
	for _, want := range []string{"prepared " + cgroupsPath, "entered "} {
		if got := p.Line(t); got != want {
			t.Errorf("the wrapper hears %q, want %q", got, want)
		}
	}
	if cause := d.counts.next(t); cause != CauseNone {
		t.Errorf("counted as %q", cause)
	}
	d.stop()
	d.counts.none(t)
	questions, moved := d.fakes.seen()
	want := asked{p.Process.Pid, uint32(os.Getuid()), uint32(os.Getgid()), prepare.Container}
	if !slices.Equal(questions, []asked{want}) || !slices.Equal(moved, []int{p.Process.Pid}) {
		t.Errorf("asked for %+v, moved %v; want %+v, moved once", questions, moved, want)
	}
	if d.log.String() != "" {
		t.Errorf("logged: %s", d.log)
	}
}

// Attack 10: a shell, a container's init, a conmon asks for a place.
func TestOtherProgramsAreRefused(t *testing.T) {
	wrapper := install(t)
	dir := filepath.Dir(wrapper)
	twin := proctest.Copy(t, wrapper, "twin")
	for name, test := range map[string]struct {
		wrapper, caller string
		cause           Cause
	}{
		"another program":               {wrapper, proctest.Self(t), CauseRefused},
		"a copy of the wrapper":         {wrapper, twin, CauseRefused},
		"a wrapper that is not there":   {filepath.Join(dir, "none"), wrapper, CauseCgroup},
		"a directory as the wrapper":    {dir, wrapper, CauseRefused},
		"a wrapper that is a dead link": {makeLink(t, dir, "dead", "none"), wrapper, CauseCgroup},
	} {
		t.Run(name, func(t *testing.T) {
			d := serve(t, listen(t), &fakePlaces{}, Options{Wrapper: test.wrapper})
			p := startRole(t, test.caller, "whole", nil, d.socket)
			if got := p.Line(t); got != "refused " {
				t.Errorf("the caller hears %q", got)
			}
			if cause := d.counts.next(t); cause != test.cause {
				t.Errorf("counted as %q, want %q", cause, test.cause)
			}
			if questions, _ := d.fakes.seen(); len(questions) != 0 {
				t.Errorf("asked for %+v", questions)
			}
		})
	}
	d := serve(t, listen(t), &fakePlaces{}, Options{Wrapper: makeLink(t, dir, "crun", "buildwatch-runtime")})
	if got := startRole(t, wrapper, "whole", nil, d.socket).Line(t); !strings.HasPrefix(got, "prepared ") {
		t.Errorf("the wrapper itself, through a link, hears %q", got)
	}
}

func makeLink(t *testing.T, dir, name, to string) string {
	t.Helper()
	link := filepath.Join(dir, name)
	if err := os.Symlink(to, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// Attacks 1 and 4: whoever has gone, or has become the runtime, must not be
// moved, however late the daemon is.
func TestCallerThatIsNoLongerTheWrapperIsNotMoved(t *testing.T) {
	wrapper := install(t)
	become, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 3)
	for name, test := range map[string]struct {
		role  string
		fakes *fakePlaces
		cause Cause
	}{
		"it exits while its build is looked for": {"prepare", &fakePlaces{
			find: func(_ context.Context, caller owners.Caller) error {
				asked <- struct{}{}
				exited(t, caller)
				return nil
			},
		}, CauseTimeout},
		"it exits before it is moved": {"enter", &fakePlaces{
			enter: func(_ context.Context, caller owners.Caller, act func() error) error {
				exited(t, caller)
				return act()
			},
		}, CauseTimeout},
		"it becomes the runtime": {"become", &fakePlaces{
			enter: func(_ context.Context, caller owners.Caller, act func() error) error {
				runsAnother(t, caller.Handle, wrapper)
				return act()
			},
		}, CauseRefused},
	} {
		t.Run(name, func(t *testing.T) {
			d := serve(t, listen(t), test.fakes, Options{Wrapper: wrapper})
			p := startRole(t, wrapper, test.role, nil, d.socket, become)
			if test.role == "prepare" {
				<-asked
				p.End()
			}
			if cause := d.counts.next(t); cause != test.cause {
				t.Errorf("counted as %q, want %q", cause, test.cause)
			}
			if questions, moved := d.fakes.seen(); len(questions) != 1 || len(moved) != 0 {
				t.Errorf("asked %d times, moved %v", len(questions), moved)
			}
			d.stop()
			d.counts.none(t)
		})
	}
}

// Attack 1: connect, give the socket to another process, exit: the PID that the
// kernel names may be anybody's by then.
func TestConnectionWhoseMakerExitedIsRefused(t *testing.T) {
	for name, acceptedBefore := range map[string]bool{"accepted before": true, "accepted after": false} {
		t.Run(name, func(t *testing.T) {
			wrapper := install(t)
			l := listen(t)
			var d *daemon
			if acceptedBefore {
				d = serve(t, l, &fakePlaces{}, Options{Wrapper: wrapper})
			}
			p := startRole(t, wrapper, "pass", nil, l.Addr().String())
			p.Line(t)
			p.End()
			if status := p.Status(); !status.Exited() {
				t.Fatalf("the caller ended with %#x", status)
			}
			if !acceptedBefore {
				d = serve(t, l, &fakePlaces{}, Options{Wrapper: wrapper})
			}
			if heard := p.Line(t); heard != string(wire.Refused) && heard != "cut off" {
				t.Errorf("the heir hears %q", heard)
			}
			if cause := d.counts.next(t); cause != CauseTimeout && cause != CauseRefused {
				t.Errorf("counted as %q", cause)
			}
			if questions, moved := d.fakes.seen(); len(questions) != 0 || len(moved) != 0 {
				t.Errorf("asked for %+v, moved %v", questions, moved)
			}
		})
	}
}

func TestPeerThatExitedBeforeItWasAcceptedIsRefused(t *testing.T) {
	l := listen(t)
	p := startRole(t, proctest.Self(t), "connect", nil, l.Addr().String())
	p.Line(t)
	p.End()
	if status := p.Status(); !status.Exited() {
		t.Fatalf("the caller ended with %#x", status)
	}
	d := serve(t, l, &fakePlaces{}, Options{})
	if cause := d.counts.next(t); cause != CauseTimeout && cause != CauseRefused {
		t.Errorf("counted as %q", cause)
	}
}

func TestWhoOnlyLooksWhetherTheDaemonIsThereIsNotCounted(t *testing.T) {
	d := serve(t, listen(t), &fakePlaces{}, Options{})
	connect(t, d).close()
	c := connect(t, d) // served after it
	c.want(t, prepare, wire.Prepared)
	c.want(t, enter, wire.Entered)
	if cause := d.counts.next(t); cause != CauseNone {
		t.Errorf("counted as %q", cause)
	}
	d.stop()
	d.counts.none(t)
	if d.unplaced.Load() != 0 {
		t.Error("one that was placed is told of as unplaced")
	}
}

// Attack 2: nothing, too little, too much, or half of it.
func TestBadRequests(t *testing.T) {
	const limit = 100 * time.Millisecond
	large := bytes.Repeat([]byte{' '}, 64<<10)
	copy(large, wire.Encode(prepare))
	long := slices.Clone(large[:wire.MaxMessage+1])
	for name, packet := range map[string][]byte{
		"nothing":             nil,
		"one byte":            []byte("{"),
		"garbage":             []byte("\x00\xff garbage"),
		"half a message":      wire.Encode(prepare)[:10],
		"a byte too long":     long,
		"64 KiB":              large,
		"enter first":         wire.Encode(enter),
		"an answer":           wire.Encode(wire.Message{Type: wire.Prepared, CgroupsPath: "/"}),
		"no container":        wire.Encode(wire.Message{Type: wire.Prepare}),
		"a path as container": wire.Encode(wire.Message{Type: wire.Prepare, Container: "../../x"}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := serve(t, listen(t), &fakePlaces{}, Options{Limit: limit})
			c := connect(t, d)
			if packet != nil {
				if _, err := c.Write(packet); err != nil {
					t.Fatal(err)
				}
			}
			c.wantEnd(t, wire.Refused)
			if cause := d.counts.next(t); cause != CauseBadRequest {
				t.Errorf("counted as %q", cause)
			}
			if questions, _ := d.fakes.seen(); len(questions) != 0 {
				t.Errorf("asked for %+v", questions)
			}
			d.stop()
			d.counts.none(t)
			if d.log.String() != "" {
				t.Errorf("a user can fill the log: %s", d.log)
			}
		})
	}
}

// TestCallerSeesWhenNothingIsDoneAnyMore: one that comes too late to take its request back
// waits for that.
func TestCallerSeesWhenNothingIsDoneAnyMore(t *testing.T) {
	acting, goOn := make(chan struct{}), make(chan struct{})
	d := serve(t, listen(t), &fakePlaces{enter: func(_ context.Context, _ owners.Caller, act func() error) error {
		err := act()
		close(acting)
		<-goOn
		return err
	}}, Options{})
	c := connect(t, d)
	c.want(t, prepare, wire.Prepared)
	over := func(patience int) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(c.claim)}}, patience)
		return err == nil && n == 1
	}
	if err := c.say(enter); err != nil {
		t.Fatal(err)
	}
	<-acting
	if c.takeClaim() || over(0) {
		t.Error("the caller is about to be moved, and does not see it")
	}
	close(goOn)
	if m, err := c.hear(); err != nil || m.Type != wire.Entered {
		t.Errorf("heard %+v, %v", m, err)
	}
	if !over(int(patience / time.Millisecond)) {
		t.Error("the caller was moved, and does not see it")
	}
}

// Attacks 2 and 4: the first half of a conversation, then something else.
func TestHalfAConversationMovesNobody(t *testing.T) {
	const limit = 100 * time.Millisecond
	for name, test := range map[string]struct {
		then   func(t *testing.T, c *client)
		answer wire.Type
		cause  Cause
	}{
		"then nothing": {func(*testing.T, *client) {}, wire.Refused, CauseTimeout},
		"then gone": {func(t *testing.T, c *client) {
			if m, err := c.hear(); err != nil || m.Type != wire.Prepared {
				t.Errorf("heard %+v, %v", m, err)
			}
			c.close()
		}, "", CauseTimeout},
		"then gone, the answer unread": {func(t *testing.T, c *client) {
			waitReadable(t, c)
			c.close()
		}, "", CauseTimeout},
		"then garbage":     {func(_ *testing.T, c *client) { _, _ = c.Write([]byte("x")) }, wire.Refused, CauseBadRequest},
		"then a second":    {func(_ *testing.T, c *client) { _ = c.say(prepare) }, wire.Refused, CauseBadRequest},
		"then 4 KiB and 1": {func(_ *testing.T, c *client) { _, _ = c.Write(make([]byte, wire.MaxMessage+1)) }, wire.Refused, CauseBadRequest},
		"then enter, the claim taken back": {func(t *testing.T, c *client) {
			if m, err := c.hear(); err != nil || m.Type != wire.Prepared || !c.takeClaim() {
				t.Errorf("no claim with %+v, %v", m, err)
			}
			if err := c.say(enter); err != nil {
				t.Error(err)
			}
			c.wantEnd(t, wire.Refused)
			c.close()
		}, "", CauseTimeout},
		"then enter, with a claim made to block": {func(t *testing.T, c *client) {
			if m, err := c.hear(); err != nil || m.Type != wire.Prepared {
				t.Errorf("heard %+v, %v", m, err)
			}
			if err := unix.SetNonblock(c.claim, false); err != nil {
				t.Error(err)
			}
			// With a writer of its own, a reader of the empty pipe would wait.
			writer, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", c.claim), unix.O_WRONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Error(err)
			}
			defer unix.Close(writer)
			if !c.takeClaim() {
				t.Error("no claim")
			}
			if err := c.say(enter); err != nil {
				t.Error(err)
			}
			c.wantEnd(t, wire.Refused)
			c.close()
		}, "", CauseTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := serve(t, listen(t), &fakePlaces{}, Options{Limit: limit})
			c := connect(t, d)
			if err := c.say(prepare); err != nil {
				t.Fatal(err)
			}
			test.then(t, c)
			if test.answer != "" {
				if m, err := c.hear(); err != nil || m.Type != wire.Prepared {
					t.Fatalf("heard %+v, %v", m, err)
				}
				c.wantEnd(t, test.answer)
			}
			if cause := d.counts.next(t); cause != test.cause {
				t.Errorf("counted as %q, want %q", cause, test.cause)
			}
			if _, moved := d.fakes.seen(); len(moved) != 0 {
				t.Errorf("moved %v", moved)
			}
			d.stop()
			d.counts.none(t)
		})
	}
}

// waitReadable waits until an answer is there, and leaves it unread.
func waitReadable(t *testing.T, c *client) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return err == nil && n == 1
	}); err != nil {
		t.Fatal(err)
	}
}

// Attack 5: 253 descriptors in one message, the most that the kernel lets pass.
func TestDescriptorsAreNotReceived(t *testing.T) {
	for _, at := range []wire.Type{wire.Prepare, wire.Enter} {
		t.Run("with "+string(at), func(t *testing.T) {
			reached, release := make(chan struct{}), make(chan struct{})
			hold := func() error {
				close(reached)
				<-release
				return nil
			}
			fakes := &fakePlaces{}
			if at == wire.Prepare {
				fakes.find = func(context.Context, owners.Caller) error { return hold() }
			} else {
				fakes.enter = func(_ context.Context, _ owners.Caller, act func() error) error {
					return errors.Join(hold(), act())
				}
			}
			d := serve(t, listen(t), fakes, Options{})
			c := connect(t, d)
			var pipe [2]int
			if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
				t.Fatal(err)
			}
			defer unix.Close(pipe[0])
			rights := unix.UnixRights(slices.Repeat([]int{pipe[1]}, 253)...)
			if at == wire.Enter {
				c.want(t, prepare, wire.Prepared)
			}
			before := countDescriptors(t)
			message := map[wire.Type]wire.Message{wire.Prepare: prepare, wire.Enter: enter}[at]
			if _, _, err := c.WriteMsgUnix(wire.Encode(message), rights, nil); err != nil {
				t.Fatal(err)
			}
			unix.Close(pipe[1])
			<-reached
			// The other end of the pipe is closed everywhere, while the request is
			// still being served.
			if n, err := unix.Poll([]unix.PollFd{{Fd: int32(pipe[0]), Events: unix.POLLIN}}, int(patience.Milliseconds())); err != nil || n != 1 {
				t.Errorf("somebody still has the descriptors: %d, %v", n, err)
			}
			// The connection's own may have come in the meantime.
			if now := countDescriptors(t); now > before+10 {
				t.Errorf("%d descriptors, %d before", now, before)
			}
			close(release)
			if at == wire.Prepare {
				if m, err := c.hear(); err != nil || m.Type != wire.Prepared {
					t.Errorf("heard %+v, %v", m, err)
				}
				c.want(t, enter, wire.Entered)
			} else {
				c.wantEnd(t, wire.Entered)
			}
		})
	}
}

func countDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestRequestHasOneTimeLimit(t *testing.T) {
	const limit = 50 * time.Millisecond
	late := func(ctx context.Context) { <-ctx.Done() }
	for name, test := range map[string]struct {
		fakes *fakePlaces
		last  wire.Type
		cause Cause
		moved int
	}{
		"systemd is silent": {&fakePlaces{
			find: func(ctx context.Context, _ owners.Caller) error { late(ctx); return context.Cause(ctx) },
		}, wire.Refused, CauseSystemd, 0},
		"over before the move": {&fakePlaces{
			enter: func(ctx context.Context, _ owners.Caller, act func() error) error { late(ctx); return act() },
		}, wire.Refused, CauseTimeout, 0},
		"over after the move: it was placed": {&fakePlaces{
			enter: func(ctx context.Context, _ owners.Caller, act func() error) error {
				err := act()
				late(ctx)
				return err
			},
		}, wire.Entered, CauseNone, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := serve(t, listen(t), test.fakes, Options{Limit: limit})
			c := connect(t, d)
			last, err := c.ask(prepare)
			if err == nil && last.Type == wire.Prepared {
				last, err = c.ask(enter)
			}
			if err != nil {
				t.Fatal(err)
			}
			if last.Type != test.last {
				t.Errorf("the daemon's last word is %+v, want %s", last, test.last)
			}
			if cause := d.counts.next(t); cause != test.cause {
				t.Errorf("counted as %q, want %q", cause, test.cause)
			}
			if _, moved := d.fakes.seen(); len(moved) != test.moved {
				t.Errorf("moved %v", moved)
			}
		})
	}
}

func TestContainerOfAnEndedBuildIsTurnedAway(t *testing.T) {
	ended := watch.EndedError{Reason: api.ReasonStopped}
	for name, fakes := range map[string]*fakePlaces{
		"at once": {find: func(context.Context, owners.Caller) error { return fmt.Errorf("wrapped: %w", ended) }},
		"meanwhile": {enter: func(context.Context, owners.Caller, func() error) error {
			return ended
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := serve(t, listen(t), fakes, Options{})
			c := connect(t, d)
			if name == "meanwhile" {
				c.want(t, prepare, wire.Prepared)
				if got := c.want(t, enter, wire.Ended); got.Reason != ended.Words() {
					t.Errorf("the reason is %q", got.Reason)
				}
				if !c.takeClaim() {
					t.Error("the claim was taken")
				}
			} else if got := c.want(t, prepare, wire.Ended); got.Reason != ended.Words() {
				t.Errorf("the reason is %q", got.Reason)
			}
			if cause := d.counts.next(t); cause != CauseRefused {
				t.Errorf("counted as %q", cause)
			}
			if d.log.String() != "" {
				t.Errorf("logged: %s", d.log)
			}
			if d.unplaced.Load() != 0 {
				t.Error("it is told of as one that is created all the same")
			}
		})
	}
}

// Attack 3: user A holds as many connections as there can be.
func TestIdleConnectionsKeepNobodyFromAPlace(t *testing.T) {
	type crowd struct {
		many    int
		limiter *peer.Limiter
		change  func(*exec.Cmd)
		within  time.Duration
	}
	crowds := map[string]crowd{
		"all of them allowed": {1000, peer.NewLimiter(2000, 2000), nil, patience},
	}
	if os.Geteuid() == 0 { // only root can start another user's processes
		crowds["another user's, beyond the limit"] = crowd{5000, peer.NewLimiter(64, 1024), func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
			cmd.Dir = "/"
		}, wire.Patience}
	}
	for name, crowd := range crowds {
		t.Run(name, func(t *testing.T) {
			wrapper := install(t)
			d := serve(t, listen(t), &fakePlaces{}, Options{Limit: 900 * time.Millisecond, Limiter: crowd.limiter})
			flood := startRole(t, wrapper, "flood", crowd.change, d.socket, fmt.Sprint(crowd.many))
			var slowest time.Duration
			for _, moment := range []string{"half", "all"} {
				if got := flood.Line(t); got != moment {
					t.Fatalf("the flood says %q", got)
				}
				for range 20 {
					c, err := dial(d.socket)
					for errors.Is(err, unix.EAGAIN) { // a wrapper would exec the runtime now
						time.Sleep(time.Millisecond)
						c, err = dial(d.socket)
					}
					if err != nil {
						t.Fatal(err)
					}
					started := time.Now()
					c.want(t, prepare, wire.Prepared)
					c.want(t, enter, wire.Entered)
					c.close()
					slowest = max(slowest, time.Since(started))
				}
			}
			if slowest > crowd.within {
				t.Errorf("a place took up to %v", slowest)
			}
			t.Logf("a place took up to %v", slowest)
			_, moved := d.fakes.seen()
			if len(moved) != 40 {
				t.Errorf("%d of 40 were moved", len(moved))
			}
		})
	}
}

// snapd LP#1946656: an idle connection kept the daemon from stopping. The limit
// is the longest that can be configured.
func TestStopDoesNotWaitForIdlePeers(t *testing.T) {
	const limit = 900 * time.Millisecond
	d := serve(t, listen(t), &fakePlaces{}, Options{Limit: limit})
	for range 1000 {
		connect(t, d)
	}
	last := connect(t, d)
	last.want(t, prepare, wire.Prepared) // all before it are being served
	started := time.Now()
	d.stop()
	if took := time.Since(started); took > limit+time.Second { // 1 s in all, and what -race adds
		t.Errorf("took %v", took)
	}
	if _, err := dial(d.socket); err == nil {
		t.Error("it still listens")
	}
}

func TestConnectionsBeyondTheLimitAreCounted(t *testing.T) {
	d := serve(t, listen(t), &fakePlaces{}, Options{Limiter: peer.NewLimiter(1, 1)})
	first := connect(t, d)
	first.want(t, prepare, wire.Prepared)
	connect(t, d).wantEnd(t, "")
	if cause := d.counts.next(t); cause != CauseRefused {
		t.Errorf("counted as %q", cause)
	}
	first.want(t, enter, wire.Entered)
}

func TestCausesOfFailures(t *testing.T) {
	causes := map[Cause]int{}
	for _, row := range []struct {
		err  error
		want Cause
	}{
		{nil, CauseNone},
		{badRequest(nil), CauseBadRequest},
		{badRequest(os.ErrDeadlineExceeded), CauseBadRequest},
		{watch.EndedError{Reason: api.ReasonStopped}, CauseRefused},
		{owners.ErrNoBuilder, CauseRefused},
		{proc.ErrOtherProgram, CauseRefused},
		{errElsewhere, CauseOutside},
		{errGivenUp, CauseTimeout},
		{proc.ErrGone, CauseTimeout},
		{scopes.ErrLeft, CauseTimeout},
		{fmt.Errorf("%w: %w", scopes.ErrBusy, context.DeadlineExceeded), CauseTimeout},
		{scopes.ErrNoSystemd, CauseSystemd},
		{scopes.ErrUnitExists, CauseSystemd},
		{scopes.ErrUnbounded, CauseSystemd},
		{context.DeadlineExceeded, CauseSystemd},
		{scopes.ErrGone, CauseCgroup},
		{unix.EACCES, CauseCgroup},
		{proc.ErrHangs, CauseRefused},
		{errors.New("anything else"), CauseCgroup},
	} {
		if got := causeOf(row.err); got != row.want {
			t.Errorf("causeOf(%v) = %q, want %q", row.err, got, row.want)
		}
		if row.err == nil {
			continue
		}
		wrapped := fmt.Errorf("a step: %w", row.err)
		if got := causeOf(wrapped); got != row.want {
			t.Errorf("causeOf(%v) = %q, want %q", wrapped, got, row.want)
		}
		causes[row.want]++
	}
	for _, cause := range Causes() {
		if causes[cause] == 0 {
			t.Errorf("no error has the cause %q", cause)
		}
	}
}

func TestEveryFailureIsAnsweredAndCounted(t *testing.T) {
	for _, row := range []struct {
		err   error
		cause Cause
		warns bool
	}{
		{owners.ErrNoBuilder, CauseRefused, false},
		{scopes.ErrNoSystemd, CauseSystemd, true},
		{scopes.ErrLeft, CauseTimeout, false},
		{unix.EBUSY, CauseCgroup, true},
	} {
		t.Run(string(row.cause), func(t *testing.T) {
			d := serve(t, listen(t), &fakePlaces{
				enter: func(context.Context, owners.Caller, func() error) error { return row.err },
			}, Options{})
			for range 3 {
				c := connect(t, d)
				c.want(t, prepare, wire.Prepared)
				if got := c.want(t, enter, wire.Refused); got.Reason != string(row.cause) {
					t.Errorf("the reason is %q: only the cause may be told", got.Reason)
				}
				if cause := d.counts.next(t); cause != row.cause {
					t.Errorf("counted as %q", cause)
				}
			}
			d.stop()
			if n := d.unplaced.Load(); n != 3 {
				t.Errorf("%d are told of as unplaced", n)
			}
			// What the administrator has to look at is said, once; what a user can
			// bring about is not.
			if lines := strings.Count(d.log.String(), "\n"); lines != map[bool]int{true: 1, false: 0}[row.warns] {
				t.Errorf("%d lines logged:\n%s", lines, d.log)
			}
		})
	}
}
