package processes

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// Followed is one step's processes, held since they were seen (package observe).
type Followed interface {
	// Look looks for new ones, of this step and of all others of this host.
	Look()
	// Glance is Look, unless there was one a moment ago.
	Glance()
	// Alive are those that the last look has found and that have not ended.
	Alive() []*proc.Handle
	Cgroup() string
	// Over reports whether nothing of the step is left or can come.
	Over() bool
	// Own is the cgroup that was made for the step's container, see observe.Step.
	Own() (own proc.CgroupID, verified, known bool)
	// Populated reports whether there is a process in it, where it is verified.
	Populated() bool
}

// Unplaced are processes that were not born in a scope. While their owner lives they are
// left where they are: to move a live container is to corrupt its image. When it is gone
// they are gathered into a scope.
type Unplaced struct {
	of        Origin
	gathering chan struct{} // holds a token: one gathers at a time

	mu sync.Mutex // lock order: 5; nobody waits with it
	// +checklocks:mu
	steps []Followed
	// +checklocks:mu
	added int // steps so far
	// +checklocks:mu
	busy bool // something was left at the last look, or a step came since
	// +checklocks:mu
	scope Scope // made by gather; nil before
	// +checklocks:mu
	emptied []proc.CgroupID // the cgroups of steps that are over
	// +checklocks:mu
	shared map[proc.CgroupID]bool // with processes that are not known to be the build's
}

// Origin is what build the processes are of, and what acts on them.
type Origin struct {
	Spec       Spec // of the scope that they may be gathered into
	OwnerLives func() bool
	Placed     func() Scope // the build's own scope, if it has one
	Host       Host
}

// NewUnplaced has no step yet.
func NewUnplaced(of Origin) *Unplaced {
	o := &Unplaced{of: of, gathering: make(chan struct{}, 1), shared: map[proc.CgroupID]bool{}}
	o.gathering <- struct{}{}
	return o
}

// Add adds a step. It never waits.
func (o *Unplaced) Add(step Followed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.steps = append(o.steps, step)
	o.added++
	o.busy = true
}

// DropOver lets go of steps of which nothing is left.
func (o *Unplaced) DropOver() {
	var over []Followed
	var emptied []proc.CgroupID
	for _, step := range o.all() {
		if !step.Over() {
			continue
		}
		over = append(over, step)
		// A scope is systemd's to remove.
		if own, _, known := step.Own(); known && !strings.HasSuffix(own.Path, ".scope") {
			emptied = append(emptied, own)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.steps = slices.DeleteFunc(o.steps, func(step Followed) bool { return slices.Contains(over, step) })
	o.emptied = append(o.emptied, emptied...)
}

// made is the scope of the gathered, if there is one.
func (o *Unplaced) made() Scope {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.scope
}

func (o *Unplaced) all() []Followed {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.steps)
}

// look looks at the host once, however many steps there are, and returns what is alive.
// It takes time, and is never called with a lock.
func (o *Unplaced) look() []*proc.Handle {
	o.mu.Lock()
	steps, added := slices.Clone(o.steps), o.added
	o.mu.Unlock()
	if len(steps) > 0 {
		steps[0].Look()
	}
	alive := o.alive()
	busy := len(alive) > 0 || o.unseen()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy = busy || o.added != added
	return alive
}

// glance is look, unless there was one a moment ago.
func (o *Unplaced) glance() {
	if steps := o.all(); len(steps) > 0 {
		steps[0].Glance()
	}
}

// alive are the processes that the last look has found and that have not ended.
func (o *Unplaced) alive() []*proc.Handle {
	var all []*proc.Handle
	for _, step := range o.all() {
		all = append(all, step.Alive()...)
	}
	return all
}

// known is look by an earlier one, of a moment ago.
func (o *Unplaced) known() []*proc.Handle {
	o.glance()
	return o.alive()
}

// Unit is that of the scope of the gathered; empty before.
func (o *Unplaced) Unit() string {
	if s := o.made(); s != nil {
		return s.Unit()
	}
	return ""
}

// Cgroup is the scope's; before, where the first of the processes is.
func (o *Unplaced) Cgroup() string {
	if s := o.made(); s != nil {
		return s.Cgroup()
	}
	for _, step := range o.all() {
		if cgroup := step.Cgroup(); cgroup != "" {
			return cgroup
		}
	}
	return ""
}

// Kill ends the processes: those of a living owner one by one, so that it sees
// its step fail and tidies up; orphans together in a scope of their own, from
// which nothing that they start gets away.
func (o *Unplaced) Kill(ctx context.Context) error {
	if o.of.OwnerLives() {
		return o.signal(ctx)
	}
	gatherErr := o.gatherInTime(ctx)
	var err error
	s := o.made()
	if s != nil {
		err = s.Kill(ctx)
	}
	// Whom the scope does not have, because systemd did not answer.
	signalErr := o.signal(ctx)
	if s == nil && signalErr == nil {
		return nil // all have ended, though not in a scope: some right when they were to be moved
	}
	return errors.Join(gatherErr, err, signalErr)
}

// gatherInTime is gatherAll for at most half of the time that there is: a systemd
// that does not answer leaves the other half for what needs none.
func (o *Unplaced) gatherInTime(ctx context.Context) error {
	ctx, cancel := halfOf(ctx)
	defer cancel()
	return o.gatherAll(ctx)
}

var errHalf = errors.New("half of the time was over")

// halfOf ends when half of the time that ctx has left is over.
func halfOf(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, deadline.Add(-time.Until(deadline)/2), errHalf)
}

// recheckPause is between two looks at processes that are being ended.
const recheckPause = 5 * time.Millisecond

// signal sends SIGKILL to every process until none is left, or time is over.
func (o *Unplaced) signal(ctx context.Context) error { return killAll(ctx, o.look) }

// killSteps is signal for some of the steps.
func (o *Unplaced) killSteps(ctx context.Context, steps []Followed) error {
	return killAll(ctx, func() (alive []*proc.Handle) {
		o.look()
		for _, step := range steps {
			alive = append(alive, step.Alive()...)
		}
		return alive
	})
}

// killAll kills what each look finds.
func killAll(ctx context.Context, look func() []*proc.Handle) error {
	for {
		live := look()
		if len(live) == 0 {
			return nil
		}
		if err := kill(live); err != nil {
			return err
		}
		if !sleep(ctx, recheckPause) {
			return context.Cause(ctx)
		}
	}
}

func kill(processes []*proc.Handle) error {
	var failed error
	for _, h := range processes {
		if err := h.Signal(unix.SIGKILL); err != nil && !errors.Is(err, proc.ErrGone) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// gatherAll moves orphans into a scope until no look finds one outside: what is
// started meanwhile is started there, or by one that is still to be moved.
func (o *Unplaced) gatherAll(ctx context.Context) error {
	select {
	case <-o.gathering:
		defer func() { o.gathering <- struct{}{} }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	inside := map[proc.Identity]bool{}
	for ctx.Err() == nil {
		outside := slices.DeleteFunc(o.look(), func(h *proc.Handle) bool { return inside[h.Identity] })
		if len(outside) == 0 {
			return nil
		}
		if err := o.moveIn(ctx, outside); err != nil {
			return err
		}
		for _, h := range outside {
			inside[h.Identity] = true
		}
	}
	return context.Cause(ctx)
}

func (o *Unplaced) moveIn(ctx context.Context, orphans []*proc.Handle) error {
	if s := o.made(); s != nil {
		return s.Attach(orphans)
	}
	if s := o.of.Placed(); s != nil && s.Joinable() && s.Attach(orphans) == nil {
		return nil
	}
	s, err := o.of.Host.Gather(ctx, o.of.Spec.orphans(), orphans)
	if err != nil {
		if !slices.ContainsFunc(orphans, (*proc.Handle).Alive) {
			return nil // all have ended by themselves
		}
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.scope = s
	return nil
}

// Stop stops the scope of the gathered.
func (o *Unplaced) Stop(ctx context.Context) error {
	if s := o.made(); s != nil {
		return s.Stop(ctx)
	}
	return nil
}

// CgroupKill ends what is in the scope, and in the cgroups of its containers, by the
// kernel's own means; and one by one what is not, until none is left: what has been
// started meanwhile too.
func (o *Unplaced) CgroupKill(ctx context.Context) error {
	var err error
	if s := o.made(); s != nil {
		err = s.CgroupKill(ctx)
	}
	o.killOwn(ctx)
	return errors.Join(err, o.signal(ctx))
}

// Busy reports what the last look has found: it costs none.
func (o *Unplaced) Busy() (bool, error) {
	if s := o.made(); s != nil {
		if busy, err := s.Busy(); busy || err != nil {
			return busy, err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.busy, nil
}

// Starting reports whether the OCI runtime has made a container that it was not yet
// told to start, see scopes.Scope.
func (o *Unplaced) Starting() bool {
	o.look()
	for _, step := range o.all() {
		processes := step.Alive()
		if len(processes) > 0 && !slices.ContainsFunc(processes, func(h *proc.Handle) bool { return proc.HasExeced(h.PID) }) {
			return true
		}
	}
	return false
}

// WaitEmpty returns nil once no process is left, or the context's error.
func (o *Unplaced) WaitEmpty(ctx context.Context) error {
	for {
		live := o.look()
		if len(live) == 0 && o.unseen() {
			if !sleep(ctx, unseenPause) {
				return ctx.Err()
			}
			continue
		}
		if len(live) == 0 {
			if s := o.made(); s != nil {
				return s.WaitEmpty(ctx)
			}
			return nil
		}
		// With a descriptor of its own: others may wait for the same process.
		first, err := proc.Find(live[0].Identity)
		if err == nil {
			err = first.Wait(ctx)
			first.Close()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !errors.Is(err, proc.ErrGone) {
			return err
		}
		if !sleep(ctx, recheckPause) { // the others of a family that ends at once
			return ctx.Err()
		}
	}
}

// Members lists the processes, by a look of a moment ago.
func (o *Unplaced) Members() []scopes.Member {
	var members []scopes.Member
	for _, h := range o.known() {
		members = append(members, scopes.Member{PID: h.PID})
	}
	return members
}

// CPUTime is what the processes that live now have used.
func (o *Unplaced) CPUTime() time.Duration { return cpuTime(o.known()) }

// Steps is Members: what was seen are steps.
func (o *Unplaced) Steps() []scopes.Member { return o.Members() }

// StepsCPUTime is CPUTime, likewise.
func (o *Unplaced) StepsCPUTime() time.Duration { return o.CPUTime() }

// Discard stops the scope of the gathered.
func (o *Unplaced) Discard(ctx context.Context) {
	if s := o.made(); s != nil {
		s.Discard(ctx)
	}
}

// Close lets go of it.
func (o *Unplaced) Close() {
	if s := o.made(); s != nil {
		s.Close()
	}
}
