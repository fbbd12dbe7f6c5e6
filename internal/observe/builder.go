package observe

import (
	"context"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// builders are those that live, and whether they were told of.
type builders map[proc.Identity]bool

// untold are those that were not told of, which now they are.
func (b builders) untold() (all []proc.Identity) {
	for id, told := range b {
		if !told {
			all = append(all, id)
			b[id] = true
		}
	}
	return all
}

func (b builders) news() bool {
	for _, told := range b {
		if !told {
			return true
		}
	}
	return false
}

// tidy forgets those that have ended.
func (b builders) tidy(all snapshot) {
	for id := range b {
		if all[id.PID].Identity != id {
			delete(b, id)
		}
	}
}

// noteBuilder takes up a process that runs a builder's program. One that was forked and runs
// nothing of its own yet is no builder; nor is one in another PID namespace: a container's.
func (f *Follower) noteBuilder(id proc.Identity) {
	if _, known := f.known[id]; known || f.Builder == nil || !proc.HasExeced(id.PID) || proc.Namespace(id.PID, "pid") != f.host.pid {
		return
	}
	f.known[id] = false
}

// tellOfBuilder passes on a builder, and has it told of again where nothing could be learnt of it.
func (f *Follower) tellOfBuilder(ctx context.Context, id proc.Identity) {
	if f.Builder(ctx, id, f.since) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, lives := f.known[id]; lives {
		f.known[id] = false
	}
}
