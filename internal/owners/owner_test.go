package owners

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/owners/ownerstest"
	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/request"
)

// seen is what is found out of every request.
type seen struct{ request.Request }

func (s seen) See(context.Context, *proc.Handle, *proc.Handle, uint32) (request.Request, error) {
	return s.Request, nil
}

func (seen) Wait(ctx context.Context, _ request.Request, _ func(request.Sight)) error {
	<-ctx.Done()
	return ctx.Err()
}

func finder() *Finder {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return New(seen{}, proc.NewReader(), log)
}

func TestMain(m *testing.M) {
	ownerstest.Roles.Play()
	os.Exit(m.Run())
}

func parent(t *testing.T, h *proc.Handle) *proc.Handle {
	t.Helper()
	p, err := h.Parent()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFindOwnerTakesTheBuilder(t *testing.T) {
	builder, caller := ownerstest.Start(t, "podman", podman.OCIMonitor, "build", "--build-arg=SECRET")
	o, err := finder().OfCaller(context.Background(), Caller{Handle: caller, UID: uint32(os.Getuid())})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if o.PID != builder.Process.Pid || o.Mode != api.ModeLocal || o.Spared {
		t.Errorf("owner %+v; want the builder %d", o, builder.Process.Pid)
	}
	if strings.Contains(o.Command, "SECRET") || !strings.HasSuffix(o.Command, " build") {
		t.Errorf("command %q", o.Command)
	}
}

// TestFindOwnerOfAnAPIBuild: the service, where its request is certain; else the
// monitor, and with it the container alone.
func TestFindOwnerOfAnAPIBuild(t *testing.T) {
	builder, caller := ownerstest.Start(t, "podman", podman.OCIMonitor, "system", "service")
	one := request.Dir{Path: "/var/tmp/libpod_builder1", Inode: 1}
	two := request.Dir{Path: "/var/tmp/libpod_builder2", Inode: 2}
	for _, row := range []struct {
		dirs    []request.Dir
		certain bool
	}{
		{nil, false},
		{[]request.Dir{one}, true},
		{[]request.Dir{one, two}, false},
	} {
		f := finder()
		f.requests = seen{request.Request{Dirs: row.dirs}}
		o, err := f.OfCaller(context.Background(), Caller{Handle: caller, UID: uint32(os.Getuid())})
		if err != nil {
			t.Fatal(err)
		}
		if (o.PID == builder.Process.Pid) != row.certain || o.Mode != api.ModeAPI || !o.Spared || o.Request == nil {
			t.Errorf("with %d directories the owner is %+v; the service is %d", len(row.dirs), o, builder.Process.Pid)
		}
		o.Close()
	}
}

// TestOwnerThatDoesSomethingElseToo is never signalled: each of its steps is a build of its
// own, which ends with the step's monitor, or when the builder does.
func TestOwnerThatDoesSomethingElseToo(t *testing.T) {
	for _, row := range []struct {
		program, want string
		args          []string
	}{
		{"podman", "podman kube play", []string{"kube", "play", "--build", "x.yaml"}},
		{"podman", "podman", []string{"--flag-of-a-later-version", "build", "."}},
		{"own-builder", "own-builder build", []string{"build", "."}},
		{"buildah", "buildah", nil},
	} {
		builder, caller := ownerstest.Start(t, row.program, podman.OCIMonitor, row.args...)
		monitor := parent(t, caller)
		o, err := finder().OfCaller(context.Background(), Caller{Handle: caller, UID: uint32(os.Getuid())})
		if err != nil {
			t.Fatal(err)
		}
		if o.PID != monitor.PID || !o.Spared || o.Mode != api.ModeLocal || o.Command != row.want ||
			len(o.Waiters) != 1 || o.Waiters[0].PID != builder.Process.Pid || !o.Waiters[0].Alive() {
			t.Errorf("%s %q: the owner is %+v; the monitor is %d", row.program, row.args, o, monitor.PID)
		}
		monitor.Close()
		o.Close()
	}
}

// TestOnlyTheUsersOwnProcessesWaitForTheOwner: should another user's end, as sudo, the build
// is wanted all the same.
func TestOnlyTheUsersOwnProcessesWaitForTheOwner(t *testing.T) {
	p := proctest.Start(t, exec.Command("/bin/bash", "-c", `/bin/bash -c 'echo $$; read wait; true'; true`))
	var pid int
	if _, err := fmt.Sscan(p.Line(t), &pid); err != nil {
		t.Fatal(err)
	}
	builder, err := proc.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer builder.Close()
	program, err := builder.Program()
	if err != nil {
		t.Fatal(err)
	}
	is := podman.Process{File: program.FileID, Exe: program.Exe, Size: program.Size}
	const user = 1000
	for _, row := range []struct {
		name string
		uid  uint32
		err  error
		want int
	}{{"the user's", user, nil, 1}, {"root's", 0, nil, 0}, {"one that has ended", user, proc.ErrGone, 0}} {
		waiters, _ := waitersOf(builder, is, user, func(*proc.Handle) (uint32, error) { return row.uid, row.err })
		if len(waiters) != row.want {
			t.Errorf("%s: %d wait for it", row.name, len(waiters))
		}
		for _, waiter := range waiters {
			if waiter.PID != p.Process.Pid {
				t.Errorf("%s: %d waits for it", row.name, waiter.PID)
			}
			waiter.Close()
		}
	}
}

// TestOwnerOfAStepIsFoundByItsFirstProcess, where that is still the one that was meant.
func TestOwnerOfAStepIsFoundByItsFirstProcess(t *testing.T) {
	builder, first := ownerstest.Start(t, "podman", podman.OCIMonitor, "build")
	where, err := first.Cgroup()
	if err != nil {
		t.Fatal(err)
	}
	o, err := finder().OfStep(t.Context(), first.PID, where, uint32(os.Getuid()))
	if err != nil || o.PID != builder.Process.Pid {
		t.Fatalf("%+v, %v; the builder is %d", o, err, builder.Process.Pid)
	}
	o.Close()
	if o, err := finder().OfStep(t.Context(), first.PID, where+"/elsewhere", uint32(os.Getuid())); !errors.Is(err, ErrNoBuilder) {
		t.Errorf("in another cgroup: %+v, %v", o, err)
	}
	if o, err := finder().OfStep(t.Context(), first.PID, where, uint32(os.Getuid())+1); !errors.Is(err, ErrNoBuilder) {
		t.Errorf("of another user: %+v, %v", o, err)
	}
}

// TestSupervisorThatIsUpgradedEndsNoBuild: of a program that is not known to wait for its
// child only a process waits that has executed itself in a user namespace.
func TestSupervisorThatIsUpgradedEndsNoBuild(t *testing.T) {
	open := func() *proc.Handle {
		h, err := proc.Open(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		return h
	}
	for _, row := range []struct {
		name  string
		is    string
		above []string // namespaces, nearest first
		want  int
	}{
		{"a supervisor", "host", []string{"host"}, 0},
		{"executed in a user namespace", "nested", []string{"host"}, 1},
		{"that by a supervisor", "nested", []string{"host", "host"}, 1},
		{"one in another", "deep", []string{"nested", "host"}, 2},
		{"one whose namespace can't be read", "nested", []string{"", "host"}, 0},
		{"nobody", "host", nil, 0},
	} {
		builder := open()
		namespaces := map[*proc.Handle]string{builder: row.is}
		var above []*proc.Handle
		for _, namespace := range row.above {
			h := open()
			above, namespaces[h] = append(above, h), namespace
		}
		waiters := reexecuted(builder, above, func(h *proc.Handle) string { return namespaces[h] })
		if len(waiters) != row.want {
			t.Errorf("%s: %d wait for it", row.name, len(waiters))
		}
		for i, h := range above {
			if h.Alive() != (i < row.want) {
				t.Errorf("%s: number %d is held: %t", row.name, i, h.Alive())
			}
		}
	}
}

// TestOnlyABuildersOwnProgramIsKnownToWait: podman that has started itself waits for its child;
// of another program that is known of the builder alone.
func TestOnlyABuildersOwnProgramIsKnownToWait(t *testing.T) {
	for program, want := range map[string]int{"podman": 2, "buildah": 2, "own-builder": 1} {
		_, builder, caller := ownerstest.StartSupervised(t, program)
		o, err := finder().OfCaller(context.Background(), Caller{Handle: caller, UID: uint32(os.Getuid())})
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Waiters) != want || o.Waiters[0].PID != builder.PID {
			t.Errorf("%s: %d wait for the step, first of them %d; the builder is %d", program, len(o.Waiters), o.Waiters[0].PID, builder.PID)
		}
		o.Close()
	}
}

func TestFindOwnerRefusesOthers(t *testing.T) {
	_, caller := ownerstest.Start(t, "podman", "sh", "build")
	if _, err := finder().OfCaller(context.Background(), Caller{Handle: caller, UID: uint32(os.Getuid())}); !errors.Is(err, ErrNoBuilder) {
		t.Errorf("a caller whose parent is no monitor: %v", err)
	}
	_, caller = ownerstest.Start(t, "podman", podman.OCIMonitor, "build")
	if _, err := finder().OfCaller(context.Background(), Caller{Handle: caller, UID: uint32(os.Getuid()) + 1}); !errors.Is(err, ErrNoBuilder) {
		t.Errorf("a builder of another user: %v", err)
	}
}

// TestCallerAboveWhomNobodyIsHasNoBuilder: it is there, and has not given up. The first
// process of a PID namespace may have a parent that can't be seen.
func TestCallerAboveWhomNobodyIsHasNoBuilder(t *testing.T) {
	first, err := proc.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := finder().OfCaller(context.Background(), Caller{Handle: first}); !errors.Is(err, ErrNoBuilder) {
		t.Errorf("of the first process: %v", err)
	}
	c := proctest.Shell(t, "")
	gone, err := proc.Open(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	c.End()
	c.Status()
	if _, err := finder().OfCaller(context.Background(), Caller{Handle: gone}); !errors.Is(err, proc.ErrGone) || errors.Is(err, ErrNoBuilder) {
		t.Errorf("of one that has ended: %v", err)
	}
}

func TestIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 10000 {
		id := NewID()
		if !validID(id) || seen[id] {
			t.Fatalf("ID %q", id)
		}
		seen[id] = true
	}
	for _, id := range []string{"", "abc", "../../..", "bcdfghj\n", "BCDFGHJK", "bcdfghjkm"} {
		if validID(id) {
			t.Errorf("%q is valid", id)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	good := Record{ID: NewID(), Mode: api.ModeLocal, Owner: proc.Identity{PID: 1, Start: 2}, Command: "podman build"}
	f.Add(good.Encode())
	f.Add([]byte(`{"v":1,"id":"bcdfghjk","owner":{"pid":-1}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := Decode(content)
		if err != nil {
			return
		}
		if !validID(r.ID) || r.Owner.PID <= 0 {
			t.Fatalf("%s became %+v", content, r)
		}
	})
}

func TestRecordSurvives(t *testing.T) {
	r := Record{
		Version: recordVersion, ID: NewID(), UID: 1000, CreatedUSec: 1234567, Mode: api.ModeLocal,
		Owner: proc.Identity{PID: 4711, Start: 99}, Waiters: []proc.Identity{{PID: 1, Start: 2}}, Command: "podman build",
	}
	if got, err := Decode(r.Encode()); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v became %+v, %v", r, got, err)
	}
	if _, err := Decode(append(r.Encode(), '{', '}')); err == nil {
		t.Error("two documents were accepted")
	}
}

// TestRuntimeSaysWhetherItHasSystemdMakeAUnit: by its arguments, and in doubt it does not.
func TestRuntimeSaysWhetherItHasSystemdMakeAUnit(t *testing.T) {
	f := finder()
	for args, want := range map[string]bool{
		"":                                   false,
		"create buildah-buildah1":            false,
		"--systemd-cgroup create b":          true,
		"--root /r --systemd-cgroup create":  true,
		"create --systemd-cgroup-of-mine b1": false,
	} {
		child := proctest.Shell(t, "", func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, strings.Fields(args)...) })
		caller, err := proc.Open(child.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		defer caller.Close()
		if got := f.InUnit(context.Background(), Caller{Handle: caller}); got != want {
			t.Errorf("%q: %v", args, got)
		}
	}
}
