package reclaim

import (
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestContainerOfAMomentBeforeTheBuilderIsNotItsOwn: somebody may have kept it. A process is
// never told to have begun before it did, in whatever part of a second that was.
func TestContainerOfAMomentBeforeTheBuilderIsNotItsOwn(t *testing.T) {
	t.Parallel()
	for range 5 {
		before := time.Now().UnixMicro()
		child := proctest.Shell(t, "")
		after := time.Now().UnixMicro()
		h, err := proc.Open(child.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		h.Close()
		began, err := startedAt(h.Start)
		if err != nil {
			t.Fatal(err)
		}
		// A microsecond is lost where the two clocks are read.
		if began < before-1 || began > after+proc.Tick.Microseconds() {
			t.Errorf("begun at %d, between %d and %d", began, before, after)
		}
		proctest.After(t, time.UnixMicro(after), 150*time.Millisecond) // another part of the second
	}
}
