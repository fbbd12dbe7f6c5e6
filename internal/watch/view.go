package watch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/internal/api"
	"github.com/buildwatch/buildwatch/internal/proc"
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

// List returns every build that has had a container, oldest first.
func (w *Watcher) List() []api.Build {
	list := []api.Build{}
	for _, b := range w.all() {
		if view, ok := b.view(); ok {
			list = append(list, view)
		}
	}
	api.SortBuilds(list)
	return list
}

// find returns the build called id, or an error of the control API.
func (w *Watcher) find(id string) (*build, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b, ok := w.byID[id]; ok {
		return b, nil
	}
	return nil, &api.Error{Code: api.CodeNotFound, Message: "no build with ID " + fmt.Sprintf("%q", id)}
}

// Detail returns everything that is known of one build.
func (w *Watcher) Detail(_ context.Context, id string) (api.BuildDetail, error) {
	b, err := w.find(id)
	if err != nil {
		return api.BuildDetail{}, err
	}
	view, _ := b.view()
	return api.BuildDetail{Build: view, ProcessTree: b.processes(), Ladder: b.history(), Explanation: b.explain()}, nil
}

// Stop ends a build that may still be wanted, and returns when it is gone, or
// stuck. ownerTimeout is how long its owner may tidy up; 0 means as configured.
func (w *Watcher) Stop(ctx context.Context, id string, by uint32, ownerTimeout time.Duration) (api.Build, error) {
	b, err := w.find(id)
	if err != nil {
		return api.Build{}, err
	}
	b.log.WithField("by_uid", by).Infof("UID %d asks for the end of build %s", by, b.id)
	b.mu.Lock()
	if ownerTimeout > 0 {
		b.tidyTime = ownerTimeout
	}
	b.learn(api.FactStop, fmt.Sprintf("asked for by UID %d", by))
	b.mu.Unlock()
	b.send(message{event: stopRequested})
	select {
	case <-b.settled:
		view, _ := b.view()
		return view, nil
	case <-b.life.Done():
		return api.Build{}, &api.Error{Code: api.CodeInternal, Message: "buildwatchd stops before the build has ended: see when it is back whether it is still listed"}
	case <-ctx.Done():
		return api.Build{}, context.Cause(ctx)
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

// view returns what the list shows, and false for a build that has not been
// placed yet.
func (b *build) view() (api.Build, bool) {
	b.mu.Lock()
	s, placed, now, since, emptyAt, command := b.hold(), b.scope != nil, b.status, b.stateSince, b.emptyAt, b.command
	b.mu.Unlock()
	if s == nil {
		return api.Build{}, false
	}
	view := api.Build{
		ID: b.id, Name: b.record.Name, State: now.state, StateSince: since, Reason: now.reason, Reported: now.stage == stageReported,
		Mode: b.record.Mode, Placement: api.PlacementScope,
		CreatedAt: b.record.created(), User: b.user, Arch: []string{},
		Owner: api.Owner{PID: b.record.outermost().PID, Command: command, Exited: !now.ownerLives},
		Scope: s.Unit(), Cgroup: s.Cgroup(),
	}
	if !placed {
		view.Placement = api.PlacementObserved
	}
	if now.state == api.StateGone {
		view.EndedAt = emptyAt
		return view, true
	}
	members := s.Members()
	view.Processes = len(members)
	view.CPUSeconds = s.CPUTime().Seconds()
	for _, m := range members {
		if arch := proc.Arch(m.PID); arch != "" && !slices.Contains(view.Arch, arch) {
			view.Arch = append(view.Arch, arch)
		}
	}
	slices.Sort(view.Arch)
	return view, true
}

// processes lists the containers' processes, parents before their children.
func (b *build) processes() []api.Process {
	b.mu.Lock()
	s, stuck := b.hold(), b.status.state == api.StateStuck
	b.mu.Unlock()
	if s == nil {
		return []api.Process{}
	}
	children := map[int][]api.Process{}
	known := map[int]bool{}
	var all []api.Process
	for _, m := range s.Members() {
		look, err := proc.Look(m.PID)
		if err != nil {
			continue
		}
		known[m.PID] = true
		all = append(all, api.Process{
			PID: look.PID, PPID: look.PPID, Command: look.Comm, Exe: look.Exe, Arch: look.Arch,
			State: look.State, WChan: look.WChan, Cgroup: m.Cgroup, Survivor: stuck,
		})
	}
	slices.SortFunc(all, func(a, b api.Process) int { return a.PID - b.PID })
	for _, p := range all {
		parent := p.PPID
		if !known[parent] || parent == p.PID {
			parent = 0
		}
		children[parent] = append(children[parent], p)
	}
	ordered := make([]api.Process, 0, len(all))
	var descend func(parent int)
	descend = func(parent int) {
		for _, p := range children[parent] {
			ordered = append(ordered, p)
			descend(p.PID)
		}
	}
	descend(0)
	return ordered
}

// describeSurvivors names the processes that outlived the ladder.
func (b *build) describeSurvivors() string {
	var names []string
	for _, p := range b.processes() {
		names = append(names, fmt.Sprintf("%d %q in state %s, waiting in %q", p.PID, p.Command, p.State, p.WChan))
	}
	if len(names) == 0 {
		return "its owner survived SIGKILL"
	}
	return fmt.Sprintf("%d of its processes survived SIGKILL: %s", len(names), strings.Join(names, "; "))
}

// Count returns how many builds there are in each state. It looks at no process.
func (w *Watcher) Count() map[api.State]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := map[api.State]int{}
	for _, b := range w.byID {
		count[b.current().state]++
	}
	return count
}
