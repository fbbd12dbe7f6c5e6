package observe

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// lookCalmly is onlyOthers, and lists which processes were looked at.
func (f *Follower) lookCalmly(pids ...int) (calm bool, looked []int) {
	calm = f.onlyOthers(pids, func(pid int) (entry, error) {
		looked = append(looked, pid)
		all, err := look()
		e := all[pid]
		if !slices.Contains(pids, e.ppid) {
			e.ppid = 0 // adopted
		}
		return e, err
	})
	return calm, looked
}

// program is a shell as an executable of that name, elsewhere than distributions install it.
func program(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("/bin/bash")
	file := filepath.Join(t.TempDir(), name)
	if err != nil || os.WriteFile(file, text, 0o755) != nil {
		t.Fatal(err)
	}
	return file
}

// startPair starts a program that has started another one, or, by an empty name, itself.
func startPair(t *testing.T, above, below string) (parent, child int) {
	t.Helper()
	if below == "" {
		below = "/proc/self/exe"
	}
	p := proctest.Start(t, exec.Command(above, "-c", below+` -c 'echo $PPID $$; read wait; true'; true`))
	if _, err := fmt.Sscan(p.Line(t), &parent, &child); err != nil {
		t.Fatal(err)
	}
	return parent, child
}

// TestWhatBeginsOnACalmHostIsLookedAt, and only that: as a build, where it may be one.
func TestWhatBeginsOnACalmHostIsLookedAt(t *testing.T) {
	self := os.Getpid()
	shell, other := startPair(t, "/bin/bash", "/bin/bash")
	builder, step := startPair(t, program(t, "buildah"), "/bin/bash")
	again, monitor := startPair(t, program(t, "factory"), "")
	for _, test := range []struct {
		what        string
		before, now []int
		calm        bool
		looked      []int
	}{
		{"nothing begins", []int{self, shell, other}, []int{self, shell, other}, true, nil},
		{"a process ends", []int{self, shell, other}, []int{self, shell}, true, nil},
		{"others begin", []int{self}, []int{self, shell, other}, true, []int{shell, other}},
		{"a process loses its parent", []int{self, shell, other}, []int{self, other}, true, []int{other}},
		{"a builder begins that is installed elsewhere", []int{self}, []int{self, builder}, false, []int{builder}},
		{"a process that was there is a builder now, and has a child", []int{self, builder}, []int{self, builder, step}, false, []int{step}},
		{"a program that builds has executed itself", []int{self, again}, []int{self, again, monitor}, false, []int{monitor}},
	} {
		f := follower(t)
		f.calm.parents = map[int]int{self: 0}
		for _, pid := range test.before {
			parent := map[int]int{shell: self, other: shell, builder: self, again: self}[pid]
			f.calm.parents[pid] = parent
		}
		calm, looked := f.lookCalmly(test.now...)
		slices.Sort(test.looked)
		if calm != test.calm || !slices.Equal(looked, test.looked) {
			t.Errorf("%s: calm %v, looked at %v, want %v, %v", test.what, calm, looked, test.calm, test.looked)
		}
		if again, looked := f.lookCalmly(test.now...); test.calm && (!again || len(looked) > 0) {
			t.Errorf("%s: at the next look %v are looked at again", test.what, looked)
		}
	}
}

// TestABuildEndsTheCalm, and so does a host that was not looked at yet.
func TestABuildEndsTheCalm(t *testing.T) {
	f := follower(t)
	if f.stillCalm() {
		t.Error("a host that nobody has looked at is calm")
	}
	if before, after := readBirths(), readBirths(); before == (births{}) || after == (births{}) {
		t.Errorf("births are %v, %v", before, after)
	}
	f.calm = newCalm(births{"1", "1"}, snapshot{})
	f.active = true
	if f.stillCalm() {
		t.Error("while a builder lives it is calm")
	}
}

// TestWhatHasExecutedNothingIsLookedAtAgain: what it will be nobody knows.
func TestWhatHasExecutedNothingIsLookedAtAgain(t *testing.T) {
	old, young := proc.Identity{PID: 7, Start: 1}, proc.Identity{PID: 7, Start: 1 << 62}
	for _, test := range []struct {
		entry
		known bool
	}{
		{entry{Identity: young, forked: true}, false},
		{entry{Identity: young}, true},
		{entry{Identity: young, forked: true, thread: true}, true},
		{entry{Identity: old, forked: true}, true},
	} {
		c := newCalm(births{}, snapshot{7: test.entry})
		if _, known := c.parents[7]; known != test.known {
			t.Errorf("%+v: known %v", test.entry, known)
		}
	}
}
