package watch

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/owners/ownerstest"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/processes/processestest"
	"github.com/buildwatch/buildwatch/internal/request"
	"github.com/buildwatch/buildwatch/internal/scopes"
	"github.com/buildwatch/buildwatch/internal/survivors"
)

const (
	// never is longer than anything here takes, but in a broken test.
	never = 10 * time.Second
	// soon is the time of a rung that is meant to run out.
	soon = 20 * time.Millisecond
)

// longTimeouts let no rung run out.
var longTimeouts = Timeouts{Kill: never, Owner: never, OwnerTerm: never, Stop: never, CgroupKill: never, Survivors: soon, Helpers: soon}

// fakeScope is a scope of nothing. What is called on it is written down, in
// order, and does what the test says: by default, ends every process.
type fakeScope struct {
	spec           scopes.Spec
	kill, stop     func(context.Context) error // nil: it works
	cgroupKill     func() error                // nil: it works
	beforeEnter    func()                      // may be nil
	beforeLook     func()                      // at its processes; may be nil
	calls          chan string                 // what changes something
	empty          chan struct{}
	mu             sync.Mutex
	joinable, busy bool
	starting       bool
	busyErr        error
	entered        []int
	record         []byte
	members        []scopes.Member
	discards       int
	cpu            atomic.Int64 // used by its steps
	cpuOfLook      int64        // and more by each look at that
	// How often it was asked for that, and whether it is busy.
	cpuLooks, busyLooks atomic.Int64
	looks               atomic.Int64 // at its processes
	short               map[scopes.Resource]scopes.Shortage
	shortened           chan struct{} // closed when there is one
}

func newFakeScope(spec scopes.Spec) *fakeScope {
	return &fakeScope{spec: spec, joinable: true, record: spec.Record, calls: make(chan string, 100), empty: make(chan struct{}), shortened: make(chan struct{})}
}

func (s *fakeScope) Unit() string                  { return scopes.UnitName(s.spec.ID) }
func (s *fakeScope) Cgroup() string                { return "/test.slice/" + s.Unit() }
func (s *fakeScope) Bounded() *api.Limits          { return nil }
func (s *fakeScope) CgroupsPath(id string) string  { return path.Join(s.Cgroup(), "payload", "run-"+id) }
func (s *fakeScope) CPUTime() time.Duration        { s.looks.Add(1); return time.Second }
func (s *fakeScope) MemoryPeak() uint64            { return 1 << 20 }
func (s *fakeScope) Memory() uint64                { return 1 << 10 }
func (s *fakeScope) OOMKills() uint64              { return 1 }
func (s *fakeScope) IO() (r, w uint64, known bool) { return 3, 5, true }
func (s *fakeScope) StepsCPUTime() time.Duration {
	s.cpuLooks.Add(1)
	return time.Duration(s.cpu.Add(s.cpuOfLook))
}

// untilLookedAt waits until a counter of looks has grown by so many.
func untilLookedAt(t *testing.T, looks *atomic.Int64, times int64) {
	t.Helper()
	before := looks.Load()
	proctest.Eventually(t, "it is looked at again", func() bool { return looks.Load() >= before+times })
}

func (s *fakeScope) Steps() []scopes.Member { return s.Members() }

func (s *fakeScope) Shortage(r scopes.Resource) scopes.Shortage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.short[r]
}

// shorten is a shortage in the scope; there is one at most.
func (s *fakeScope) shorten(r scopes.Resource, by scopes.Shortage) {
	s.set(func() { s.short = map[scopes.Resource]scopes.Shortage{r: by} })
	close(s.shortened)
}

func (s *fakeScope) AwaitShortage(ctx context.Context, r scopes.Resource, known uint64) (scopes.Shortage, error) {
	select {
	case <-s.shortened:
		if now := s.Shortage(r); now.Count > known {
			return now, nil
		}
		return scopes.Shortage{}, errors.New("no more of it")
	case <-ctx.Done():
		return scopes.Shortage{}, ctx.Err()
	}
}

func (s *fakeScope) Attach(orphans []*proc.Handle) error {
	for _, h := range orphans {
		s.set(func() { s.busy, s.entered = true, append(s.entered, h.PID) })
	}
	s.calls <- "attach"
	return nil
}

func (s *fakeScope) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// clear is the end of every process in the scope.
func (s *fakeScope) clear() {
	s.set(func() {
		s.busy, s.joinable = false, false
		select {
		case <-s.empty:
		default:
			close(s.empty)
		}
	})
}

func (s *fakeScope) Joinable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.joinable
}

func (s *fakeScope) Starting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starting
}

func (s *fakeScope) Enter(pid int, act func() error, alive func() bool) error {
	if s.beforeEnter != nil {
		s.beforeEnter()
	}
	if err := act(); err != nil {
		return err
	}
	s.set(func() { s.busy, s.entered = true, append(s.entered, pid) })
	if !alive() {
		return scopes.ErrLeft
	}
	return nil
}

func (s *fakeScope) EnterCommand(pid int, act func() error, alive func() bool) error {
	return s.Enter(pid, act, alive)
}

func (s *fakeScope) Holds(cgroup string) bool {
	return cgroup == s.Cgroup() || strings.HasPrefix(cgroup, s.Cgroup()+"/")
}

func (s *fakeScope) Keepers() []scopes.Member { return nil }

func (s *fakeScope) KillContainers(context.Context) error {
	s.calls <- "kill containers"
	return nil
}

func (s *fakeScope) KillContainer(_ context.Context, container string) error {
	s.calls <- "kill container " + container
	return nil
}

func (s *fakeScope) SignalCommand(signal unix.Signal, _ func(*proc.Handle) bool) error {
	s.calls <- "command " + unix.SignalName(signal)
	return nil
}

func (s *fakeScope) Kill(ctx context.Context) error {
	s.calls <- "kill"
	if s.kill != nil {
		return s.kill(ctx)
	}
	s.clear()
	return nil
}

func (s *fakeScope) Stop(ctx context.Context) error {
	s.calls <- "stop"
	if s.stop != nil {
		return s.stop(ctx)
	}
	s.clear()
	return nil
}

func (s *fakeScope) CgroupKill(context.Context) error {
	s.calls <- "cgroup_kill"
	if s.cgroupKill != nil {
		return s.cgroupKill()
	}
	s.clear()
	return nil
}

func (s *fakeScope) Discard(context.Context) {
	s.set(func() { s.discards++ })
	s.calls <- "discard"
}

func (s *fakeScope) Close() {
	s.calls <- "close"
}

func (s *fakeScope) Busy() (bool, error) {
	s.busyLooks.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy, s.busyErr
}

func (s *fakeScope) WaitEmpty(ctx context.Context) error {
	select {
	case <-s.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *fakeScope) Members() []scopes.Member {
	s.looks.Add(1)
	if s.beforeLook != nil {
		s.beforeLook()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.members)
}

// until reads the calls up to the one that is named, which it includes.
func (s *fakeScope) until(t *testing.T, last string) []string {
	t.Helper()
	var calls []string
	for timeout := time.After(never); ; {
		select {
		case call := <-s.calls:
			if calls = append(calls, call); call == last {
				return calls
			}
		case <-timeout:
			t.Fatalf("called %v, and %q not", calls, last)
		}
	}
}

// What a call of the ladder may do.

var errFailed = errors.New("it failed")

func fails(context.Context) error { return errFailed }

func hangs(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func helpsNot(context.Context) error { return nil }

// recorder is a Metrics.
type recorder struct {
	started  chan api.Mode
	ended    chan ending
	reported chan api.Reason
	mu       sync.Mutex
	used     []api.UsedRung
	freed    int
	outlived []map[api.WaitKind]int
	unstuck  []time.Duration
	stalled  atomic.Int32 // how often
	short    []api.Resource
}

type ending struct {
	reason        api.Reason
	mode          api.Mode
	lived, cancel time.Duration
}

func (r *recorder) BuildStarted(mode api.Mode) { r.started <- mode }

func (r *recorder) BuildEnded(reason api.Reason, mode api.Mode, lived, cancel time.Duration) {
	r.ended <- ending{reason, mode, lived, cancel}
}

func (r *recorder) Short(of api.Resource) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.short = append(r.short, of)
}

func (r *recorder) BuildStalled()                       { r.stalled.Add(1) }
func (r *recorder) AbandonedReported(reason api.Reason) { r.reported <- reason }

func (r *recorder) RungUsed(used api.UsedRung) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used = append(r.used, used)
}

func (r *recorder) Freed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.freed++
}

func (r *recorder) Stuck(survivors map[api.WaitKind]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outlived = append(r.outlived, survivors)
}

func (r *recorder) Unstuck(after time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unstuck = append(r.unstuck, after)
}

// rungs are the rungs that were used and left, in order.
func (r *recorder) rungs() []api.Rung {
	r.mu.Lock()
	defer r.mu.Unlock()
	var rungs []api.Rung
	for _, used := range r.used {
		rungs = append(rungs, used.Rung)
	}
	return rungs
}

// fakeRequests knows of requests what the test says.
type fakeRequests struct {
	see      request.Request
	standing chan request.Standing // how the one request that is waited for stands now
}

func (f *fakeRequests) See(context.Context, *proc.Handle, *proc.Handle, uint32) (request.Request, error) {
	return f.see, nil
}

func (f *fakeRequests) Wait(ctx context.Context, r request.Request, changed func(request.Sight)) error {
	for {
		select {
		case now := <-f.standing:
			changed(request.Sight{Standing: now, Dirs: len(r.Dirs), Conns: len(r.Conns)})
			if now == request.Over {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fakeExaminer finds of survivors what the test says.
type fakeExaminer struct {
	mu      sync.Mutex
	free    func() // what an abort brings about; nil: nothing can be aborted
	looks   int    // and tries to free
	roots   []uint32
	helpers []*fakeHelper
}

func (f *fakeExaminer) Open(uint32) processes.Inspection { return f }

func (f *fakeExaminer) Look(_ context.Context, left survivors.Remains) survivors.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	r := survivors.Report{Processes: map[int]survivors.Process{}}
	for _, pid := range left.PIDs {
		r.Processes[pid] = survivors.Process{State: "D", WChan: "request_wait_answer", Waits: []api.Wait{{Mount: "/mnt", Connection: 7}}}
	}
	return r
}

func (f *fakeExaminer) Free(ctx context.Context, left survivors.Remains) survivors.Report {
	r := f.Look(ctx, left)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.free != nil {
		r.Aborted = []uint32{7}
		f.free()
		f.free = nil
	}
	return r
}

func (f *fakeExaminer) ServedRoots(context.Context, []int) ([]uint32, error) { return f.roots, nil }

func (f *fakeExaminer) Helpers(context.Context, uint32, []proc.Identity, []uint32) ([]processes.Helper, error) {
	var all []processes.Helper
	for _, h := range f.helpers {
		all = append(all, h)
	}
	return all, nil
}

type fakeHelper struct{ ended, closed atomic.Bool }

func (h *fakeHelper) End(context.Context, time.Duration) (bool, error) {
	h.ended.Store(true)
	return true, nil
}

func (h *fakeHelper) Close() { h.closed.Store(true) }

// past is a History.
type past chan api.Ended

func (p past) Gone(e api.Ended, _ string) { p <- e }

// bench is a Watcher with fakes around it.
type bench struct {
	*Watcher
	t     *testing.T
	seen  *recorder
	self  *proc.Handle // the caller of every placement
	made  chan *fakeScope
	asked *fakeRequests
	looks *fakeExaminer
	*processestest.Cgroups
	past    past
	storage fakeStorage
	grant   func(api.User, api.Mode) []limits.Value                         // may be nil
	script  func(*fakeScope)                                                // prepares each scope that is made; may be nil
	begin   func(context.Context, scopes.Spec) (fake *fakeScope, err error) // in the place of making one; may be nil
}

// newBench makes a Watcher that the test's end closes. After that no goroutine of
// it may be left.
func newBench(t *testing.T, timeouts Timeouts) *bench {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.SetLevel(logrus.DebugLevel)
	self, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		t: t, self: self, made: make(chan *fakeScope, 100),
		asked: &fakeRequests{standing: make(chan request.Standing)}, looks: &fakeExaminer{}, Cgroups: &processestest.Cgroups{},
		past: make(past, 1000),
		seen: &recorder{started: make(chan api.Mode, 1000), ended: make(chan ending, 1000), reported: make(chan api.Reason, 1000)},
	}
	b.Watcher = New(Parts{
		Host: b, Owners: owners.New(b.asked, proc.NewReader(), log), Examiner: b.looks,
		Metrics: b.seen, History: b.past, Storage: &b.storage, Log: log,
		BuildLog: func(id string, uid uint32) *logrus.Entry { return log.WithFields(logrus.Fields{"id": id, "uid": uid}) },
	}, timeouts, Policy{})
	// An owner that is a shell has no monitor; it is as good as stopped in its step.
	b.Watcher.inStep = func(context.Context, *owners.Owner) bool { return true }
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			b.Close()
			close(closed)
		}()
		select {
		case <-closed:
			self.Close()
		case <-time.After(never):
			t.Error("the watcher does not close; what it waits for:")
		}
	})
	return b
}

func (b *bench) Start(ctx context.Context, spec scopes.Spec) (processes.Scope, error) {
	make := func(_ context.Context, spec scopes.Spec) (*fakeScope, error) { return newFakeScope(spec), nil }
	if b.begin != nil {
		make = b.begin
	}
	s, err := make(ctx, spec)
	if err != nil {
		return nil, err
	}
	if b.script != nil {
		b.script(s)
	}
	b.made <- s
	return s, nil
}

// Granted is what the test grants.
func (b *bench) Granted(user api.User, mode api.Mode) []limits.Value {
	if b.grant == nil {
		return nil
	}
	return b.grant(user, mode)
}

// Gather is Start for orphans.
func (b *bench) Gather(ctx context.Context, spec scopes.Spec, orphans []*proc.Handle) (processes.Scope, error) {
	s, err := b.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return s, s.Attach(orphans)
}

// place is Prepare without the look at who called: o is the caller's owner.
func (b *bench) place(ctx context.Context, o *owners.Owner) (*Place, error) {
	caller := owners.Caller{Handle: b.self, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	build, err := b.buildOf(o, caller.UID)
	if err != nil {
		return nil, err
	}
	s, err := build.ensureScope(ctx, caller)
	if err != nil {
		return nil, err
	}
	return &Place{build: build, scope: s, caller: caller, cgroupsPath: s.CgroupsPath("c")}, nil
}

// run begins a build: a container is placed and entered.
func (b *bench) run(o *owners.Owner) (*build, *fakeScope) {
	b.t.Helper()
	p, err := b.place(context.Background(), o)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := p.Enter(func() error { return nil }); err != nil {
		b.t.Fatal(err)
	}
	return p.build, <-b.made
}

// end waits for the end of a build to be counted.
func (b *bench) end() ending {
	b.t.Helper()
	select {
	case e := <-b.seen.ended:
		return e
	case <-time.After(never):
		b.t.Fatal("the build does not end")
		return ending{}
	}
}

// child is a process that may be a build's owner.
type child struct{ *proctest.Child }

// startChild starts a shell that runs script and then lives until it is told to
// end.
func startChild(t *testing.T, script string) *child {
	t.Helper()
	return &child{proctest.Shell(t, script)}
}

// end lets the process end by itself.
func (c *child) end() { c.End() }

// wait waits for its end.
func (c *child) wait() syscall.WaitStatus { return c.Status() }

// owner is a new hold of the process, as the owner of a local build.
func (c *child) owner(t *testing.T, waiters ...*child) *owners.Owner {
	t.Helper()
	open := func(pid int) *proc.Handle {
		h, err := proc.Open(pid)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	o := &owners.Owner{Handle: open(c.Process.Pid), Mode: api.ModeLocal, Command: "podman build"}
	for _, waiter := range waiters {
		o.Waiters = append(o.Waiters, open(waiter.Process.Pid))
	}
	return o
}

func anybody(api.User) bool { return true }

func TestMain(m *testing.M) {
	ownerstest.Roles.Play()
	os.Exit(m.Run())
}

// fakeStorage writes down what it is told.
type fakeStorage struct {
	mu    sync.Mutex
	steps map[string][]owners.Step
	over  map[string]bool // by build: settled
}

func (s *fakeStorage) StepSeen(build string, step owners.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.steps == nil {
		s.steps = map[string][]owners.Step{}
	}
	s.steps[build] = append(s.steps[build], step)
}

func (s *fakeStorage) BuildOver(build string, settled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == nil {
		s.over = map[string]bool{}
	}
	s.over[build] = settled
}

// known is how many builds are known, and of how many owners.
func (b *bench) known() (builds, owners int) {
	b.Watcher.mu.Lock()
	defer b.Watcher.mu.Unlock()
	return len(b.byID), len(b.byOwner)
}

// rest is closed when the build has come to rest.
func (b *build) rest() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.settled
}
