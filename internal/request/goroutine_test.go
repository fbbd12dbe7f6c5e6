package request

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// TestStepIsOfTheConnectionThatItsRequestCameBy, of several at once that nothing else tells
// apart. This process is the service; it runs steps as podman's does.
func TestStepIsOfTheConnectionThatItsRequestCameBy(t *testing.T) {
	type key struct{}
	type step struct {
		pid  int
		peer string // of its connection
	}
	steps := make(chan step)
	var running sync.WaitGroup
	server := &http.Server{
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, key{}, c) },
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			done := make(chan struct{})
			running.Go(func() {
				defer close(done)
				err := buildStage(r.Context(), func(pid int) { steps <- step{pid, r.Header.Get("Name")} })
				if err != nil {
					t.Error(err)
				}
			})
			select {
			case <-done:
			case <-r.Context().Done(): // the step goes on
			}
		}),
	}
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Close(); served.Wait(); running.Wait() })
	service := self(t)

	const clients = 3
	held := map[string]*proc.Handle{}
	var asked sync.WaitGroup
	t.Cleanup(asked.Wait)
	hangUps := map[string]context.CancelFunc{}
	for n := range clients {
		name := fmt.Sprint(n)
		life, hangUp := context.WithCancel(t.Context())
		hangUps[name] = hangUp
		asked.Go(func() {
			transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", listener.Addr().String())
			}}
			defer transport.CloseIdleConnections()
			request, _ := http.NewRequestWithContext(life, http.MethodPost, "http://service/build", nil)
			request.Header.Set("Name", name)
			if response, err := transport.RoundTrip(request); err == nil {
				response.Body.Close()
			}
		})
	}
	for range clients {
		s := <-steps
		h, err := proc.Open(s.pid)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Signal(9); h.Close() })
		held[s.peer] = h
	}
	// All have begun before the first is looked at, and their directories tell nothing.
	conns, _, err := accepted(service)
	if err != nil || len(conns) != clients {
		t.Fatalf("%+v, %v", conns, err)
	}
	var dirs []Dir
	for range clients {
		d, err := look(makeDir(t))
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, d)
	}
	type end struct {
		name string
		last Sight
		err  error
	}
	ends, live := make(chan end), make(chan string, 100)
	for name, monitor := range held {
		go func() {
			e := end{name: name}
			r := Request{Service: service.Identity, Monitor: monitor.Identity, Dirs: dirs, Conns: conns, seen: time.Now()}
			e.err = NewWatcher(proc.NewReader()).Wait(t.Context(), r, func(now Sight) {
				if e.last = now; now.Standing == Live && now.Conns == 1 {
					live <- name
				}
			})
			ends <- e
		}()
	}
	for known := map[string]bool{}; len(known) < clients; {
		known[<-live] = true
	}
	for n := range clients {
		name := fmt.Sprint(n)
		remove(t, dirs[n].Path)
		hangUps[name]()
		if e := <-ends; e.name != name || e.err != nil || e.last.Standing != Over {
			t.Fatalf("the client of request %s hangs up: %+v is over", name, e)
		}
		if n == clients-1 {
			break
		}
		select {
		case e := <-ends:
			t.Errorf("%+v is over, too", e)
		case <-time.After(2 * near):
		}
	}
	for name, monitor := range held { // as a daemon sees it that was not there before
		for deadline := time.Now().Add(never); ; time.Sleep(time.Millisecond) {
			own, ok, err := ownOf(service, monitor, nil)
			if err == nil && ok && own.FD == noSocket {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the service has closed the connection of request %s: %+v, %v, %v", name, own, ok, err)
			}
		}
		ends, err := sights(service, []Conn{{FD: noSocket}}, tells(t))
		if err != nil || ends[0] != closed {
			t.Errorf("%v, %v", ends, err)
		}
	}
}

// buildStage, execute and runStep keep the context for what comes after the step, as those
// of buildah do.
//
//go:noinline
func buildStage(ctx context.Context, began func(pid int)) error {
	err := execute(ctx, began)
	return lateOf(ctx, err)
}

//go:noinline
func execute(ctx context.Context, began func(pid int)) error {
	var room [64]uintptr
	err := runStep(ctx, began)
	runtime.KeepAlive(&room)
	return lateOf(ctx, err)
}

//go:noinline
func runStep(ctx context.Context, began func(pid int)) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	command := exec.Command("sleep", "1000")
	if err := command.Start(); err != nil {
		return err
	}
	began(command.Process.Pid)
	_ = command.Wait() // it is killed
	return lateOf(ctx, nil)
}

//go:noinline
func lateOf(ctx context.Context, err error) error {
	if ctx.Value("") != nil {
		return os.ErrInvalid
	}
	return err
}

func TestWhichConnectionAGoroutineHas(t *testing.T) {
	for _, row := range []struct {
		frames map[int]int
		want   int
	}{
		{map[int]int{8: 4}, 8},
		{map[int]int{8: 3, 9: 1, 10: 1}, 8}, // left by what has run on that stack before
		{map[int]int{8: 2}, 0},
		{map[int]int{8: 5, 9: 2}, 0},
		{map[int]int{8: 3, 9: 3}, 0},
		{nil, 0},
	} {
		for range 10 { // a map's order is not one
			if got, ok := ownNumber(row.frames); ok != (row.want != 0) || ok && got != row.want {
				t.Errorf("%v: %d, %v", row.frames, got, ok)
			}
		}
	}
}

func TestWhichThreadWaits(t *testing.T) {
	pidOf := func(_, fd int) int { return map[int]int{0x24: 798}[fd] }
	for text, want := range map[string]uint64{
		"247 0x3 0x24 0x37dcc66a87e8 0x4 0x37dcc68045a0 0x0 0x37dcc66a86b0 0x41c4ae\n": 0x37dcc66a86b0, // podman 5.8
		"247 0x1 0x31e 0xc000637258 0x1000004 0x0 0x0 0xc000637148 0x40dfce\n":         0xc000637148,   // podman 4.3
		"247 0x3 0x25 0x37dcc66a87e8 0x4 0x37dcc68045a0 0x0 0x37dcc66a86b0 0x41c4ae\n": 0,              // for another
		"247 0x1 0x31f 0xc000637258 0x1000004 0x0 0x0 0xc000637148 0x40dfce\n":         0,
		"247 0x1 0x31e 0xc000637258 0x1000004 0x0 0x0 0xc000637149 0x40dfce\n":         0, // no stack of words
		"202 0x3 0x24 0x37dcc66a87e8 0x4 0x37dcc68045a0 0x0 0x37dcc66a86b0 0x41c4ae\n": 0,
		"running\n": 0, "-1 0x7fff 0x41\n": 0, "": 0, "247 a b c d e f g h\n": 0,
	} {
		text = strings.Replace(text, "247 ", fmt.Sprint(unix.SYS_WAITID, " "), 1)
		if got, ok := parseWait(text, 1, 798, pidOf); got != want || ok != (want != 0) {
			t.Errorf("%q: %#x, %v", text, got, ok)
		}
	}
}

func TestWhenTheConnectionIsLookedForAgain(t *testing.T) {
	s := search{monitor: self(t), pause: every}
	at, looks := time.Now(), []time.Duration{}
	for after := time.Duration(0); after < 10*time.Second; after += every / 2 {
		if s.due(after >= 6*time.Second, at.Add(after)) {
			looks = append(looks, after)
		}
	}
	want := []time.Duration{0, every, 3 * every, 7 * every, 12 * every, 13 * every, 15 * every, 19 * every}
	if !slices.Equal(looks, want) {
		t.Errorf("looks at %v, want %v", looks, want)
	}
}
