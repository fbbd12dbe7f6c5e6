package stall

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const emulator = "qemu-aarch64"

// settled looks until two looks, one 100 ms after the other, say the same, or a while
// is over; and returns the last.
func settled(r *Reader, pids ...int) Sample {
	last := r.Sample(context.Background(), pids)
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
		next := r.Sample(context.Background(), pids)
		if len(next.Hung) > 0 && next.Marks == last.Marks {
			return next
		}
		last = next
	}
	return last
}

// TestProcessThatHangs: a real one, with a Go program's monitor thread among its own.
func TestProcessThatHangs(t *testing.T) {
	pid := startAs(t, emulator, "hang")
	r := NewReader()
	s := settled(r, pid)
	if len(s.Hung) != 1 || s.Hung[0].PID != pid || s.Hung[0].Arch != "aarch64" || s.Hung[0].PPID != os.Getpid() {
		t.Fatalf("hung are %+v", s.Hung)
	}
	threads := s.Hung[0].Threads
	if len(threads) < 6 || !slices.Contains(threads, Monitor) || strings.Count(s.Marks, "\n") != len(threads) {
		t.Errorf("its threads wait in %v, and leave the marks\n%s", threads, s.Marks)
	}
	if r.Stuck() != 0 {
		t.Errorf("%d reads are under way", r.Stuck())
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
	r := NewReader()
	if s := settled(r, pid, child); len(s.Hung) != 1 || s.Hung[0].PID != child {
		t.Errorf("hung are %+v", s.Hung)
	}
	if s := r.Sample(context.Background(), []int{pid}); len(s.Hung) > 0 {
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
		time.Sleep(200 * time.Millisecond)
		if s := NewReader().Sample(context.Background(), []int{pid}); len(s.Hung) > 0 {
			t.Errorf("%s as %s: hung are %+v", row.role, row.program, s.Hung)
		}
	}
}

// TestWhatIsNotThereDoesNotHang: nor what is too much to look at.
func TestWhatIsNotThereDoesNotHang(t *testing.T) {
	pid := startAs(t, emulator, "hang")
	r := NewReader()
	if s := settled(r, pid); len(s.Hung) != 1 {
		t.Fatalf("hung are %+v", s.Hung)
	}
	late, cancel := context.WithCancel(context.Background())
	cancel()
	many := slices.Repeat([]int{pid}, maxProcesses+1)
	for name, s := range map[string]Sample{
		"no process":    r.Sample(context.Background(), nil),
		"one that ends": r.Sample(context.Background(), []int{pid, 1 << 30}),
		"too many":      r.Sample(context.Background(), many),
		"out of time":   r.Sample(late, []int{pid}),
	} {
		if len(s.Hung) > 0 {
			t.Errorf("%s: hung are %+v", name, s.Hung)
		}
	}
}

// BenchmarkSample looks at a process that hangs, with nine threads, and at one that
// sleeps.
func BenchmarkSample(b *testing.B) {
	for _, role := range []string{"hang", "nanosleep"} {
		b.Run(role, func(b *testing.B) {
			pids := []int{startAs(b, emulator, role)}
			r := NewReader()
			s := settled(r, pids...)
			threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pids[0]))
			if err != nil || (len(s.Hung) > 0) != (role == "hang") {
				b.Fatalf("%+v, %v", s, err)
			}
			for b.Loop() {
				r.Sample(context.Background(), pids)
			}
			b.ReportMetric(float64(len(threads)), "threads")
		})
	}
}
