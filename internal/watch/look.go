package watch

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// lookTime is how long who asks for builds waits until their counts are read. What the
// kernel is slower with is shown as it was read last: where hundreds of cgroups are removed
// at once, each look into another waits for that, and those for a list of 1,000 builds took 9 s.
//
// Source: linux, fs/kernfs/dir.c, kernfs_dop_revalidate and kernfs_remove_by_name_ns: one
// lock for all of the hierarchy; seen on 6.18.
const lookTime = 500 * time.Millisecond

// Who asks for more than many builds waits for a glance: the rest is read while nobody waits,
// for lookTime as well, and once for all who ask.
const many, glance = 64, 8 * time.Millisecond

// reading is what a build uses, by the kernel's own counts.
type reading struct {
	processes.Usage
	inside bool // some of its processes are, or may be, in its scope
	memory uint64
	io     *api.IO // nil where the kernel does not say
}

// sight is what is known of a build by looks of one kind.
type sight[T any] struct {
	token chan struct{} // one look is made at a time
	last  atomic.Pointer[seen[T]]
}

// seen is what one look has found.
type seen[T any] struct {
	at   time.Time
	what T
}

func newSight[T any]() *sight[T] {
	s := &sight[T]{token: make(chan struct{}, 1)}
	s.token <- struct{}{}
	return s
}

// look looks, unless its turn does not come in time.
func (s *sight[T]) look(ctx context.Context, see func() T) {
	select {
	case <-s.token:
		s.last.Store(&seen[T]{time.Now(), see()})
		s.token <- struct{}{}
	case <-ctx.Done():
	}
}

// known is what was found last; the zero value before the first look.
func (s *sight[T]) known() (what T, at time.Time) {
	if last := s.last.Load(); last != nil {
		return last.what, last.at
	}
	return what, at
}

// read reads the counts of the builds, for who wants to see them: those first that were read
// longest ago. It returns when that is done, or its time is over; no other look is begun
// then, and the one under way is left behind.
func (w *Watcher) read(builds ...*build) {
	if len(builds) <= many {
		<-w.readAside(builds, func() {}).Done()
		return
	}
	patience := time.NewTimer(glance)
	defer patience.Stop()
	select {
	case <-w.reading:
		select {
		case <-w.readAside(builds, func() { w.reading <- struct{}{} }).Done():
		case <-patience.C:
		}
	case <-patience.C:
	}
}

// readAside reads them while nobody waits, and calls after when no look is under way. The
// context ends when all are read, or with their time.
func (w *Watcher) readAside(builds []*build, after func()) context.Context {
	times := make(map[*build]time.Time, len(builds))
	for _, b := range builds {
		_, times[b] = b.read.known()
	}
	builds = slices.SortedFunc(slices.Values(builds), func(a, b *build) int {
		return cmp.Or(times[a].Compare(times[b]), cmp.Compare(a.id, b.id))
	})
	ctx, cancel := context.WithTimeout(w.life, lookTime)
	w.running.Go(func() {
		defer after()
		defer cancel()
		for _, b := range builds {
			if ctx.Err() != nil {
				return
			}
			b.read.look(ctx, b.reading)
		}
	})
	return ctx
}

// reading reads what the build uses now, without a look at a process.
func (b *build) reading() reading {
	of := b.processes()
	now := reading{Usage: b.usage(), inside: inside(of.Scope), memory: of.Memory()}
	if read, written, known := of.IO(); known {
		now.io = &api.IO{ReadBytes: read, WrittenBytes: written}
	}
	return now
}

// inside reports whether processes of the build are in its scope. In doubt they are.
func inside(s processes.Scope) bool {
	if s == nil {
		return false
	}
	busy, err := s.Busy()
	return busy || err != nil
}

// Used is what all builds use, and have used.
type Used struct {
	Processes map[string]int // now, by the architecture that is emulated
	Memory    uint64         // now, in bytes, of the scopes
	CPU       map[api.Mode]time.Duration
}

// Usage is what all builds use: the kernel's own count, without a look at a process. Builds
// that are gone are left out.
func (w *Watcher) Usage() Used {
	all := Used{Processes: map[string]int{}, CPU: map[api.Mode]time.Duration{}}
	builds := slices.DeleteFunc(w.all(), func(b *build) bool {
		now := b.shown.Load()
		return now.held.None() || now.head.State == api.StateGone
	})
	w.read(builds...)
	for _, b := range builds {
		last, at := b.read.known()
		if at.IsZero() {
			continue
		}
		for arch, n := range last.ByArch() {
			all.Processes[arch] += n
		}
		all.Memory += last.memory
		all.CPU[b.record.Mode] += b.cpuTime(last.CPU)
	}
	return all
}
