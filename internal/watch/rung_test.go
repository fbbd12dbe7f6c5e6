package watch

import (
	"os"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// TestEachRungIsInTheJournalWithWhatItLeft, as fields: build, rung, how long it
// took, and how many processes it has left.
func TestEachRungIsInTheJournalWithWhatItLeft(t *testing.T) {
	w := newBench(t, Timeouts{Kill: soon, Owner: never, OwnerTerm: never, Stop: soon, CgroupKill: never})
	entries := logtest.NewLocal(w.log.(*logrus.Logger))
	w.script = func(s *fakeScope) {
		s.kill, s.stop = helpsNot, hangs
		s.members = []scopes.Member{{PID: os.Getpid()}, {PID: os.Getppid()}}
	}
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	c.end()
	w.end()
	s.until(t, "close")
	type outcome struct {
		rung  string
		left  int
		level logrus.Level
	}
	var told []outcome
	for _, entry := range entries.AllEntries() {
		if rung, ok := entry.Data["rung"].(string); ok {
			left, ok := entry.Data["survivors"].(int)
			if took, _ := entry.Data["duration_seconds"].(float64); !ok || entry.Data["id"] != b.id || took <= 0 {
				t.Errorf("an entry has the fields %v", entry.Data)
			}
			told = append(told, outcome{rung, left, entry.Level})
		}
	}
	// The last stop is that of the empty unit.
	want := []outcome{
		{"kill", 2, logrus.WarnLevel}, {"stop", 2, logrus.WarnLevel},
		{"cgroup_kill", 0, logrus.DebugLevel}, {"stop", 0, logrus.WarnLevel},
	}
	if len(told) != len(want) {
		t.Fatalf("the journal has %v", told)
	}
	for i := range want {
		if told[i] != want[i] {
			t.Errorf("the journal has %v, want %v", told[i], want[i])
		}
	}
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	if first := w.seen.used[0]; first.Survivors != 2 || !first.TimedOut {
		t.Errorf("counted as %+v", first)
	}
}

// TestProcessesWithoutEndAreShownInPart, and counted in whole.
func TestProcessesWithoutEndAreShownInPart(t *testing.T) {
	w := newBench(t, longTimeouts)
	w.script = func(s *fakeScope) {
		for range processes.MaxShown + 7 {
			s.members = append(s.members, scopes.Member{PID: os.Getpid()})
		}
	}
	c := startChild(t, "")
	b, _ := w.run(c.owner(t))
	detail, err := w.Detail(b.id)
	if err != nil {
		t.Fatal(err)
	}
	if detail.Processes != processes.MaxShown+7 || detail.ProcessesOmitted != 7 {
		t.Errorf("%d processes, %d omitted", detail.Processes, detail.ProcessesOmitted)
	}
	if where := detail.ProcessTree[0].Cgroup; where == "" {
		t.Error("a cgroup that was not looked at is not shown")
	}
	if list := w.List(anybody); len(list) != 1 || list[0].State != api.StateRunning || len(list[0].Arch) != 0 {
		t.Errorf("listed as %+v", list)
	}
}
