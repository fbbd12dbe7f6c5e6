package request

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/procfs"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// options are as a builder hands them to a monitor.
type options struct {
	Env        []string
	ContextDir string
	Shell      string
}

// beMonitor reads a document, as a step's monitor does, and lives on.
func beMonitor(args []string) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	go func() { // from another process, so that this one has but what it reads
		_ = json.NewEncoder(write).Encode(struct{ Options options }{options{ContextDir: args[0], Env: args[1:]}})
		write.Close()
	}()
	var got struct{ Options options }
	if err := json.NewDecoder(read).Decode(&got); err != nil {
		return err
	}
	proctest.Ready()
	proctest.UntilTold()
	fmt.Fprint(io.Discard, got)
	return nil
}

func startMonitor(t *testing.T, args ...string) *proc.Handle {
	t.Helper()
	c := proctest.Start(t, proctest.InRole(proctest.Self(t), "monitor", args...))
	c.Ready(t)
	return hold(t, c)
}

// TestStepIsOfTheRequestThatItsMonitorWasTold, whatever its Containerfile and other
// contexts hold, and however many requests there are.
func TestStepIsOfTheRequestThatItsMonitorWasTold(t *testing.T) {
	serveUnix(t, 1)
	mine, other := makeDir(t), makeDir(t)
	uid := uint32(os.Getuid())
	see := func(uid uint32, args ...string) Request {
		t.Helper()
		r, err := NewWatcher(proc.NewReader()).See(t.Context(), self(t), startMonitor(t, args...), uid)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := see(uid, mine+"/build", `RUN="ContextDir":\"`+other+`/build"`)
	if len(r.Dirs) != 1 || r.Dirs[0].Path != mine || r.Dirs[0].Inode == 0 || r.Key() == "" || len(r.Conns) != 1 || r.Partial {
		t.Errorf("seen: %+v", r)
	}
	// Who makes up another one belongs to either.
	r = see(uid, mine+"/build", `X="ContextDir":"`+other+`/build"`)
	if got := fmt.Sprint(pathsOf(r.Dirs)); !strings.Contains(got, mine) || !strings.Contains(got, other) {
		t.Errorf("seen: %s", got)
	}
	// Its client has just gone.
	remove(t, mine)
	r = see(uid, mine+"/build")
	if len(r.Dirs) != 1 || !r.Dirs[0].gone() || r.Key() != mine {
		t.Errorf("seen: %+v", r)
	}
	// Attack 17: another user's directory keeps nobody's build.
	if r := see(uid+1, other+"/build"); len(r.Dirs) != 0 || r.Key() != "" {
		t.Errorf("seen for another user: %+v", r)
	}
	for _, told := range []string{"/home/user/libpod_builder1/build", "/proc/1/root/var/tmp/libpod_builder1/build"} {
		if r := see(uid, told); len(r.Dirs) != 0 {
			t.Errorf("%s: %+v", told, r.Dirs)
		}
	}
}

func TestOnlyOneValueIsBelieved(t *testing.T) {
	const big = 3 << 20
	filler := strings.Repeat("x", big)
	for _, row := range []struct{ memory, want string }{
		{`{"ContextDir":"/a/b"}`, "/a/b"},
		{filler[:1<<20-20] + `"ContextDir":"/a/b"` + filler, "/a/b"},
		{filler[:1<<20-8] + `"ContextDir":"/a/b"` + filler, "/a/b"},
		{`"ContextDir":"/a/b" "ContextDir":"/a/b"`, "/a/b"},
		{`"ContextDir":"/a/b" "ContextDir":"/c"`, ""},
		{`"ContextDir":"/a` + "\x00" + `b" "ContextDir":"/c"`, "/c"}, // overwritten
		{`"ContextDir":"/a\u0026b"`, "/a&b"},
		{`"ContextDir":"relative"`, ""},
		{`"ContextDir":"` + filler + `"`, ""},
		{`"ContextDir":"/a`, ""},
		{"", ""},
	} {
		f := newFinds()
		if err := f.search(strings.NewReader(row.memory)); err != nil || f.only() != row.want {
			t.Errorf("%.60q: %q, %v; want %q", row.memory, f.only(), err, row.want)
		}
	}
}

func FuzzMemory(f *testing.F) {
	f.Add([]byte(`"ContextDir":"/var/tmp/libpod_builder1/build"`))
	f.Fuzz(func(t *testing.T, memory []byte) {
		found := newFinds()
		if err := found.search(bytes.NewReader(memory)); err != nil {
			t.Fatal(err)
		}
		if got := found.only(); got != "" && got[0] != '/' {
			t.Fatalf("%q", got)
		}
	})
}

// TestContextBelowAnOverlay is where the overlay says that it is.
func TestContextBelowAnOverlay(t *testing.T) {
	const merged, context = "/var/tmp/buildah-context-1/overlay/2/merge", "/var/tmp/libpod_builder1/build"
	mounts := []*procfs.MountInfo{
		{MountPoint: "/", FSType: "ext4"},
		{MountPoint: merged, FSType: "overlay", SuperOptions: map[string]string{"rw": "", "lowerdir": context, "upperdir": "/u"}},
		{MountPoint: "/home", FSType: "overlay", SuperOptions: map[string]string{"lowerdir": "l/x"}},
	}
	for dir, want := range map[string]string{merged: context, "/home": "/home", context: context, "/": "/"} {
		if got := below(dir, mounts); got != want {
			t.Errorf("below %s: %s, want %s", dir, got, want)
		}
	}
}

func BenchmarkContext(b *testing.B) {
	c := proctest.Start(b, proctest.InRole(proctest.Self(b), "monitor", "/var/tmp/libpod_builder1/build"))
	c.Ready(b)
	h, err := proc.Open(c.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	for b.Loop() {
		if told, err := contextOf(h); err != nil || told == "" {
			b.Fatal(told, err)
		}
	}
}
