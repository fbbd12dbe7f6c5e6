package reclaim

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// never is longer than anything here takes.
const never = 20 * time.Second

// aBench is a Reclaimer whose helper only writes down what it is asked for.
type aBench struct {
	*Reclaimer
	t    *testing.T
	jobs chan Job

	mu     sync.Mutex
	answer []Item
	told   int
	done   []Done
}

func (b *aBench) Reclaimed(removed, left int, bytes int64, took time.Duration, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told += removed
}

func newBench(t *testing.T, dir string, mode Mode) *aBench {
	t.Helper()
	b := &aBench{t: t, jobs: make(chan Job, 100)}
	log := logrus.New()
	log.SetOutput(io.Discard)
	reader := proc.NewReader()
	pauses := []time.Duration{time.Millisecond, time.Millisecond, time.Hour}
	b.Reclaimer = New(Options{
		pauses: pauses,
		Told: func(d Done) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.done = append(b.done, d)
		},
		Mode: mode, Dir: dir, Accounts: reader.Accounts, Reader: reader, Metrics: b, Log: logrus.NewEntry(log),
		Run: func(_ context.Context, _ uint32, job Job) (Result, error) {
			b.jobs <- job
			b.mu.Lock()
			defer b.mu.Unlock()
			return Result{Version: docVersion, Items: b.answer}, nil
		},
	})
	t.Cleanup(b.Close)
	return b
}

func (b *aBench) job() Job {
	b.t.Helper()
	select {
	case job := <-b.jobs:
		return job
	case <-time.After(never):
		b.t.Fatal("no helper was started")
		return Job{}
	}
}

// uses has a build of a builder be seen, and use a layer.
func (b *aBench) uses(build string, builder Builder, layer byte) {
	b.t.Helper()
	b.usedBy(Step{Build: build, Builder: builder, Monitor: builder.Identity}, layer)
}

func (b *aBench) usedBy(step Step, layer byte) {
	b.t.Helper()
	b.Seen(step)
	var kept *waiting
	b.change(func(w *waiting) { // the monitor here has no mounts
		w.use(Witness{Layer{hex(layer), "/var/lib/containers/storage", "overlay"}, "/var/tmp/buildah1"})
		kept = w
	}, step.Build)
	b.keep(kept)
	kept.looks.Wait()
	// Its end is not to be missed: one pidfd is os/exec's, the other is waited with. A builder
	// that has ended, or is no child, has no second one.
	for range 50 {
		if pidfds(step.Builder.PID) != 1 {
			return // held twice; or it has ended
		}
		time.Sleep(time.Millisecond)
	}
}

// pidfds is how many pidfds of another process this one has.
func pidfds(pid int) (n int) {
	files, _ := filepath.Glob("/proc/self/fdinfo/*")
	for _, file := range files {
		if content, _ := os.ReadFile(file); strings.Contains(string(content), fmt.Sprintf("\nPid:\t%d\n", pid)) {
			n++
		}
	}
	return n
}

func (b *aBench) change(do func(*waiting), build string) {
	b.Reclaimer.mu.Lock()
	defer b.Reclaimer.mu.Unlock()
	for _, w := range b.entries {
		if w.Build == build {
			do(w)
		}
	}
}

func (b *aBench) files(dir string) int {
	files, err := filepath.Glob(filepath.Join(dir, "reclaim", "*"+entrySuffix)) // others are being written
	must(b.t, err)
	return len(files)
}

// aBuilder is a process that builds until it is ended.
func aBuilder(t *testing.T, command string) (Builder, *proctest.Child) {
	t.Helper()
	child := proctest.Shell(t, ":")
	return Builder{Identity: identity(t, child), UID: uint32(os.Getuid()), Command: command}, child
}

func TestADeadBuildersLeavingsAreReclaimedAndForgotten(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, dir, Own)
	builder, child := aBuilder(t, "podman build")
	b.answer = []Item{{Kind: KindContainer, What: hex('1'), Bytes: 5, Removed: true}}
	b.uses("bcdf2345", builder, 'a')
	if len(b.jobs) != 0 || b.files(dir) != 1 {
		t.Fatalf("%d helpers for a builder that lives, %d files", len(b.jobs), b.files(dir))
	}
	child.End()
	b.Over("bcdf2345", false)
	job := b.job()
	if !job.Containers || job.Look || len(job.Layers) != 1 || job.Layers[0].ID != hex('a') || job.Span.To == 0 || len(job.Others) != 0 {
		t.Errorf("%+v", job)
	}
	must(t, job.check())
	proctest.Eventually(t, "the entry is removed", func() bool { return b.files(dir) == 0 })
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told != 1 || len(b.done) != 1 || b.done[0].Build != "bcdf2345" || b.done[0].Removed != 1 || b.done[0].Bytes != 5 {
		t.Errorf("%d removals were counted, told was %+v", b.told, b.done)
	}
}

// TestAWitnessOutlivesTheDaemonAndTheHost: the builder ended while the daemon was away, or with
// the host.
func TestAWitnessOutlivesTheDaemonAndTheHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	builder, child := aBuilder(t, "podman build")
	first := newBench(t, dir, Own)
	first.uses("bcdf2345", builder, 'a')
	first.Close()
	second := newBench(t, dir, Own)
	second.Begin()
	second.uses("bcdf2345", builder, 'b') // another step of the same build
	if len(second.jobs) != 0 {
		t.Fatal("a helper for a builder that lives")
	}
	second.Close()

	path := filepath.Join(dir, "reclaim")
	files, _ := os.ReadDir(path)
	name := filepath.Join(path, files[0].Name())
	content, err := os.ReadFile(name)
	must(t, err)
	boot := second.boot
	must(t, os.WriteFile(name, []byte(strings.Replace(string(content), boot, "another-boot", 1)), 0o600))
	third := newBench(t, dir, Own) // the PID is another's after a boot
	third.Begin()
	job := third.job()
	if len(job.Layers) != 2 || job.Span.To == 0 {
		t.Errorf("%+v", job)
	}
	child.End()
}

func TestABadFileIsNamedAndLeft(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "reclaim"), 0o700))
	bad := filepath.Join(dir, "reclaim", "x.json")
	for _, content := range []string{"", "{}", `{"v":1,"build":"bcdf2345","builder":{"pid":1,"start":1},"span":{"from":1},"bundles":["x"]}`} {
		must(t, os.WriteFile(bad, []byte(content), 0o600))
		if b := newBench(t, dir, Own); len(b.entries) != 0 {
			t.Errorf("%q was believed", content)
		}
		if _, err := os.Stat(bad); err != nil {
			t.Error(err)
		}
	}
}

// TestWhatABuildKeepsOnPurposeStays: --rm=false, buildah run, an API request that ended in order.
func TestWhatABuildKeepsOnPurposeStays(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, dir, Own)
	keeping, keeps := aBuilder(t, "podman build")
	keeping.Keeps = true
	running, runs := aBuilder(t, "buildah run")
	service, _ := aBuilder(t, "podman system service")
	service.Serves = true
	b.uses("bcdf2345", keeping, 'a')
	b.uses("bcdf2346", running, 'b')
	b.uses("bcdf2347", service, 'c')
	b.Over("bcdf2347", true)
	proctest.Eventually(t, "the request is remembered", func() bool { return b.files(dir) == 2 })
	keeps.End()
	runs.End()
	b.Over("bcdf2345", false)
	b.Over("bcdf2346", false)
	for range 2 {
		if job := b.job(); job.Containers {
			t.Errorf("%+v", job)
		}
	}
}

// TestOfTwoBuildsOnlyTheDeadOnesIsTaken: what a build without steps has made can't be told from
// another's that lives.
func TestOfTwoBuildsOnlyTheDeadOnesIsTaken(t *testing.T) {
	b := newBench(t, t.TempDir(), Own)
	dead, child := aBuilder(t, "podman build")
	lives, other := aBuilder(t, "podman build")
	b.uses("bcdf2345", dead, 'a')
	b.uses("bcdf2346", lives, 'b')
	child.End()
	b.Over("bcdf2345", false)
	job := b.job()
	if len(job.Others) != 1 || !job.Others[0].Keeps || slices.ContainsFunc(job.Layers, func(l Layer) bool { return l.ID == hex('b') }) {
		t.Errorf("%+v", job)
	}
	other.End()
	b.Over("bcdf2346", false)
	if job := b.job(); len(job.Others) != 0 {
		t.Errorf("after the end of both: %+v", job)
	}
}

// TestARequestsContainersWaitForTheService: while it lives it may be tidying up itself.
func TestARequestsContainersWaitForTheService(t *testing.T) {
	b := newBench(t, t.TempDir(), Own)
	service, child := aBuilder(t, "podman system service")
	service.Serves = true
	b.usedBy(Step{"bcdf2345", service, service.Identity, &Dir{"/var/tmp/libpod_builder7", 7}, begun}, 'a')
	b.Over("bcdf2345", false)
	if len(b.jobs) != 0 {
		t.Fatal("a helper for a service that lives")
	}
	child.End()
	job := b.job()
	if job.Span.From != begun || job.Request == nil || !job.Containers {
		t.Errorf("%+v", job)
	}
}

func TestReportRemovesNothingAndOffLooksAtNothing(t *testing.T) {
	for _, mode := range []Mode{Report, Off} {
		dir := t.TempDir()
		b := newBench(t, dir, mode)
		builder, child := aBuilder(t, "podman build")
		b.Seen(Step{Build: "bcdf2345", Builder: builder, Monitor: builder.Identity})
		if mode == Off {
			if len(b.entries) != 0 {
				t.Error("off: something is kept")
			}
			continue
		}
		b.uses("bcdf2345", builder, 'a')
		child.End()
		b.Over("bcdf2345", false)
		if job := b.job(); !job.Look {
			t.Errorf("%+v", job)
		}
	}
}

func identity(t *testing.T, child *proctest.Child) proc.Identity {
	t.Helper()
	handle, err := proc.Open(child.Process.Pid)
	must(t, err)
	defer handle.Close()
	return handle.Identity
}

// TestWhatCouldNotBeToldIsTriedAgainWhenTheOtherBuildHasEnded, not only when the pause is over.
func TestWhatCouldNotBeToldIsTriedAgainWhenTheOtherBuildHasEnded(t *testing.T) {
	b := newBench(t, t.TempDir(), Own)
	dead, child := aBuilder(t, "podman build")
	lives, other := aBuilder(t, "podman build")
	b.uses("bcdf2345", dead, 'a')
	b.uses("bcdf2346", lives, 'b')
	b.answer = []Item{{Kind: KindContainer, What: hex('1'), Why: WhyDoubt}}
	child.End()
	b.Over("bcdf2345", false)
	for range len(b.pauses) { // the last pause is an hour
		b.job()
	}
	b.mu.Lock()
	b.answer = nil
	b.mu.Unlock()
	other.End()
	b.Over("bcdf2346", false)
	b.job() // the other's
	if job := b.job(); len(job.Others) != 0 || job.Layers[0].ID != hex('a') {
		t.Errorf("%+v", job)
	}
}
