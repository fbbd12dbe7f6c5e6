package watch

import (
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// TestListAnswersWhateverHoldsUpALook: the kernel may take its time with a look into one
// build's cgroup. All are listed, shown and counted meanwhile, as they were seen last.
func TestListAnswersWhateverHoldsUpALook(t *testing.T) {
	w := newBench(t, longTimeouts)
	w.script = func(s *fakeScope) { s.members = []scopes.Member{{PID: 1 << 22}, {PID: 1<<22 + 1}} }
	one, _ := w.run(startChild(t, "").owner(t))
	hung, s := w.run(startChild(t, "").owner(t))
	numbers := func() map[string]int {
		found := map[string]int{}
		for _, b := range w.List(anybody) {
			found[b.ID] = b.Processes
		}
		return found
	}
	if got := numbers(); got[one.id] != 2 || got[hung.id] != 2 {
		t.Fatalf("listed with %v processes", got)
	}
	w.Usage()
	release := make(chan struct{})
	s.set(func() { s.beforeLook = func() { <-release } })
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3 { // who asks again does not wait longer
			if got := numbers(); got[one.id] != 2 || got[hung.id] != 2 {
				t.Errorf("listed with %v processes", got)
			}
		}
		if all := w.Usage(); all.Processes[api.NativeArch] != 4 || all.Memory != 2<<10 {
			t.Errorf("counted is %+v", all)
		}
		if d, err := w.Detail(one.id); err != nil || d.Processes != 2 {
			t.Errorf("shown as %+v, %v", d, err)
		}
	}()
	<-done
	s.set(func() { s.members = nil })
	close(release)
	proctest.Eventually(t, "it is seen again", func() bool { return numbers()[hung.id] == 0 })
	if list := w.List(anybody); len(list) != 2 || list[0].State != api.StateRunning {
		t.Errorf("the list is %+v", list)
	}
}
