package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// all returns every build, in any order.
func (w *Watcher) all() []*build {
	w.mu.Lock()
	defer w.mu.Unlock()
	builds := make([]*build, 0, len(w.byID))
	for _, b := range w.byID {
		builds = append(builds, b)
	}
	return builds
}

// Heads returns what is known of every build that has had a container, without a look at
// its processes.
func (w *Watcher) Heads() []api.BuildHead {
	var heads []api.BuildHead
	for _, b := range w.all() {
		if now := b.shown.Load(); !now.held.None() {
			heads = append(heads, now.named())
		}
	}
	return heads
}

// named is the head with the scope that what is elsewhere may have been gathered into since.
func (s *shown) named() api.BuildHead {
	head := s.head
	head.Scope = s.held.Unit()
	return head
}

// List returns every build that has had a container, of those users that may lets pass;
// oldest first. It looks at no process.
func (w *Watcher) List(may func(api.User) bool) []api.Build {
	w.wantMeasure(nil)
	list := []api.Build{}
	for _, b := range w.all() {
		if !may(b.user) {
			continue
		}
		if view, ok := b.view(); ok {
			list = append(list, view)
		}
	}
	api.SortBuilds(list)
	return list
}

// find returns the build called id, or an error of the control API.
func (w *Watcher) find(id string) (*build, error) {
	if b := w.called(id); b != nil {
		return b, nil
	}
	return nil, &api.Error{Code: api.CodeNotFound, Message: "no build with ID " + fmt.Sprintf("%q", id)}
}

// called returns the build called id, or nil.
func (w *Watcher) called(id string) *build {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byID[id]
}

// Detail returns everything that is known of one build.
func (w *Watcher) Detail(id string) (api.BuildDetail, error) {
	b, err := w.find(id)
	if err != nil {
		return api.BuildDetail{}, err
	}
	b.measure()
	view, _ := b.view()
	tree, omitted := b.tree()
	return api.BuildDetail{Build: view, ProcessTree: tree, ProcessesOmitted: omitted, Ladder: b.history(), Explanation: b.explain()}, nil
}

// Stop ends a build that may still be wanted, and returns when it is gone, or
// stuck. Where no step of it runs, it returns when the owner's time is over at the latest.
func (w *Watcher) Stop(ctx context.Context, id string, by uint32, request api.StopRequest) (api.Build, error) {
	b, err := w.find(id)
	if err != nil {
		return api.Build{}, err
	}
	b.log.WithField("by_uid", by).Infof("UID %d asks for the end of build %s", by, b.id)
	b.mu.Lock()
	if request.OwnerTimeout != nil {
		b.tidyTime = time.Duration(*request.OwnerTimeout)
	}
	if b.askedBy == nil {
		b.askedBy = &by
	}
	if b.status.Refusing() { // it has come to rest, for an earlier one
		b.settled = make(chan struct{})
	}
	settled := b.settled
	b.learn(api.Fact{Name: api.FactStop, Value: api.ValueAsked, UID: &by})
	b.mu.Unlock()
	b.send(message{event: lifecycle.StopRequested})
	if err := b.awaitRest(ctx, settled); err != nil {
		return api.Build{}, err
	}
	view, _ := b.view()
	return view, nil
}

// awaitRest waits until the build has come to rest. A build that has is closed soon after,
// and who looks late finds both: that it has ended counts.
func (b *build) awaitRest(ctx context.Context, settled <-chan struct{}) error {
	var err error
	select {
	case <-settled:
		return nil
	case <-b.life.Done():
		err = &api.Error{Code: api.CodeInternal, Message: "buildwatchd stops before the build has ended: see when it is back whether it is still listed"}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	select {
	case <-settled:
		return nil
	default:
		return err
	}
}

// settle tells who waits that the build has come to rest.
func (b *build) settle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.settled:
	default:
		close(b.settled)
	}
}

// head is what is known of the build. It is called with the lock.
//
// +checklocks:b.mu
func (b *build) head() api.BuildHead {
	head := api.BuildHead{
		ID: b.id, Name: b.record.Name, State: b.status.State, StateSince: b.stateSince, Reason: b.status.Reason, Reported: b.status.Reported(), Refusing: b.status.Refusing(),
		Mode: b.record.Mode, Placement: api.PlacementScope, CreatedAt: b.record.Created(),
		Owner: api.Owner{PID: b.record.Outermost().PID, Command: b.command, Exited: !b.status.OwnerLives, Unit: b.ownerUnit},
		User:  b.user, Scope: b.held.Unit(),
	}
	if b.held.Scope == nil {
		head.Placement = api.PlacementObserved
	}
	switch b.status.State {
	case api.StateStalled:
		head.StalledSince = b.stalled.since
	case api.StateGone:
		head.EndedAt = b.emptyAt
	}
	return head
}

// view is the build without a look at its processes, and false for one that has not been
// placed yet.
func (b *build) view() (api.Build, bool) {
	now := b.shown.Load()
	view, held := api.Build{BuildHead: now.named(), Arch: []string{}}, now.held
	if held.None() {
		return api.Build{}, false
	}
	if view.State == api.StateGone {
		view.Cgroup = held.Cgroup()
		return view, true
	}
	usage := b.usage()
	view.Cgroup, view.Processes, view.CPUSeconds, view.Arch = usage.Cgroup, usage.Processes, usage.CPU.Seconds(), usage.Arch
	if usage.Elsewhere() && !inside(held.Scope) {
		view.Placement = api.PlacementObserved
	}
	view.MemoryBytes = held.Memory()
	if read, written, known := held.IO(); known {
		view.IO = &api.IO{ReadBytes: read, WrittenBytes: written}
	}
	return view, true
}

// inside reports whether processes of the build are in its scope. In doubt they are.
func inside(s processes.Scope) bool {
	if s == nil {
		return false
	}
	busy, err := s.Busy()
	return busy || err != nil
}

// tree lists the build's processes with what is known of them as survivors, and how many
// it leaves out.
func (b *build) tree() (shown []api.Process, omitted int) {
	b.mu.Lock()
	held, stuck, remains := b.held, b.status.State == api.StateStuck, b.remains
	b.mu.Unlock()
	shown, omitted = held.Tree()
	for i := range shown {
		if shown[i].Survivor = stuck; stuck {
			remains.AddTo(&shown[i])
		}
	}
	return shown, omitted
}

// Count returns how many builds there are in each state. It looks at no process.
func (w *Watcher) Count() map[api.State]int {
	count := map[api.State]int{}
	for _, b := range w.all() {
		count[b.current().State]++
	}
	return count
}

// Survivors is how many processes stuck builds had at the last look at them, by what
// they wait for.
func (w *Watcher) Survivors() map[api.WaitKind]int {
	count := map[api.WaitKind]int{}
	for _, b := range w.all() {
		if b.current().State != api.StateStuck {
			continue
		}
		b.mu.Lock()
		b.remains.Count(count)
		b.mu.Unlock()
	}
	return count
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
	for _, b := range w.all() {
		now := b.shown.Load()
		if now.held.None() || now.head.State == api.StateGone {
			continue
		}
		usage := b.usage()
		for arch, n := range usage.ByArch() {
			all.Processes[arch] += n
		}
		all.Memory += now.held.Memory()
		all.CPU[now.head.Mode] += b.cpuTime(usage.CPU)
	}
	return all
}
