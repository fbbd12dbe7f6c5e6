package request

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"go.uber.org/goleak"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/requestdir"
)

const never = 10 * time.Second

func TestStanding(t *testing.T) {
	for _, row := range []struct {
		name                string
		dirs, conns         int
		partial             bool
		dirsGone, connsGone int
		want                Standing
	}{
		{"all is there", 1, 2, false, 0, 0, Live},
		{"another client is gone", 1, 2, false, 0, 1, Live},
		{"the handler has returned, its connection is closed", 1, 2, false, 1, 1, Over},
		{"a cleaner, or a connection that is kept", 1, 2, false, 1, 0, Left},
		{"the handler hangs, all clients are gone", 1, 2, false, 0, 2, Over},
		{"all known clients are gone, there may have been more", 1, 2, true, 0, 2, Live},
		{"one of two requests is over", 2, 2, false, 1, 1, Doubtful},
		{"both are", 2, 2, false, 2, 1, Over},
		{"no directory is known", 0, 2, false, 0, 0, Doubtful},
		{"no directory is known, a client is gone", 0, 2, false, 0, 1, Doubtful},
		{"no directory is known, all clients are gone", 0, 2, false, 0, 2, Over},
		{"nothing is known", 0, 0, false, 0, 0, Doubtful},
		{"a service that listens elsewhere", 1, 0, false, 1, 0, Left},
	} {
		r := Request{Dirs: make([]Dir, row.dirs), Conns: make([]Conn, row.conns), Partial: row.partial}
		if got := r.standing(row.dirsGone, row.connsGone); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
}

func TestCheckPath(t *testing.T) {
	for _, path := range []string{"/var/tmp/libpod_builder1", "/tmp/libpod_builder18446744073709551615"} {
		if err := CheckPath(path); err != nil {
			t.Error(err)
		}
	}
	// Attack 18: where a user's file system, or anything else, may be.
	for _, path := range []string{
		"", "libpod_builder1", "/home/u/libpod_builder1", "/var/tmp/libpod_builder", "/var/tmp/libpod_builderx",
		"/var/tmp/../tmp/libpod_builder1", "/var/tmp//libpod_builder1", "/var/tmp/x/libpod_builder1",
		"/proc/1/root/var/tmp/libpod_builder1", "/var/tmp/libpod_builder1\n", "/var/tmp/libpod_builder1/.",
		"/var/tmp/libpod_builder123456789012345678901",
	} {
		if err := CheckPath(path); err == nil {
			t.Errorf("%q passes", path)
		}
	}
}

// makeDir makes a directory as a request's handler does.
func makeDir(t *testing.T) string {
	t.Helper()
	path := fmt.Sprintf("/var/tmp/%s%d", requestdir.Prefix, time.Now().UnixNano())
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(path) })
	return path
}

// service makes this process serve: it listens, and has accepted one connection
// for each that is returned.
func service(t *testing.T, n int) (self *proc.Handle, clients []net.Conn) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	for range n {
		client, err := net.Dial("unix", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		served, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			client.Close()
			served.Close()
		})
		clients = append(clients, client)
	}
	if self, err = proc.Open(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(self.Close)
	return self, clients
}

func TestSeeBelievesNothing(t *testing.T) {
	self, clients := service(t, 3)
	clients[2].Close()
	mine := makeDir(t)
	link := mine + "0"
	if err := os.Symlink(mine, link); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(link)
	paths := []string{"/var/tmp/libpod_builder0", mine, link, "/etc", "../x"}
	r, err := NewWatcher(proc.NewReader()).See(context.Background(), self, uint32(os.Getuid()), paths)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Dirs) != 1 || r.Dirs[0].Path != mine || len(r.Conns) != 2 || r.Key() == "" {
		t.Errorf("seen: %+v; want %s and two connections", r, mine)
	}
	// Attack 17: another user's directory keeps nobody's build.
	other, err := NewWatcher(proc.NewReader()).See(context.Background(), self, uint32(os.Getuid())+1, paths)
	if err != nil || len(other.Dirs) != 0 || other.Key() != "" {
		t.Errorf("seen for another user: %+v, %v", other, err)
	}
	written, err := json.Marshal(r)
	var again Request
	if err != nil || json.Unmarshal(written, &again) != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("%s became %+v", written, again)
	}
}

// wait starts to wait for a request.
func wait(t *testing.T, w *Watcher, r Request) (standing chan Standing, over chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	standing, over = make(chan Standing, 10), make(chan error, 1)
	go func() {
		last := Standing(-1)
		over <- w.Wait(ctx, r, func(now Sight) {
			if now.Standing != last {
				last = now.Standing
				standing <- last
			}
		})
	}()
	return standing, over
}

func next(t *testing.T, standing chan Standing, want Standing) {
	t.Helper()
	select {
	case got := <-standing:
		if got != want {
			t.Fatalf("it stands at %d, want %d", got, want)
		}
	case <-time.After(never):
		t.Fatalf("it does not come to %d", want)
	}
}

func ends(t *testing.T, over chan error) {
	t.Helper()
	select {
	case err := <-over:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(never):
		t.Fatal("the request's end is not seen")
	}
}

func see(t *testing.T, w *Watcher, self *proc.Handle, paths ...string) Request {
	t.Helper()
	r, err := w.See(context.Background(), self, uint32(os.Getuid()), paths)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRequestEndsWithItsDirectoryAndItsConnection(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	self, clients := service(t, 2)
	w := NewWatcher(proc.NewReader())
	dir := makeDir(t)
	standing, over := wait(t, w, see(t, w, self, dir))
	next(t, standing, Live)
	clients[0].Close()
	os.Remove(dir)
	ends(t, over)
}

// Attack 19: a cleaner removes a live build's directory.
func TestRequestWhoseDirectoryWasRemovedIsKept(t *testing.T) {
	self, clients := service(t, 2)
	w := NewWatcher(proc.NewReader())
	dir := makeDir(t)
	standing, over := wait(t, w, see(t, w, self, dir))
	next(t, standing, Live)
	os.Remove(dir)
	next(t, standing, Left)
	if err := os.Mkdir(dir, 0o700); err != nil { // and somebody makes another one
		t.Fatal(err)
	}
	select {
	case err := <-over:
		t.Fatalf("the request is taken for over: %v", err)
	case now := <-standing:
		t.Fatalf("it stands at %d", now)
	case <-time.After(200 * time.Millisecond):
	}
	clients[1].Close()
	ends(t, over)
}

// TestEachWitnessIsTold: what is known of a build's request is shown to its user.
func TestEachWitnessIsTold(t *testing.T) {
	self, clients := service(t, 2)
	dir := makeDir(t)
	w := NewWatcher(proc.NewReader())
	r := see(t, w, self, dir)
	ctx, cancel := context.WithTimeout(context.Background(), never)
	defer cancel()
	var seen []Sight
	err := w.Wait(ctx, r, func(now Sight) {
		seen = append(seen, now)
		switch len(seen) {
		case 1:
			clients[0].Close()
		case 2:
			os.Remove(dir)
		}
	})
	want := []Sight{{Live, 0, 0}, {Live, 0, 1}, {Over, 1, 1}}
	if err != nil || !slices.Equal(seen, want) {
		t.Errorf("seen %v, want %v; %v", seen, want, err)
	}
}

func TestRequestWhoseHandlerHangsEndsWithAllConnections(t *testing.T) {
	self, clients := service(t, 2)
	w := NewWatcher(proc.NewReader())
	standing, over := wait(t, w, see(t, w, self, makeDir(t)))
	next(t, standing, Live)
	clients[0].Close()
	clients[1].Close()
	ends(t, over)
}

func TestWaitEndsWithTheContext(t *testing.T) {
	self, _ := service(t, 1)
	w := NewWatcher(proc.NewReader())
	ctx, cancel := context.WithCancel(context.Background())
	err := w.Wait(ctx, see(t, w, self, makeDir(t)), func(Sight) { cancel() })
	if err != context.Canceled {
		t.Errorf("Wait returned %v", err)
	}
}

func FuzzDecodeSocket(f *testing.F) {
	f.Add(make([]byte, sizeofMessage))
	f.Add(append(make([]byte, sizeofMessage), 8, 0, attrPeer, 0, 1, 0, 0, 0))
	f.Add(append(make([]byte, sizeofMessage), 7, 0, attrPeer, 0, 1, 0, 0, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := decodeSocket(data); err == nil && len(s.name) > len(data) {
			t.Fatalf("%x became %+v", data, s)
		}
	})
}

// startWith starts a process with one variable in its environment.
func startWith(t *testing.T, variable string) *proc.Handle {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.Env = []string{variable}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		h.Close()
	})
	return h
}

// TestCandidatesAreTheUsersWhereTheServiceMakesThem and nowhere else.
func TestCandidatesAreTheUsersWhereTheServiceMakesThem(t *testing.T) {
	const none = "LOGLEVEL=4"
	dir := makeDir(t)
	ofTmp := strings.Replace(dir, "/var/tmp", "/tmp", 1)
	if err := os.Mkdir(ofTmp, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(ofTmp) })
	uid := uint32(os.Getuid())
	for _, row := range []struct {
		service, monitor string
		uid              uint32
		want, not        string // one that must be among them, or all may be missing, and one that must not
	}{
		{none, none, uid, dir, ofTmp},
		{none, "TMPDIR=/var/tmp", uid, dir, ofTmp},
		{none, "TMPDIR=/tmp", uid, ofTmp, dir},
		{"TMPDIR=/tmp", none, uid, ofTmp, dir},
		{"TMPDIR=/var/tmp", "TMPDIR=/tmp", uid, ofTmp, dir},
		{none, none, uid + 1, "", dir},
		{none, "TMPDIR=/var/tmp/", uid, "", dir}, // podman's own is not written so
		{none, "TMPDIR=" + t.TempDir(), uid, "", dir},
	} {
		service, monitor := startWith(t, row.service), startWith(t, row.monitor)
		got, err := NewWatcher(proc.NewReader()).Candidates(t.Context(), service, monitor, row.uid)
		if err != nil || row.want != "" && !slices.Contains(got, row.want) || slices.Contains(got, row.not) {
			t.Errorf("%+v: %v, %v", row, got, err)
		}
	}
}

// TestCandidateIsNoOlderThanItsService: a service that was killed leaves directories.
func TestCandidateIsNoOlderThanItsService(t *testing.T) {
	dir := makeDir(t)
	d, err := look(dir)
	if err != nil {
		t.Fatal(err)
	}
	ageless := d.Birth == 0             // where the file system keeps no time of birth, it may be this service's
	time.Sleep(1100 * time.Millisecond) // the time of a start is exact to a second
	service := startWith(t, "X=")
	if got, err := NewWatcher(proc.NewReader()).Candidates(t.Context(), service, service, uint32(os.Getuid())); err != nil || slices.Contains(got, dir) != ageless {
		t.Errorf("%v, %v", got, err)
	}
	young := makeDir(t)
	if got, err := NewWatcher(proc.NewReader()).Candidates(t.Context(), service, service, uint32(os.Getuid())); err != nil || !slices.Contains(got, young) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestPlaceOfADirectory is the same for two that are one, however they are reached.
func TestPlaceOfADirectory(t *testing.T) {
	mount := func(device, root, point string) *procfs.MountInfo {
		return &procfs.MountInfo{MajorMinorVer: device, Root: root, MountPoint: point}
	}
	host := []*procfs.MountInfo{mount("8:1", "/", "/"), mount("0:30", "/", "/tmp")}
	for _, row := range []struct {
		name        string
		inside      []*procfs.MountInfo
		varTmp, tmp bool // are the host's
	}{
		{name: "the host's", inside: host, varTmp: true, tmp: true},
		{name: "PrivateTmp", inside: append(slices.Clone(host),
			mount("0:30", "/systemd-private-1/tmp", "/tmp"), mount("8:1", "/var/tmp/systemd-private-1/tmp", "/var/tmp"))},
		{name: "a bind of itself", inside: append(slices.Clone(host), mount("8:1", "/var/tmp", "/var/tmp")), varTmp: true, tmp: true},
		{name: "below it, and of a longer name", inside: append(slices.Clone(host), mount("0:40", "/", "/var/tmp/x"), mount("0:40", "/", "/var/tmpfs")), varTmp: true, tmp: true},
		{name: "hidden again", inside: append(slices.Clone(host), mount("0:41", "/", "/var/tmp"), mount("8:1", "/var/tmp", "/var/tmp")), varTmp: true, tmp: true},
		{name: "another root", inside: []*procfs.MountInfo{mount("8:2", "/", "/")}},
		{name: "none"},
	} {
		for dir, same := range map[string]bool{"/var/tmp": row.varTmp, "/tmp": row.tmp} {
			if got := placeOf(dir, row.inside) == placeOf(dir, host); got != same {
				t.Errorf("%s: %s is the host's: %v", row.name, dir, got)
			}
		}
	}
}
