package reclaim

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/share"
	"github.com/buildwatch/buildwatch/internal/share/sharetest"
)

func TestBoundsAreThoseOfTheDocs(t *testing.T) {
	sharetest.Documented(t, "dead builds whose leavings in storage are not yet removed", dead)
	sharetest.Documented(t, "helpers that remove what dead builds have left", helpers)
	sharetest.Documented(t, "files that are written about what builds use in storage", writes)
}

// TestDeadBuildsWithoutEndAreNotKept: of a user who makes them faster than helpers can follow.
func TestDeadBuildsWithoutEndAreNotKept(t *testing.T) {
	b := newBench(t, t.TempDir(), Own)
	b.Reclaimer.dead = share.NewPool(share.Bounds{User: 1, Users: 2, Root: 1})
	b.answer = []Item{{Why: WhyDoubt}} // and so it is tried again and again
	for _, build := range []string{"first", "second"} {
		builder, child := aBuilder(t, "podman build")
		b.uses(build, builder, 'a')
		child.End()
		b.Over(build, false)
		if build == "first" {
			b.job()
		}
	}
	proctest.Eventually(t, "the second is forgotten", func() bool {
		b.Reclaimer.mu.Lock()
		defer b.Reclaimer.mu.Unlock()
		return len(b.entries) == 1
	})
	b.change(func(w *waiting) {
		if w.gone {
			t.Error("the first is forgotten")
		}
	}, "first")
}

// TestSlowDiskHasAThreadOfAFewWritesOnly: a user starts steps of many builds at once, of each as
// many as they like. Another's are written meanwhile, and of one build all that is new at once.
func TestSlowDiskHasAThreadOfAFewWritesOnly(t *testing.T) {
	b := newBench(t, t.TempDir(), Own)
	var writing, written atomic.Int32
	slow := make(chan struct{})
	b.ledger.sync = func(*os.File) error {
		writing.Add(1)
		defer writing.Add(-1)
		<-slow
		written.Add(1)
		return nil
	}
	builder, _ := aBuilder(t, "podman build")
	gone := proc.Identity{PID: 1 << 22, Start: 1} // so that there is nothing to look at
	of := func(uid uint32, builds, steps int) {
		builder := builder
		builder.UID = uid
		for n := range builds {
			for range steps {
				b.Seen(Step{Build: fmt.Sprint(uid, "-", n), Builder: builder, Monitor: gone})
			}
		}
	}
	of(30000, 50, 10)
	proctest.Eventually(t, "one user's are being written", func() bool { return writing.Load() == int32(writes.User) })
	of(30001, 1, 1)
	proctest.Eventually(t, "another's too", func() bool { return writing.Load() == int32(writes.User)+1 })
	close(slow)
	proctest.Eventually(t, "all are written", func() bool { return written.Load() >= 51 && writing.Load() == 0 && b.writes.Waiting() == 0 })
	if n := written.Load(); n > 2*51 {
		t.Errorf("%d files were written of 51 builds", n)
	}
}
