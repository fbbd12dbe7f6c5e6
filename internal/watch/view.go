package watch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
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
	builds := slices.DeleteFunc(w.all(), func(b *build) bool { return !may(b.user) })
	w.read(builds...)
	for _, b := range builds {
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
	w.read(b)
	view, _ := b.view()
	tree, omitted := b.tree()
	return api.BuildDetail{Build: view, ProcessTree: tree, ProcessesOmitted: omitted, Ladder: b.history(), Explanation: b.explain()}, nil
}

// Stop ends a build that may still be wanted, and returns when it is gone or stuck. If none of
// its steps runs, it returns at the latest when the owner's time is over.
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
	w.read(b)
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

// view is the build with the counts that were read last, and false for one that has not been
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
	last, at := b.read.known()
	if at.IsZero() {
		return view, true
	}
	view.Cgroup, view.Processes, view.CPUSeconds, view.Arch = last.Cgroup, last.Processes, last.CPU.Seconds(), last.Arch
	if last.Elsewhere() && !last.inside {
		view.Placement = api.PlacementObserved
	}
	view.MemoryBytes, view.IO = last.memory, last.io
	return view, true
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
