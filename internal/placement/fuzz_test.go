package placement

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/wire"
)

// pair returns the two ends of a connection.
func pair(t testing.TB) (ours, theirs *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "socket")
		conn, err := net.FileConn(file)
		_ = file.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = conn.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

// FuzzConversation sends three packets to the daemon: whatever they are, it
// answers or closes, and moves the caller only where they are a conversation.
func FuzzConversation(f *testing.F) {
	f.Add(wire.Encode(prepare), wire.Encode(enter), []byte{})
	f.Add(wire.Encode(enter), wire.Encode(prepare), wire.Encode(enter))
	f.Add(wire.Encode(prepare), wire.Encode(prepare), wire.Encode(enter))
	f.Add([]byte(`{"v":1,"type":"prepare","container":"\u0000"}`), []byte("{"), []byte{0})
	f.Add([]byte{}, []byte{}, []byte{})
	process, err := proc.Open(os.Getpid())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(process.Close)
	self := owners.Caller{Handle: process, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	log := logrus.New()
	log.SetOutput(&buffer{})
	program := proctest.Self(f)

	f.Fuzz(func(t *testing.T, first, second, third []byte) {
		fakes := &fakePlaces{}
		counts := make(recorder, 2)
		s := New(Options{Places: fakes.places, Wrapper: program, Limit: time.Second, Metrics: counts, Unplaced: func(*proc.Handle) {}, Log: log})
		ours, theirs := pair(t)
		defer theirs.Close()
		for _, packet := range [][]byte{first, second, third} {
			_, _ = theirs.Write(packet) // an empty one is the end, for the daemon
		}
		_ = theirs.CloseWrite()
		s.handle(context.Background(), ours, caller{Caller: self})
		ours.Close()

		if len(counts) > 1 {
			t.Fatalf("counted %d times", len(counts))
		}
		a, errA := wire.Decode(first)
		b, errB := wire.Decode(second)
		whole := errA == nil && errB == nil && a.Type == wire.Prepare && b.Type == wire.Enter
		questions, moved := fakes.seen()
		if whole != (len(moved) == 1) {
			t.Fatalf("%q, %q: moved %v", first, second, moved)
		}
		for _, q := range questions {
			if err := wire.CheckContainerID(q.container); err != nil || q.pid != self.PID || q.uid != self.UID {
				t.Fatalf("%q: asked for %+v, %v", first, q, err)
			}
		}
		c := &client{theirs, -1}
		defer c.close()
		_ = theirs.SetReadDeadline(time.Now().Add(patience))
		for heard := 0; ; heard++ {
			m, err := c.hear()
			if err != nil {
				break // the end, or a reset: packets were left unread
			}
			if heard > 1 || m.Type == wire.Entered && !whole {
				t.Fatalf("%q, %q: the daemon says %+v", first, second, m)
			}
		}
	})
}
