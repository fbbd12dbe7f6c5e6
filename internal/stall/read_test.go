package stall

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

const emulator = "qemu-aarch64"

// settled looks until two looks, one 100 ms after the other, say the same; and returns the
// last.
func settled(t *testing.T, r *Reader, pids ...int) (last Sample) {
	t.Helper()
	proctest.Eventually(t, "it hangs", func() bool {
		before := r.Sample(context.Background(), 0, pids)
		proctest.After(t, time.Now(), 100*time.Millisecond)
		last = r.Sample(context.Background(), 0, pids)
		return len(last.Hung) > 0 && last.Marks == before.Marks
	})
	return last
}

// waits reports whether no thread of a process runs.
func waits(pid int) bool {
	threads, err := procfs.AllThreads(pid)
	for _, thread := range threads {
		if stat, of := thread.Stat(); of != nil || stat.State != "S" {
			return false
		}
	}
	return err == nil
}

// TestProcessThatHangs: a real one, with a Go program's monitor thread among its own.
func TestProcessThatHangs(t *testing.T) {
	pid := startAs(t, emulator, "hang")
	r := NewReader(proc.NewAccounts())
	s := settled(t, r, pid)
	if len(s.Hung) != 1 || s.Hung[0].PID != pid || s.Hung[0].Arch != "aarch64" || s.Hung[0].PPID != os.Getpid() {
		t.Fatalf("hung are %+v", s.Hung)
	}
	threads := s.Hung[0].Threads
	if len(threads) < 6 || !slices.Contains(threads, Monitor) || strings.Count(s.Marks, "\n") != len(threads) {
		t.Errorf("its threads wait in %v, and leave the marks\n%s", threads, s.Marks)
	}
	if r.InFlight() != 0 {
		t.Errorf("%d reads are under way", r.InFlight())
	}
}

// TestParentOfWhatHangs waits with it. Its child was started as it was.
func TestParentOfWhatHangs(t *testing.T) {
	pid := startAs(t, emulator, "parent")
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Sscan(string(content), &child); err != nil {
		t.Fatalf("its children are %q: %v", content, err)
	}
	r := NewReader(proc.NewAccounts())
	if s := settled(t, r, pid, child); len(s.Hung) != 1 || s.Hung[0].PID != child {
		t.Errorf("hung are %+v", s.Hung)
	}
	if s := r.Sample(context.Background(), 0, []int{pid}); len(s.Hung) > 0 {
		t.Errorf("without its child, %+v hang", s.Hung)
	}
}

// TestProcessThatMayGoOn: real ones, each with threads that hang beside.
func TestProcessThatMayGoOn(t *testing.T) {
	for _, row := range []struct{ program, role string }{
		{emulator, "hang for an hour"},
		{emulator, "sleep"},
		{emulator, "nanosleep"},
		{emulator, "timer"},
		{"native", "hang"},
	} {
		pid := startAs(t, row.program, row.role)
		proctest.Eventually(t, "all its threads wait", func() bool { return waits(pid) })
		if s := NewReader(proc.NewAccounts()).Sample(context.Background(), 0, []int{pid}); len(s.Hung) > 0 {
			t.Errorf("%s as %s: hung are %+v", row.role, row.program, s.Hung)
		}
	}
}

// TestWhatIsNotThereDoesNotHang: nor what is too much to look at.
func TestWhatIsNotThereDoesNotHang(t *testing.T) {
	pid := startAs(t, emulator, "hang")
	r := NewReader(proc.NewAccounts())
	if s := settled(t, r, pid); len(s.Hung) != 1 {
		t.Fatalf("hung are %+v", s.Hung)
	}
	late, cancel := context.WithCancel(context.Background())
	cancel()
	many := slices.Repeat([]int{pid}, maxProcesses+1)
	for name, s := range map[string]Sample{
		"no process":    r.Sample(context.Background(), 0, nil),
		"one that ends": r.Sample(context.Background(), 0, []int{pid, 1 << 30}),
		"too many":      r.Sample(context.Background(), 0, many),
		"out of time":   r.Sample(late, 0, []int{pid}),
	} {
		if len(s.Hung) > 0 {
			t.Errorf("%s: hung are %+v", name, s.Hung)
		}
	}
}

// Attack 32: the kernel waits for a process that is looked at. A user's looks that hang
// are few, and no others'.
func TestLookThatHangsIsLeftBehind(t *testing.T) {
	const hung, honest = 1000, 1001
	r := NewReader(proc.NewAccounts())
	gate := make(chan struct{})
	r.read = func(_ context.Context, pids []int) Sample {
		if pids[0] == hung {
			<-gate
		}
		return Sample{Hung: []Process{{PID: pids[0]}}}
	}
	for range 3 * looksOfUser {
		if s := r.Sample(context.Background(), 1000, []int{hung}); len(s.Hung) > 0 {
			t.Errorf("a look that hangs says %+v", s)
		}
	}
	if n := r.InFlight(); n != looksOfUser {
		t.Errorf("%d looks hang, want %d", n, looksOfUser)
	}
	if s := r.Sample(context.Background(), 1001, []int{honest}); len(s.Hung) != 1 {
		t.Error("another user's build is not looked at")
	}
	for uid := uint32(2000); r.InFlight() < looksOfUsers; uid++ {
		now, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		r.Sample(now, uid, []int{hung})
		cancel()
	}
	if s := r.Sample(context.Background(), 1001, []int{honest}); len(s.Hung) > 0 {
		t.Errorf("%d looks hang", r.InFlight())
	}
	if s := r.Sample(context.Background(), 0, []int{honest}); len(s.Hung) != 1 {
		t.Error("root's build is not looked at")
	}
	close(gate)
	proctest.Eventually(t, "no look is under way", func() bool { return r.InFlight() == 0 })
	if s := r.Sample(context.Background(), 1001, []int{honest}); len(s.Hung) != 1 || r.InFlight() != 0 {
		t.Errorf("after all have ended: %+v", s)
	}
}

// BenchmarkSample looks at a process that hangs, with nine threads, and at one that
// sleeps.
func BenchmarkSample(b *testing.B) {
	for _, role := range []string{"hang", "nanosleep"} {
		b.Run(role, func(b *testing.B) {
			pids := []int{startAs(b, emulator, role)}
			r := NewReader(proc.NewAccounts())
			proctest.Eventually(b, "all its threads wait", func() bool { return waits(pids[0]) })
			s := r.Sample(context.Background(), 0, pids)
			threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pids[0]))
			if err != nil || (len(s.Hung) > 0) != (role == "hang") {
				b.Fatalf("%+v, %v", s, err)
			}
			for b.Loop() {
				r.Sample(context.Background(), 0, pids)
			}
			b.ReportMetric(float64(len(threads)), "threads")
		})
	}
}
