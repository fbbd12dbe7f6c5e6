package peer

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dial connects to a listening socket of the network, with the given path bound
// to the client's end.
func dial(t *testing.T, network, bind string) (server *net.UnixConn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix(network, &net.UnixAddr{Name: path, Net: network})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var local *net.UnixAddr
	if bind != "" {
		local = &net.UnixAddr{Name: bind, Net: network}
	}
	client, err := net.DialUnix(network, local, &net.UnixAddr{Name: path, Net: network})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err = l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

func TestPeerIsWhoTheKernelSays(t *testing.T) {
	for _, network := range []string{"unix", "unixpacket"} {
		t.Run(network, func(t *testing.T) {
			c, err := FromConn(dial(t, network, ""))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if c.PID != os.Getpid() || c.UID() != uint32(os.Geteuid()) || c.GID() != uint32(os.Getegid()) {
				t.Errorf("got %v gid %d, want ourselves", c, c.GID())
			}
			if ended(c.Pidfd) {
				t.Error("our own pidfd says that we have ended")
			}
		})
	}
}

func TestSocketpair(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	files := [2]*os.File{os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")}
	defer files[0].Close()
	defer files[1].Close()
	c, err := FromConn(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.PID != os.Getpid() {
		t.Errorf("got %v, want ourselves", c)
	}
}

// TestSneak is CVE-2019-7304: a client puts what looks like an identity where
// only its own choice is, the path of its end of the connection.
func TestSneak(t *testing.T) {
	want := Of(os.Getpid(), uint32(os.Geteuid()), uint32(os.Getegid()))
	for _, name := range []string{"pid=1;uid=0;gid=0;", "uid 0", ";uid=0;\n", "\x1b[2J", "pid 1 uid 0"} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			server := dial(t, "unix", name)
			if server.RemoteAddr().String() != name {
				t.Fatalf("the client's end is not bound to %q", name)
			}
			c, err := FromConn(server)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conn := &Conn{UnixConn: server, credentials: c}
			c.Pidfd, c.Exact = nil, false
			if c != want {
				t.Errorf("got %v, want %v", c, want)
			}
			if got := conn.RemoteAddr().String(); got != want.String() {
				t.Errorf("RemoteAddr is %q, want %q", got, want.String())
			}
		})
	}
}

func TestListeningSocketHasNoPeer(t *testing.T) {
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "socket")
		defer f.Close()
		c, err := FromConn(f)
		if err == nil || c != (Credentials{}) {
			t.Errorf("got %v, %v for a socket without a peer", c, err)
		}
	}
}

func TestClosedSocketIsRefused(t *testing.T) {
	server := dial(t, "unix", "")
	server.Close()
	if c, err := FromConn(server); err == nil || c.IsRoot() || c.UID() != NoID {
		t.Errorf("got %v, %v for a closed socket", c, err)
	}
}

// TestPeerThatEnded connects from a process that has ended and was reaped before
// the question is asked: its number may be anybody's by now.
func TestPeerThatEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := exec.Command(os.Args[0], "-test.run=^TestHelperConnect$")
	client.Env = append(os.Environ(), "PEER_TEST_SOCKET="+path)
	if out, err := client.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	server, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c, err := FromConn(server)
	if err != nil {
		return // refused: the kernel, or we, could not hold it
	}
	defer c.Close()
	if c.IsRoot() || !ended(c.Pidfd) {
		t.Errorf("got %v for a process that has ended", c)
	}
}

func TestHelperConnect(t *testing.T) {
	path := os.Getenv("PEER_TEST_SOCKET")
	if path == "" {
		t.Skip("only run by TestPeerThatEnded and TestRootOfAnotherNamespaceIsNotRoot")
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if os.Getenv("PEER_TEST_WAIT") != "" {
		var b [1]byte
		_, _ = conn.Read(b[:]) // until the other side closes
	}
}

func TestRootOfAnotherNamespaceIsNotRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: maps 0 to 0")
	}
	ids := []syscall.SysProcIDMap{{Size: 1}}
	for name, attr := range map[string]*syscall.SysProcAttr{
		"user namespace": {Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids},
		"PID namespace":  {Cloneflags: unix.CLONE_NEWPID},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			client := exec.Command(os.Args[0], "-test.run=^TestHelperConnect$")
			client.Env = append(os.Environ(), "PEER_TEST_SOCKET="+path, "PEER_TEST_WAIT=1")
			client.SysProcAttr = attr
			if err := client.Start(); err != nil {
				t.Skipf("cannot make a namespace here: %v", err)
			}
			defer client.Wait()
			_ = l.SetDeadline(time.Now().Add(10 * time.Second))
			server, err := l.AcceptUnix()
			if err != nil {
				_ = client.Process.Kill()
				t.Fatal(err)
			}
			defer server.Close()
			c, err := FromConn(server)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if c.IsRoot() || c.IsUser() || c.Owns(0) || c.UID() != OverflowID {
				t.Errorf("%v is taken for somebody", c)
			}
		})
	}
}

func TestPidfdOpenedByNumber(t *testing.T) {
	fd, err := openPidfd(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	if ended(fd) {
		t.Error("our own pidfd says that we have ended")
	}
	if _, err := openPidfd(1 << 22); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("got %v for a number that no process can have", err)
	}
}

func TestZeroValueIsNobody(t *testing.T) {
	var c Credentials
	if c.IsRoot() || c.IsUser() || c.Owns(0) || c.Owns(NoID) || c.UID() != NoID || c.GID() != NoID {
		t.Errorf("%v is taken for somebody", c)
	}
}

func TestWhoIsWho(t *testing.T) {
	for _, test := range []struct {
		uid        uint32
		root, user bool
	}{
		{0, true, false},
		{1, false, true},
		{1000, false, true},
		{100999, false, true}, // a subordinate UID: a user of its own, who owns nothing
		{OverflowID, false, false},
		{NoID, false, false},
	} {
		c := Of(1, test.uid, test.uid)
		if c.IsRoot() != test.root || c.IsUser() != test.user || c.Owns(test.uid) != (test.root || test.user) || c.Owns(1001) {
			t.Errorf("uid %d: root %t, user %t, owns its own %t", test.uid, c.IsRoot(), c.IsUser(), c.Owns(test.uid))
		}
	}
}
