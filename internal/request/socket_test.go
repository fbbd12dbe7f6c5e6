package request

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
)

func endNow(t *testing.T, c Conn) end {
	t.Helper()
	ends, err := sights(self(t), []Conn{c}, tells(t))
	if err != nil {
		t.Fatal(err)
	}
	return ends[0]
}

// TestEndsOfAConnection: what each side does to it.
func TestEndsOfAConnection(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(client, served net.Conn)
		unix end
		tcp  end
	}{
		{"nothing", func(_, _ net.Conn) {}, open, open},
		{"the client sends no more", func(c, _ net.Conn) { _ = c.(interface{ CloseWrite() error }).CloseWrite() }, leaving, leaving},
		{"the client is gone", func(c, _ net.Conn) { c.Close() }, hungUp, leaving},
		{"the client leaves data unread", func(c, s net.Conn) { _, _ = s.Write([]byte("x")); c.Close() }, hungUp, hungUp},
		{"the service sends no more", func(_, s net.Conn) { _ = s.(interface{ CloseWrite() error }).CloseWrite() }, open, open},
		{"the service has closed it", func(_, s net.Conn) { s.Close() }, closed, closed},
	} {
		for network, address := range map[string]string{"unix": "@" + t.Name(), "tcp": "127.0.0.1:0"} {
			t.Run(row.name+", "+network, func(t *testing.T) {
				conns := serve(t, network, address, 1)
				r := request(t)
				if len(r.Conns) != 1 {
					t.Fatalf("accepted: %v", r.Conns)
				}
				row.do(conns[0].client, conns[0].served)
				want := row.unix
				if network == "tcp" {
					want = row.tcp
				}
				if got := endNow(t, r.Conns[0]); got != want {
					t.Errorf("end %d, want %d", got, want)
				}
			})
		}
	}
}

// TestDescriptorThatIsUsedAgainIsAnotherConnection.
func TestDescriptorThatIsUsedAgainIsAnotherConnection(t *testing.T) {
	conns := serveUnix(t, 1)
	c := request(t).Conns[0]
	c.Cookie++
	if got := endNow(t, c); got != closed {
		t.Errorf("another socket: end %d", got)
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c.FD = int(file.Fd())
	if got := endNow(t, c); got != closed {
		t.Errorf("a file: end %d", got)
	}
	conns[0].hangUp()
}

// TestSightIsNoLongerThanItTakes: the peer sees the service's close at once.
func TestLookHoldsNoConnectionOpen(t *testing.T) {
	conns := serveUnix(t, 1)
	c := request(t).Conns[0]
	endNow(t, c)
	conns[0].served.Close()
	if n, err := conns[0].client.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the client reads %d, %v", n, err)
	}
}

// TestServiceWithMoreThanIsLookedAt is not taken for one whose connections are all known.
func TestConnectionAmongManyDescriptorsIsFound(t *testing.T) {
	serveUnix(t, 1)
	before := len(request(t).Conns)
	for range 5000 { // more than were looked at once
		file, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
	}
	served := serveUnix(t, 1)
	if got := len(request(t).Conns); got != before+1 {
		t.Errorf("%d connections, want %d", got, before+1)
	}
	served[0].hangUp()
	files, err := self(t).Files()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	numbers, all, err := files.Numbers(100)
	if err != nil || all || len(numbers) != 100 {
		t.Errorf("%d descriptors, all: %v, %v", len(numbers), all, err)
	}
}

// TestServiceThatCannotBeLookedAtIsNotDone: of one that is gone, or that listens on
// nothing, not all connections are known.
func TestServiceThatListensOnNothingIsNotKnown(t *testing.T) {
	service := startWith(t, "X=")
	if conns, all, err := accepted(service); err != nil || all || len(conns) != 0 {
		t.Errorf("%v, %v, %v", conns, all, err)
	}
	if _, _, err := accepted(&proc.Handle{}); err == nil {
		t.Error("nobody's connections are known")
	}
}

// TestSocketsThatMayNotBeLookedAt are connections until the service closes them.
func TestSocketsThatMayNotBeLookedAt(t *testing.T) {
	conns := serveUnix(t, 2)
	files, err := self(t).Files()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	numbers, all, err := files.Numbers(maxDescriptors)
	if err != nil || !all {
		t.Fatal(all, err)
	}
	known := request(t).Conns
	blind, all, err := sockets(files, numbers, all)
	if err != nil || !all {
		t.Fatal(all, err)
	}
	for _, c := range known {
		i := slices.IndexFunc(blind, func(b Conn) bool { return b.FD == c.FD && b.blind() })
		if i < 0 {
			t.Fatalf("%+v is not among %+v", c, blind)
		}
		if got := endNow(t, blind[i]); got != open {
			t.Errorf("end %d", got)
		}
	}
	conns[0].hangUp()
	gone := 0
	for _, c := range blind {
		if endNow(t, c) == closed {
			gone++
		}
	}
	if gone != 2 { // this process has both ends
		t.Errorf("%d are closed, want 2", gone)
	}
}

// BenchmarkSights is a look at 1,000 connections.
func BenchmarkSights(b *testing.B) {
	listener, err := net.Listen("unix", filepath.Join(b.TempDir(), "socket"))
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	served, err := listener.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer served.Close()
	h, err := proc.Open(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	conns, _, err := accepted(h)
	if err != nil || len(conns) != 1 {
		b.Fatal(conns, err)
	}
	for range 1000 {
		conns = append(conns, conns[0])
	}
	later := tells(b)
	for b.Loop() {
		if _, err := sights(h, conns[:1000], later); err != nil {
			b.Fatal(err)
		}
	}
}
