// Package observe notices builds whose steps did not come through the wrapper,
// and follows their processes: by --runtime, chroot isolation, a daemon that was
// away or started later. It holds processes by pidfd and reads /proc; it
// changes nothing, signals nobody, and decides nothing.
//
// What it holds as a build's, and so lets be ended once the build is over, was
// seen alive below a monitor of a builder (programs.trusts, same user), in
// namespaces made for the step; or was started by such a process while that
// one lived; or is in the step's own UTS namespace, which is kept in being by a
// descriptor so that its name can't come to mean another; or is in the cgroup that
// the OCI runtime has made for the bundle which a monitor was seen to run, where
// monitor and builder ended before any look (missed.go). Names, sessions and
// parents may change after that. A name alone is never enough: see orphans.go.
package observe

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/share"
)

// When to look at /proc.
const (
	// slow is the net for what no notice tells of: a builder in an unusual
	// place, and orphans that nobody saw become so.
	slow = 30 * time.Second
	// quick is for a step without a PID namespace, whose processes can leave
	// their parents between two looks.
	quick = time.Second
)

// settled is how long a program takes that is executed to be seen as that one.
const settled = 3 * time.Millisecond

// burst is when to look again after a builder was executed: the container's processes
// come some ten milliseconds after its monitor.
var burst = []time.Duration{20 * time.Millisecond, 60 * time.Millisecond, 200 * time.Millisecond, time.Second}

// Options is what a Follower is made of.
type Options struct {
	// Seen is told of each step that has processes and is not Placed. The Step stays
	// the Follower's, and answers for good. It reports whether the step was taken up;
	// of one that was not it is told again later.
	Seen func(context.Context, *Step) bool
	// Orphaned is told of processes that look like those of a step whose
	// monitor nobody saw. Monitor and Builder are nil. It reports what Seen does.
	Orphaned func(context.Context, *Step) bool
	// Builder is told of each builder, from before its first step if it can be, by when
	// builders were looked for without a gap; it may be nil. It reports false to be told again.
	Builder func(ctx context.Context, builder proc.Identity, since time.Time) bool
	// Placed reports whether a cgroup, below the mount, is that of a build that
	// is supervised by a scope.
	Placed func(cgroup string) bool
	// Passing reports whether a cgroup of such a build is one in which a container's
	// first process is only until the OCI runtime moves it to the container's own.
	Passing func(cgroup string) bool
	DropIn  string       // the configuration file that every builder reads at its start
	Reader  *proc.Reader // of command lines
	Log     logrus.FieldLogger
}

// Follower follows the steps of this host's builds.
type Follower struct {
	Options
	programs *programs
	names    *names
	holds    *share.Pool
	host     namespaces
	scan     func() (snapshot, error)

	mu     sync.Mutex // lock order: 3; one look at a time
	steps  map[proc.Identity]*Step
	lost   map[string]*Step // orphans, by what groups them
	fresh  []*Step          // not yet told of
	known  builders
	others map[proc.Identity]uint64 // what runs a builder's program and is no monitor: entry.args of then
	calm   calm
	since  time.Time // when it began to look for builders
	began  time.Time // the last look
	taken  time.Time // when it had ended
	active bool      // a builder lived at the last look
	// unwatched is when the youngest of those began whose steps nobody tells of, as Identity.Start; 0 for none.
	unwatched uint64
	heard     heard
	wake      chan struct{}

	swept     atomic.Int64  // when orphans were looked for last, in Unix milliseconds
	executed  chan struct{} // holds a token when a burst of looks is due
	telling   sync.WaitGroup
	following bool // Run runs
}

// namespaces are a process's.
type namespaces struct{ mnt, uts, pid string }

// hostsNamespaces are those of PID 1: this daemon has mounts and a host name of its own. Who may
// not look at PID 1 takes its own for them.
func hostsNamespaces() namespaces {
	of := func(kind string) string { return cmp.Or(proc.Namespace(1, kind), proc.Namespace(selfPID, kind)) }
	return namespaces{mnt: of("mnt"), uts: of("uts"), pid: of("pid")}
}

// New makes a Follower. It does nothing until Run.
func New(o Options) *Follower {
	host := hostsNamespaces()
	f := &Follower{
		Options: o, scan: new(scanner).look, programs: newPrograms(host.mnt, o.Reader), holds: share.NewPool(holds), host: host,
		steps: map[proc.Identity]*Step{}, lost: map[string]*Step{}, known: builders{}, others: map[proc.Identity]uint64{}, wake: make(chan struct{}, 1), executed: make(chan struct{}, 1),
	}
	f.names = newNames(o.Reader, f.lookOften)
	return f
}

// Swept is when orphans were last looked for among all processes; the zero time for never.
func (f *Follower) Swept() time.Time {
	if at := f.swept.Load(); at != 0 {
		return time.UnixMilli(at)
	}
	return time.Time{}
}

// Run follows until the context ends.
func (f *Follower) Run(ctx context.Context) error {
	notices, err := openNotices(f.DropIn)
	if err != nil {
		return fmt.Errorf("watch for the start of builders: %w", err)
	}
	defer notices.close()
	f.mu.Lock()
	f.following, f.since, f.heard.builder = true, time.Now(), time.Now() // this daemon has read the drop-in itself
	f.programs.others.watch = notices.add
	f.mu.Unlock()
	defer f.close()
	defer f.telling.Wait()
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() {
		for ctx.Err() == nil {
			news := notices.wait(ctx)
			f.mu.Lock()
			look := f.heard.take(news, time.Now())
			f.mu.Unlock()
			if look {
				f.lookOften()
			}
		}
	})
	var last, thorough time.Time // the last look, and the next one for orphans
	var pace pace
	for next := 0; ; {
		begun := time.Now()
		due := !begun.Before(thorough)
		if due {
			thorough = begun.Add(proc.Beat(slow))
		}
		if due {
			notices.refresh() // also where the host is calm: what is watched may be another file's name by now
		}
		switch {
		case due && f.stillCalm():
		case due:
			f.lookForOrphans()
			pace.note(time.Since(begun))
		default:
			f.look()
			pace.note(time.Since(begun))
		}
		last = time.Now()
		select {
		case <-f.wake: // by this look: it is told of now
		default:
		}
		f.tell(ctx)
		pause, looked := f.pause(next)
		pause = max(pause, pace.rest())
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-f.executed:
			// Soon, for its builder may be killed; of a flock of executions the
			// others wait for the next look.
			next = 0
			timer.Stop()
			select {
			case <-time.After(max(settled, max(burst[0], pace.rest())-time.Since(last))):
			case <-ctx.Done():
				return nil
			}
		case <-f.wake:
			timer.Stop()
		case <-timer.C:
			if looked {
				next++
			}
		}
	}
}

// lookOften asks for a burst of looks.
func (f *Follower) lookOften() {
	select {
	case f.executed <- struct{}{}:
	default:
	}
}

// again is how long after a step was not taken up it is told of once more.
const again = 5 * time.Second

// tell passes on what was found. Each step is told of in the background: who is told looks at its
// builder, which can make that wait.
func (f *Follower) tell(ctx context.Context) {
	f.mu.Lock()
	fresh := f.fresh
	f.fresh = nil
	untold := f.known.untold()
	f.mu.Unlock()
	for _, id := range untold {
		f.telling.Go(func() { f.tellOfBuilder(ctx, id) })
	}
	for _, s := range fresh {
		f.telling.Go(func() {
			tell := f.Seen
			if s.Monitor == nil {
				tell = f.Orphaned
			}
			if !tell(ctx, s) {
				s.tellAgain(time.Now().Add(again))
			}
		})
	}
}

// look looks at /proc once, and follows every step from there. Those who ask while
// somebody's look is under way share the next one.
func (f *Follower) look() {
	asked := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.began.Before(asked) {
		f.lookLocked()
	}
}

// recent is how old a look may be for what is only shown.
const recent = 200 * time.Millisecond

// lookAfter is look, unless the last one is recent.
func (f *Follower) lookAfter(age time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.taken) > age {
		f.lookLocked()
	}
}

func (f *Follower) lookLocked() snapshot {
	f.began = time.Now()
	all, err := f.scan()
	if err != nil {
		f.Log.WithError(err).Error("Cannot look at the host's processes")
		return nil
	}
	v := all.view()
	f.findMonitors(all)
	for id, s := range f.steps {
		s.follow(v)
		if s.missed() {
			s.findMissed(all)
		}
		if s.firstSeen() && !s.placed {
			f.fresh = append(f.fresh, s)
		}
		if s.Over() {
			delete(f.steps, id)
			s.release()
		}
	}
	for name, s := range f.lost {
		s.follow(v)
		if s.firstSeen() {
			f.fresh = append(f.fresh, s)
		}
		if s.Over() {
			delete(f.lost, name)
			s.release()
		}
	}
	f.taken = time.Now()
	if len(f.fresh) > 0 || f.known.news() {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
	return all
}

// findMonitors looks for monitors that are not followed yet.
func (f *Follower) findMonitors(all snapshot) {
	f.active, f.unwatched = false, 0
	var youngest uint64 // builder whose steps are told of
	programs := make(map[int]string, len(all))
	for pid, e := range all {
		if e.thread {
			continue
		}
		programs[pid] = proc.Exe(pid)
		var builds, unwatched bool
		switch {
		case mayBuild(programs[pid]):
			if builds, unwatched = f.programs.builder(pid); builds {
				f.noteBuilder(e.Identity)
			}
		case podman.IsNamespaceCopy(programs[pid]):
			builds, unwatched = f.programs.learnCopy(pid, e.ppid)
		}
		f.active = f.active || builds
		if unwatched {
			f.unwatched = max(f.unwatched, e.Start)
		} else if builds {
			youngest = max(youngest, e.Start)
		}
	}
	f.heard.explain(youngest)
	f.known.tidy(all)
	maps.DeleteFunc(f.others, func(id proc.Identity, args uint64) bool {
		return all[id.PID].Identity != id || all[id.PID].args != args
	})
	var candidates []entry
	for pid, e := range all {
		if programs[pid] == podman.Unreachable {
			f.programs.learnAgain(pid, e.ppid, programs[e.ppid])
		}
		if _, other := f.others[e.Identity]; other {
			continue
		}
		if _, known := f.steps[e.Identity]; known || !mayBeMonitor(e.comm, programs[pid], programs[e.ppid]) || !f.programs.mayBePair(pid, e.ppid) {
			continue
		}
		candidates = append(candidates, e)
		f.names.ask(e.Identity, e.args)
	}
	f.names.wait(namePatience)
	for _, e := range candidates {
		if s := f.monitor(e); s != nil {
			f.steps[e.Identity] = s
		}
	}
	f.names.tidy()
}

// monitor takes hold of a monitor and its builder, or returns nil for what is
// none.
func (f *Follower) monitor(e entry) *Step {
	if args := f.names.known(e.Identity, e.args); len(args) > 0 && !podman.IsMonitor(args) {
		f.others[e.Identity] = e.args
		return nil
	}
	monitor, err := proc.Find(e.Identity)
	if err != nil {
		return nil
	}
	s := f.held(monitor)
	if s == nil {
		monitor.Close()
	}
	return s
}

func (f *Follower) held(monitor *proc.Handle) *Step {
	args, ok := f.names.take(monitor.Identity)
	if !ok {
		return nil
	}
	builder, err := monitor.Parent()
	if err != nil {
		return nil
	}
	program, chroot, ok := f.isMonitor(monitor, builder, args)
	uid, err := monitor.UID()
	builderUID, builderErr := builder.UID()
	p := pair{uid: uid, builderUID: builderUID, namespace: proc.Namespace(builder.PID, "pid"), builderLives: builder.Alive()}
	if !ok || err != nil || builderErr != nil || !f.believes(p) {
		builder.Close()
		return nil
	}
	if its, err := builder.Program(); err == nil && its.FileID == program {
		f.programs.learn(builder.PID, its)
	}
	s := &Step{
		Monitor: monitor, Builder: builder, UID: uid,
		follower: f, chroot: chroot, program: program, above: above(builder), begins: proc.Cgroup(monitor.PID),
		outside: namespaces{mnt: proc.Namespace(monitor.PID, "mnt"), uts: proc.Namespace(monitor.PID, "uts"), pid: f.host.pid},
	}
	if !s.chroot {
		s.bundle = bundleOf(monitor)
	}
	return s
}

// pair is what was seen of a monitor and a builder.
type pair struct {
	uid, builderUID uint32
	namespace       string // the builder's, of PIDs
	builderLives    bool   // after all else was looked at
}

// believes reports whether the two belong together: they are one user's, in the daemon's PID
// namespace, and the builder was alive when it was looked at.
func (f *Follower) believes(p pair) bool {
	return p.uid == p.builderUID && p.namespace != "" && p.namespace == f.host.pid && p.builderLives
}

// isMonitor reports whether a process is the monitor of a step, and its parent a builder: any
// program that is trusted, for others than podman and buildah build too.
func (f *Follower) isMonitor(monitor, builder *proc.Handle, args []string) (program proc.FileID, chroot, ok bool) {
	its, err := monitor.Program()
	parents, parentsErr := builder.Program()
	if err != nil || parentsErr != nil {
		return proc.FileID{}, false, false
	}
	chroot, ok = podman.Monitor(seen(its, args), seen(parents, nil))
	return its.FileID, chroot, ok && f.programs.trustsProcess(builder, parents)
}

// maxAbove bounds the way from a builder up to PID 1.
const maxAbove = 64

// above lists the builder, the processes above it, and PID 1, which is not among these where
// somebody has entered its namespace. To one of them the kernel gives what a step has
// orphaned.
//
// Source: linux, kernel/exit.c, find_new_reaper.
func above(builder *proc.Handle) map[proc.Identity]bool {
	all := map[proc.Identity]bool{builder.Identity: true}
	if first, err := proc.Open(1); err == nil {
		all[first.Identity] = true
		first.Close()
	}
	for last := builder; len(all) < maxAbove; {
		parent, err := last.Parent()
		if last != builder {
			last.Close()
		}
		if err != nil {
			break
		}
		all[parent.Identity] = true
		last = parent
	}
	return all
}

// close lets go of everything.
func (f *Follower) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.following, f.programs.others.watch = false, nil
	for _, s := range f.steps {
		s.release()
	}
	for _, s := range f.lost {
		s.release()
	}
}
