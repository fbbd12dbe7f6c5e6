package reclaim

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/procfs"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// Who cancels a build often builds again at once, mostly from cache, and in less time than the
// removal takes: podman's locks and the disk are then the new build's. What is left can wait, but
// not for long.
const (
	rebuildStart = 200 * time.Millisecond // in which the next build may begin
	rebuildPause = 100 * time.Millisecond
	rebuildLimit = 3 * time.Second
)

// letRebuild waits for as long as the user builds, up to rebuildLimit.
func letRebuild(ctx context.Context, builds func() bool) {
	limit, cancel := context.WithTimeout(ctx, rebuildLimit)
	defer cancel()
	for pause := rebuildStart; ; pause = rebuildPause {
		select {
		case <-time.After(pause):
		case <-limit.Done():
			return
		}
		if !builds() {
			return
		}
	}
}

// userBuilds reports whether a process of the user's makes a build and nothing else. Whether a
// service does can't be told so.
func userBuilds() bool {
	all, _ := procfs.AllProcs()
	return slices.ContainsFunc(all, func(process procfs.Proc) bool {
		args, err := process.CmdLine()
		if err != nil || len(args) == 0 || !podman.MakesStages(podman.ReadCommand(filepath.Base(args[0]), args).Name) {
			return false
		}
		status, err := process.NewStatus()
		return err == nil && status.UIDs[1] == uint64(os.Geteuid())
	})
}
