package watch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// TestStuckBuildIsTriedAgainForAsLongAsItIsStuck, ever less often: what keeps its processes
// may become the build's alone.
func TestStuckBuildIsTriedAgainForAsLongAsItIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t, longTimeouts)
		s := newFakeScope(scopes.Spec{ID: "bcdf2345"})
		s.members = []scopes.Member{{PID: 1}}
		b := w.makeBuild(owners.Record{ID: "bcdf2345"}, nil, processes.Set{Scope: s}, func() {})
		w.running.Go(b.watchSurvivors)
		tries := func() int {
			synctest.Wait()
			w.looks.mu.Lock()
			defer w.looks.mu.Unlock()
			return w.looks.looks
		}
		if n := tries(); n != 0 {
			t.Errorf("%d tries before the first pause", n)
		}
		time.Sleep(survivorPause)
		if n := tries(); n != 1 {
			t.Errorf("%d tries after %v", n, survivorPause)
		}
		time.Sleep(time.Minute)
		first := tries()
		time.Sleep(10 * maxSurvivorPause)
		if n := tries() - first; n != 10 {
			t.Errorf("%d tries in %v, want one in %v", n, 10*maxSurvivorPause, maxSurvivorPause)
		}
	})
}
