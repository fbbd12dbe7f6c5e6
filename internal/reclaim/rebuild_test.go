package reclaim

import (
	"context"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

func TestNextBuildIsLetGoFirst(t *testing.T) {
	for name, test := range map[string]struct {
		begins, ends time.Duration
		want         time.Duration // until something is removed
	}{
		"nobody builds":     {time.Hour, time.Hour, rebuildStart},
		"a short one":       {100 * time.Millisecond, 650 * time.Millisecond, 700 * time.Millisecond},
		"a long one":        {0, time.Hour, rebuildLimit},
		"over in no time":   {0, rebuildStart / 2, rebuildStart},
		"begun much later":  {time.Second, time.Hour, rebuildStart},
		"ends at the limit": {0, rebuildLimit - time.Millisecond, rebuildLimit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				letRebuild(t.Context(), func() bool {
					since := time.Since(start)
					return since >= test.begins && since < test.ends
				})
				if got := time.Since(start); got != test.want {
					t.Errorf("it waits %v, want %v", got, test.want)
				}
			})
		})
	}
	ended, end := context.WithCancel(t.Context())
	end()
	letRebuild(ended, func() bool { t.Error("it is asked though there is no time"); return true })
}

func TestBuildOfTheUserIsSeen(t *testing.T) {
	proctest.Shell(t, ":", func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"podman"}, append(cmd.Args[1:3], "build", ".")...) // -c has a value there, too
	})
	proctest.Eventually(t, "it is seen", userBuilds)
}

// TestManyCancelsInARowAreNotHeldUp: where others wait for their turn, no build is let go first.
func TestManyCancelsInARowAreNotHeldUp(t *testing.T) {
	b := newBench(t, t.TempDir(), Own)
	first, child := aBuilder(t, "podman build")
	second, other := aBuilder(t, "podman build")
	b.uses("bcdf2345", first, 'a')
	b.uses("bcdf6789", second, 'b')
	began, goOn := make(chan Job), make(chan struct{})
	b.Run = func(ctx context.Context, _ uint32, job Job) (Result, error) {
		select {
		case began <- job:
			<-goOn
		case <-ctx.Done():
		}
		return Result{Version: docVersion}, ctx.Err()
	}
	child.End()
	other.End()
	proctest.Eventually(t, "both have ended", func() bool {
		b.Reclaimer.mu.Lock()
		defer b.Reclaimer.mu.Unlock()
		for _, w := range b.entries {
			if !w.dead {
				return false
			}
		}
		return true
	})
	b.Over("bcdf2345", false)
	b.Over("bcdf6789", false)
	for n, yields := range []bool{false, true} {
		if job := <-began; job.Yield != yields {
			t.Errorf("job %d yields: %v", n, job.Yield)
		}
		goOn <- struct{}{}
	}
}
