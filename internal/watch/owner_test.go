package watch

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/request"
)

// monitorEnv is what the monitor is to be called.
const monitorEnv = "MONITOR_NAME"

func TestMain(m *testing.M) {
	proctest.Roles{
		"builder": func([]string) error { return beParent(os.Getenv(monitorEnv), "monitor") },
		"monitor": func([]string) error { return beParent("caller", "caller") },
		"caller": func([]string) error {
			proctest.Ready()
			proctest.UntilTold()
			return nil
		},
	}.Play()
	os.Exit(m.Run())
}

// beParent starts a child under a name and in a role, and waits for its end,
// however that comes.
func beParent(name, role string) error {
	cmd := proctest.InRole("/proc/self/exe", role)
	cmd.Args[0] = name
	cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
	_ = cmd.Run()
	return nil
}

// startFamily starts builder, monitor and caller, and returns a handle of the
// caller. The monitor is called name.
func startFamily(t *testing.T, name string, args ...string) (builder *exec.Cmd, caller *proc.Handle) {
	t.Helper()
	return startFamilyOf(t, "podman", name, args...)
}

// startFamilyOf is startFamily for a builder whose program is called so.
func startFamilyOf(t *testing.T, program, name string, args ...string) (builder *exec.Cmd, caller *proc.Handle) {
	t.Helper()
	cmd := proctest.InRole(proctest.Copy(t, proctest.Self(t), program), "builder", args...)
	cmd.Env = append(cmd.Env, monitorEnv+"="+name)
	p := proctest.Start(t, cmd)
	p.Ready(t)
	caller, err := proc.Open(childOf(t, childOf(t, p.Process.Pid)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(caller.Close)
	return p.Cmd, caller
}

func parent(h *proc.Handle) *proc.Handle {
	p, err := h.Parent()
	if err != nil {
		return nil
	}
	return p
}

func childOf(t *testing.T, pid int) int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range stats {
		var child int
		for _, c := range filepath.Base(dir) {
			child = child*10 + int(c-'0')
		}
		if look, err := proc.Look(child); err == nil && look.PPID == pid {
			return child
		}
	}
	t.Fatalf("%d has no child", pid)
	return 0
}

func TestFindOwnerTakesTheBuilder(t *testing.T) {
	builder, caller := startFamily(t, podman.OCIMonitor, "build", "--build-arg=SECRET")
	o, err := newBench(t, longTimeouts).findOwner(context.Background(), Caller{Handle: caller, UID: uint32(os.Getuid())})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if o.PID != builder.Process.Pid || o.mode != api.ModeLocal || o.spared {
		t.Errorf("owner %+v; want the builder %d", o, builder.Process.Pid)
	}
	if strings.Contains(o.command, "SECRET") || !strings.HasSuffix(o.command, " build") {
		t.Errorf("command %q", o.command)
	}
}

// TestFindOwnerOfAnAPIBuild: the service, where its request is certain; else the
// monitor, and with it the container alone.
func TestFindOwnerOfAnAPIBuild(t *testing.T) {
	builder, caller := startFamily(t, podman.OCIMonitor, "system", "service")
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
		w := newBench(t, longTimeouts)
		w.asked.see = request.Request{Dirs: row.dirs}
		o, err := w.findOwner(context.Background(), Caller{Handle: caller, UID: uint32(os.Getuid())})
		if err != nil {
			t.Fatal(err)
		}
		if (o.PID == builder.Process.Pid) != row.certain || o.mode != api.ModeAPI || !o.spared || o.request == nil {
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
		builder, caller := startFamilyOf(t, row.program, podman.OCIMonitor, row.args...)
		monitor := parent(caller)
		o, err := newBench(t, longTimeouts).findOwner(context.Background(), Caller{Handle: caller, UID: uint32(os.Getuid())})
		if err != nil {
			t.Fatal(err)
		}
		if o.PID != monitor.PID || !o.spared || o.mode != api.ModeLocal || o.command != row.want ||
			len(o.waiters) != 1 || o.waiters[0].PID != builder.Process.Pid || !o.waiters[0].Alive() {
			t.Errorf("%s %q: the owner is %+v; the monitor is %d", row.program, row.args, o, monitor.PID)
		}
		monitor.Close()
		o.Close()
	}
}

func TestFindOwnerRefusesOthers(t *testing.T) {
	_, caller := startFamily(t, "sh", "build")
	if _, err := newBench(t, longTimeouts).findOwner(context.Background(), Caller{Handle: caller, UID: uint32(os.Getuid())}); !errors.Is(err, ErrNoBuilder) {
		t.Errorf("a caller whose parent is no monitor: %v", err)
	}
	_, caller = startFamily(t, podman.OCIMonitor, "build")
	if _, err := newBench(t, longTimeouts).findOwner(context.Background(), Caller{Handle: caller, UID: uint32(os.Getuid()) + 1}); !errors.Is(err, ErrNoBuilder) {
		t.Errorf("a builder of another user: %v", err)
	}
}

func TestIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 10000 {
		id := newID()
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
	good := record{ID: newID(), Mode: api.ModeLocal, Owner: proc.Identity{PID: 1, Start: 2}, Command: "podman build"}
	f.Add(good.encode())
	f.Add([]byte(`{"v":1,"id":"bcdfghjk","owner":{"pid":-1}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := decodeRecord(content)
		if err != nil {
			return
		}
		if !validID(r.ID) || r.Owner.PID <= 0 {
			t.Fatalf("%s became %+v", content, r)
		}
	})
}

func TestRecordSurvives(t *testing.T) {
	r := record{
		Version: recordVersion, ID: newID(), UID: 1000, CreatedUSec: 1234567, Mode: api.ModeLocal,
		Owner: proc.Identity{PID: 4711, Start: 99}, Waiters: []proc.Identity{{PID: 1, Start: 2}}, Command: "podman build",
	}
	if got, err := decodeRecord(r.encode()); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v became %+v, %v", r, got, err)
	}
	if _, err := decodeRecord(append(r.encode(), '{', '}')); err == nil {
		t.Error("two documents were accepted")
	}
}
