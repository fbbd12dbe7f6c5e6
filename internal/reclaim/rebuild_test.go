package reclaim

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

func TestNextBuildIsLetGoFirst(t *testing.T) {
	for name, test := range map[string]struct {
		begins, ends time.Duration
		want         time.Duration // from the builder's end until something is removed
	}{
		"nobody builds":     {time.Hour, time.Hour, nextBuild.begin},
		"a short one":       {900 * time.Millisecond, 1650 * time.Millisecond, 1700 * time.Millisecond},
		"a long one":        {0, time.Hour, nextBuild.limit},
		"over in no time":   {0, nextBuild.begin / 2, nextBuild.begin},
		"begun much later":  {2 * time.Second, time.Hour, nextBuild.begin},
		"ends at the limit": {0, nextBuild.limit - time.Millisecond, nextBuild.limit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := time.Now()
				time.Sleep(50 * time.Millisecond) // its processes live on for a moment
				nextBuild.wait(t.Context(), ended, func() bool {
					since := time.Since(ended)
					return since >= test.begins && since < test.ends
				})
				if got := time.Since(ended); got != test.want {
					t.Errorf("it waits %v, want %v", got, test.want)
				}
			})
		})
	}
	ended, end := context.WithCancel(t.Context())
	end()
	nextBuild.wait(ended, time.Now(), func() bool { t.Error("it is asked though there is no time"); return true })
}

// TestNoHelperRunsWhileTheNextBuildDoes: the user's own, not another's, nor a service without a request.
func TestNoHelperRunsWhileTheNextBuildDoes(t *testing.T) {
	for name, row := range map[string]struct {
		next func(*aBench, Builder)
		want bool
	}{
		"without a step": {func(b *aBench, next Builder) { b.SeenBuilder(next, nil, longAgo) }, true},
		"with a step":    {func(b *aBench, next Builder) { b.uses("bcdf6789", next, 'b') }, true},
		"another user's": {func(b *aBench, next Builder) { next.UID++; b.SeenBuilder(next, nil, longAgo) }, false},
		"a service":      {func(b *aBench, next Builder) { next.Serves = true; b.SeenBuilder(next, nil, longAgo) }, false},
		"a request": {func(b *aBench, next Builder) {
			next.Serves = true
			b.uses("bcdf6789", next, 'b')
		}, true},
		"a request that is over": {func(b *aBench, next Builder) {
			next.Serves = true
			b.uses("bcdf6789", next, 'b')
			b.Over("bcdf6789", false)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, t.TempDir(), Own)
			b.next = rebuild{pause: time.Millisecond, limit: never}
			cancelled, child := aBuilder(t, "podman build")
			next, building := aBuilder(t, "podman build")
			b.uses("bcdf2345", cancelled, 'a')
			row.next(b, next)
			child.End()
			b.Over("bcdf2345", false)
			if row.want {
				proctest.Eventually(t, "the end is seen", func() bool {
					b.Reclaimer.mu.Lock()
					defer b.Reclaimer.mu.Unlock()
					w := b.entries[key{"bcdf2345", cancelled.Identity}]
					return w != nil && w.dead
				})
				if len(b.jobs) != 0 || !b.builds(cancelled.UID) {
					t.Error("it is not waited for")
				}
				building.End()
			}
			b.job()
		})
	}
}
