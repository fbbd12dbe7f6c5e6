package placement

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/peer"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/watch"
	"github.com/buildwatch/buildwatch/internal/wire"
)

// patience is longer than anything here takes, but in a broken test.
const patience = 10 * time.Second

func TestMain(m *testing.M) {
	roles.Play()
	goleak.VerifyTestMain(m)
}

// install copies the test binary to where every user can run it, and returns
// the path: a program that is not the one that runs the tests.
func install(t *testing.T) string {
	t.Helper()
	return proctest.Copy(t, proctest.Self(t), "buildwatch-runtime")
}

// startRole starts the program in a role. change may be nil.
func startRole(t *testing.T, program, role string, change func(*exec.Cmd), args ...string) *proctest.Child {
	t.Helper()
	cmd := proctest.InRole(program, role, args...)
	if change != nil {
		change(cmd)
	}
	return proctest.Start(t, cmd)
}

// outcome is what the Metrics were told of one request.
type outcome struct {
	took  time.Duration
	cause Cause
}

type recorder chan outcome

func (o recorder) Placement(took time.Duration, cause Cause) { o <- outcome{took, cause} }

// next waits for the next request to be counted.
func (o recorder) next(t *testing.T) Cause {
	t.Helper()
	select {
	case got := <-o:
		return got.cause
	case <-time.After(patience):
		t.Fatal("no request was counted")
		return ""
	}
}

// none checks that no more requests were counted. It is for after stop.
func (o recorder) none(t *testing.T) {
	t.Helper()
	select {
	case got := <-o:
		t.Errorf("one more request was counted: %+v", got)
	default:
	}
}

// fakePlaces stands for package watch. It hands out places whose Enter counts
// as a move where act allows it.
type fakePlaces struct {
	find  func(ctx context.Context, caller owners.Caller) error                   // may be nil
	enter func(ctx context.Context, caller owners.Caller, act func() error) error // in the place of act itself; may be nil

	mu    sync.Mutex
	asked []asked
	moved []int // PIDs
}

type asked struct {
	pid       int
	uid, gid  uint32
	container string
}

const cgroupsPath = "/test.slice/buildwatch-x.scope/payload/run-c"

func (f *fakePlaces) places(ctx context.Context, caller owners.Caller, container watch.Container) (Place, error) {
	f.mu.Lock()
	f.asked = append(f.asked, asked{caller.PID, caller.UID, caller.GID, container.ID})
	f.mu.Unlock()
	if f.find != nil {
		if err := f.find(ctx, caller); err != nil {
			return nil, err
		}
	}
	return &fakePlace{f, ctx, caller}, nil
}

func (f *fakePlaces) seen() (questions []asked, moved []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked), slices.Clone(f.moved)
}

type fakePlace struct {
	*fakePlaces
	ctx    context.Context
	caller owners.Caller
}

func (p *fakePlace) CgroupsPath() string { return cgroupsPath }

func (p *fakePlace) Enter(act func() error) error {
	allowed := func() error {
		if err := act(); err != nil {
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.moved = append(p.moved, p.caller.PID)
		return nil
	}
	if p.enter != nil {
		return p.enter(p.ctx, p.caller, allowed)
	}
	return allowed()
}

// daemon is a Server that serves.
type daemon struct {
	socket string
	counts recorder
	fakes  *fakePlaces
	log    *buffer
	// unplaced counts the callers that were told of as that.
	unplaced atomic.Int32
	stop     func() // ends it and waits for it; more than once is fine
}

type buffer struct {
	mu      sync.Mutex
	content strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.content.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.content.String()
}

// listen makes the socket, where every user can reach it.
func listen(t testing.TB) *net.UnixListener {
	t.Helper()
	dir, err := os.MkdirTemp("", "placement")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: socket, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(socket, 0o666)); err != nil {
		t.Fatal(err)
	}
	return l
}

// serve starts a Server. What options leave out is filled in: the test's own
// program is the wrapper.
func serve(t *testing.T, l *net.UnixListener, fakes *fakePlaces, options Options) *daemon {
	t.Helper()
	d := &daemon{socket: l.Addr().String(), counts: make(recorder, 20000), fakes: fakes, log: &buffer{}}
	log := logrus.New()
	log.SetOutput(d.log)
	options.Places, options.Metrics, options.Log = fakes.places, d.counts, log
	options.Unplaced = func(*proc.Handle) { d.unplaced.Add(1) }
	if options.Wrapper == "" {
		options.Wrapper = proctest.Self(t)
	}
	if options.Limit == 0 {
		options.Limit = patience
	}
	if options.Limiter == nil {
		options.Limiter = peer.NewLimiter(10000, 10000)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- New(options).Serve(ctx, l) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(patience):
			t.Error("Serve does not end")
		}
	})
	t.Cleanup(d.stop)
	return d
}

// client is the other end of the conversation.
type client struct {
	*net.UnixConn
	claim int // -1 until it has come
}

func dial(socket string) (*client, error) {
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: socket, Net: "unixpacket"})
	if err != nil {
		return nil, err
	}
	return &client{conn, -1}, conn.SetDeadline(time.Now().Add(patience))
}

func connect(t *testing.T, d *daemon) *client {
	t.Helper()
	c, err := dial(d.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func (c *client) close() {
	_ = c.Close()
	if c.claim >= 0 {
		_ = unix.Close(c.claim)
		c.claim = -1
	}
}

func (c *client) say(m wire.Message) error {
	_, err := c.Write(wire.Encode(m))
	return err
}

func (c *client) hear() (wire.Message, error) {
	packet, control := make([]byte, wire.MaxMessage+1), make([]byte, unix.CmsgSpace(4*8))
	n, controlLen, _, _, err := c.ReadMsgUnix(packet, control)
	if err != nil {
		return wire.Message{}, err
	}
	if n == 0 {
		return wire.Message{}, io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(control[:controlLen])
	if err != nil {
		return wire.Message{}, err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return wire.Message{}, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			c.claim = fd
		}
	}
	return wire.Decode(packet[:n])
}

// takeClaim reads the claim's byte, and says whether it was there.
func (c *client) takeClaim() bool {
	n, err := unix.Read(c.claim, make([]byte, 1))
	return err == nil && n == 1
}

func (c *client) ask(m wire.Message) (wire.Message, error) {
	if err := c.say(m); err != nil {
		return wire.Message{}, err
	}
	return c.hear()
}

var (
	prepare = wire.Message{Type: wire.Prepare, Container: "buildah-buildah1"}
	enter   = wire.Message{Type: wire.Enter}
)

// want says m to the daemon, and dies with the test unless it answers so.
func (c *client) want(t *testing.T, m wire.Message, answer wire.Type) wire.Message {
	t.Helper()
	got, err := c.ask(m)
	if err != nil || got.Type != answer {
		t.Fatalf("%s is answered with %+v, %v; want %s", m.Type, got, err, answer)
	}
	return got
}

// wantEnd dies with the test unless the daemon says answer, if it is not empty,
// and closes.
func (c *client) wantEnd(t *testing.T, answer wire.Type) {
	t.Helper()
	if answer != "" {
		if m, err := c.hear(); err != nil || m.Type != answer {
			t.Fatalf("the daemon says %+v, %v; want %s", m, err, answer)
		}
	}
	if m, err := c.hear(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("the daemon says %+v, %v; want it to close", m, err)
	}
}

// roles are what the helpers do. All but flood take the daemon's socket.
var roles = proctest.Roles{
	// whole goes through the whole conversation.
	"whole": func(args []string) error {
		c, err := dial(args[0])
		if err != nil {
			return err
		}
		for _, m := range []wire.Message{prepare, enter} {
			got, err := c.ask(m)
			if err != nil {
				return err
			}
			if say(string(got.Type) + " " + got.CgroupsPath); got.Type == wire.Refused {
				break
			}
		}
		proctest.UntilTold()
		return nil
	},
	// connect connects, and exits when it is told to.
	"connect": func(args []string) error {
		_, err := dial(args[0])
		say("connected")
		proctest.UntilTold()
		return err
	},
	// prepare asks, and exits when it is told to, without hearing the answer.
	"prepare": func(args []string) error {
		c, err := dial(args[0])
		if err != nil {
			return err
		}
		err = c.say(prepare)
		proctest.UntilTold()
		return err
	},
	// enter asks twice, and exits without hearing the second answer.
	"enter": func(args []string) error {
		c, err := dial(args[0])
		if err != nil {
			return err
		}
		if _, err := c.ask(prepare); err != nil {
			return err
		}
		return c.say(enter)
	},
	// become asks twice, and becomes another program: the runtime. The connection
	// stays open in it.
	"become": func(args []string) error {
		c, err := dial(args[0])
		if err != nil {
			return err
		}
		if _, err := c.ask(prepare); err != nil {
			return err
		}
		file, err := c.File()
		if err != nil {
			return err
		}
		if _, err := unix.FcntlInt(file.Fd(), unix.F_SETFD, 0); err != nil {
			return err
		}
		if err := c.say(enter); err != nil {
			return err
		}
		return unix.Exec(args[1], []string{args[1]}, nil)
	},
	// pass connects, and leaves the connection to a child when it exits.
	"pass": func(args []string) error {
		c, err := dial(args[0])
		if err != nil {
			return err
		}
		file, err := c.File()
		if err != nil {
			return err
		}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		heir := proctest.InRole(self, "heir", strconv.Itoa(os.Getpid()))
		heir.Stdout, heir.ExtraFiles = os.Stdout, []*os.File{file}
		in, err := heir.StdinPipe()
		if err != nil {
			return err
		}
		if err := heir.Start(); err != nil {
			return err
		}
		say("passed")
		proctest.UntilTold()
		_ = in.Close() // the heir has stdin's end, and reads on when we are gone
		return nil
	},
	// heir speaks over a connection that its parent made, when that has exited.
	"heir": func(args []string) error {
		proctest.UntilTold()
		for strconv.Itoa(os.Getppid()) == args[0] {
			time.Sleep(time.Millisecond)
		}
		conn, err := net.FileConn(os.NewFile(3, "socket"))
		if err != nil {
			return err
		}
		c := &client{conn.(*net.UnixConn), -1}
		_ = c.SetDeadline(time.Now().Add(patience))
		got, err := c.ask(prepare)
		if err != nil {
			say("cut off")
		} else {
			say(string(got.Type))
		}
		return nil
	},
	// flood opens connections and says nothing on them, for as long as it is let.
	"flood": func(args []string) error {
		many, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		var open []*client
		for len(open) < many {
			c, err := dial(args[0])
			if errors.Is(err, unix.EAGAIN) { // the backlog is full
				if len(open)%100 == 0 {
					time.Sleep(time.Millisecond)
				}
				continue
			}
			if err != nil {
				return err
			}
			if open = append(open, c); len(open) == many/2 {
				say("half")
			}
		}
		say("all")
		proctest.UntilTold()
		return nil
	},
}

func say(line string) { _, _ = os.Stdout.WriteString(line + "\n") }

// exited waits until the process has ended, in the daemon's eyes.
func exited(t *testing.T, caller owners.Caller) {
	proctest.Eventually(t, "the caller has exited", func() bool { return !caller.Alive() })
}

// runsAnother waits until the process runs another program than the wrapper.
func runsAnother(t *testing.T, h *proc.Handle, wrapper string) {
	proctest.Eventually(t, "the caller runs another program", func() bool {
		exe, err := h.Exe()
		return err == nil && exe != wrapper
	})
}
