package watch

import (
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// TestABuildThatRanOutOfMemorySaysSo: as it happens, and in the end.
func TestABuildThatRanOutOfMemorySaysSo(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	s.shorten(processes.Memory, processes.Shortage{Count: 2, Limit: "MemoryMax=64M"})
	proctest.Eventually(t, "the shortage is seen", func() bool { return b.current().Short == api.ReasonOutOfMemory })
	found := false
	for _, f := range b.explain().Facts {
		found = found || f.Name == api.FactMemory && f.Shortage != nil && strings.Contains(f.Shortage.String(), "2 processes killed for want of memory: MemoryMax=64M of the build's scope was reached")
	}
	if !found {
		t.Errorf("show says nothing of it: %+v", b.explain().Facts)
	}
	s.clear()
	c.end()
	if e := <-w.seen.ended; e.reason != api.ReasonOutOfMemory || e.cancel != 0 {
		t.Errorf("ended as %+v", e)
	}
}

// TestAnEarlierShortageIsNoNews to a daemon that finds the scope, nor once it was told.
func TestAnEarlierShortageIsNoNews(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	five := processes.Shortage{Count: 5}
	s.shorten(processes.Tasks, five)
	proctest.Eventually(t, "the shortage is seen", func() bool { return b.current().Short == api.ReasonOutOfTasks })
	b.mu.Lock()
	b.status = b.status.StepBegan()
	b.unlock()
	b.watchShortagesAnew(s)
	b.learnShortage(processes.Tasks, five)
	b.lookForShortages()
	s.clear()
	c.end()
	if e := <-w.seen.ended; e.reason != api.ReasonCompleted {
		t.Errorf("ended as %+v", e)
	}
}
