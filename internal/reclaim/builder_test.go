package reclaim

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// longAgo is before any builder here: builders were looked for all the time.
var longAgo = time.Unix(1, 0)

func TestWhatABuilderHasLeftThatDiedBeforeItsFirstStepIsReclaimed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBench(t, dir, Own)
	builder, child := aBuilder(t, "podman build")
	b.SeenBuilder(builder, nil, longAgo)
	if b.files(dir) != 1 {
		t.Error("it is not kept")
	}
	child.End()
	job := b.job()
	if !job.Containers || !job.Configured || len(job.Others) != 0 || job.Span.To == 0 {
		t.Errorf("%+v", job)
	}
	must(t, job.check())
	proctest.Eventually(t, "the entry is removed", func() bool { return b.files(dir) == 0 })
}

// TestABuildersFirstStepNamesItsBuild: there is one entry of it, in memory and on the disk.
func TestABuildersFirstStepNamesItsBuild(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, dir, Own)
	builder, child := aBuilder(t, "podman build")
	b.SeenBuilder(builder, nil, longAgo)
	b.uses("bcdf2345", builder, 'a')
	b.SeenBuilder(builder, nil, longAgo) // a look comes late
	if len(b.entries) != 1 || b.files(dir) != 1 {
		t.Errorf("%d entries, %d files", len(b.entries), b.files(dir))
	}
	child.End()
	b.Over("bcdf2345", false)
	if job := b.job(); job.Configured || len(job.Layers) != 1 {
		t.Errorf("%+v", job)
	}
}

// TestWhoOnlyWaitsForABuilderIsNone: rootless, podman executes itself in a user namespace.
func TestWhoOnlyWaitsForABuilderIsNone(t *testing.T) {
	outer, _ := aBuilder(t, "podman build")
	inner, _ := aBuilder(t, "podman build")
	for _, row := range []struct {
		name string
		do   func(*aBench)
	}{
		{"the outer one first", func(b *aBench) {
			b.SeenBuilder(outer, nil, longAgo)
			b.SeenBuilder(inner, []proc.Identity{outer.Identity}, longAgo)
		}},
		{"the inner one first", func(b *aBench) {
			b.SeenBuilder(inner, []proc.Identity{outer.Identity}, longAgo)
			b.SeenBuilder(outer, nil, longAgo)
		}},
	} {
		dir := t.TempDir()
		b := newBench(t, dir, Own)
		row.do(b)
		if w := b.entries[key{"", inner.Identity}]; w == nil || len(b.entries) != 1 || b.files(dir) != 1 {
			t.Errorf("%s: %d entries, %d files", row.name, len(b.entries), b.files(dir))
		}
	}
}

// TestWhatIsNoBuildIsNotWaitedFor: the API service makes what its clients ask for, and keeps it
// if they ask for that.
func TestWhatIsNoBuildIsNotWaitedFor(t *testing.T) {
	b := newBench(t, t.TempDir(), Own)
	for _, command := range []string{"podman", "podman run", "buildah", "buildah run", "skopeo copy"} {
		builder, _ := aBuilder(t, command)
		b.SeenBuilder(builder, nil, longAgo)
	}
	if len(b.entries) != 0 {
		t.Errorf("%d are waited for", len(b.entries))
	}
}

// TestOfAServiceThatDiesItsRequestsDirectoriesGo, but no container: somebody may have asked for that.
func TestOfAServiceThatDiesItsRequestsDirectoriesGo(t *testing.T) {
	t.Parallel()
	b := newBench(t, t.TempDir(), Own)
	service, child := aBuilder(t, "podman system service")
	service.Serves = true
	b.SeenBuilder(service, nil, longAgo)
	b.uses("bcdf2345", service, 'a') // one of its builds
	b.SeenBuilder(service, nil, longAgo)
	if len(b.entries) != 2 {
		t.Errorf("%d entries", len(b.entries))
	}
	child.End()
	b.Over("bcdf2345", false)
	var own, builds int
	for range 2 {
		job := b.job()
		switch {
		case job.Requests && !job.Containers && !job.Configured:
			own++
		case job.Containers && !job.Requests:
			builds++
		}
		if len(job.Others) != 0 {
			t.Errorf("it doubts itself: %+v", job)
		}
	}
	if own != 1 || builds != 1 {
		t.Errorf("%d jobs for the service, %d for its build", own, builds)
	}

	s := newStore(t)
	l, dir := leftoversIn(t, s, func() (processes, error) { return processes{others: []int64{1}}, nil }) // podman run
	must(t, os.MkdirAll(filepath.Join(dir, "libpod_builder7", "build"), 0o700))
	bundle(t, filepath.Join(dir, "buildah42"))
	now := time.Now()
	job := Job{Version: docVersion, Requests: true, Span: Span{now.Add(-time.Minute).UnixMicro(), now.Add(time.Minute).UnixMicro()}}
	items, err := l.tidy(context.Background(), job)
	must(t, err)
	if len(items) != 2 || items[0].Why != WhyDoubt || items[1].Kind != KindRequest || !items[1].Removed {
		t.Errorf("%+v", items)
	}
}

// TestWhatWasMadeWhileNobodyLookedIsInDoubt: somebody may have made it who has kept it, and ended.
func TestWhatWasMadeWhileNobodyLookedIsInDoubt(t *testing.T) {
	t.Parallel()
	b := newBench(t, t.TempDir(), Own)
	builder, child := aBuilder(t, "podman build")
	time.Sleep(30 * time.Millisecond)
	since := time.Now()
	b.SeenBuilder(builder, nil, since)
	child.End()
	job := b.job()
	none := func(int64) bool { return false }
	if !job.doubts(job.Span.From, none) || job.doubts(since.UnixMicro()+1, none) {
		t.Errorf("%+v", job)
	}
}

// TestABuilderThatKeepsIsDoubtAboutTheOthers, also when it has had no step and has ended.
func TestABuilderThatKeepsIsDoubtAboutTheOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, t.TempDir(), Own)
	keeper, keepersEnd := aBuilder(t, "podman build")
	keeper.Keeps = true
	builder, child := aBuilder(t, "buildah bud")
	b.SeenBuilder(keeper, nil, longAgo)
	b.SeenBuilder(builder, nil, longAgo)
	time.Sleep(30 * time.Millisecond) // a process's start is told to the tick
	keepersEnd.End()
	proctest.Eventually(t, "the keeper is not waited for", func() bool {
		b.Reclaimer.mu.Lock()
		defer b.Reclaimer.mu.Unlock()
		return len(b.entries) == 1
	})
	child.End()
	if job := b.job(); job.Containers {
		t.Errorf("the keeper's: %+v", job)
	}
	if job := b.job(); !job.Containers || len(job.Others) != 1 || !job.Others[0].Keeps {
		t.Errorf("%+v", job)
	}
}

// TestTheConfiguredStorageIsLookedAtWhereNoStepWasSeen, and so are bundles.
func TestTheConfiguredStorageIsLookedAtWhereNoStepWasSeen(t *testing.T) {
	s := newStore(t)
	s.add(hex('1'), hex('a'), "{}")
	l, dir := leftoversIn(t, s, alone)
	path := filepath.Join(dir, "buildah42")
	bundle(t, path)
	must(t, os.Mkdir(filepath.Join(dir, "container_images_storage7"), 0o700))
	must(t, os.Mkdir(filepath.Join(dir, "buildah-cache-0"), 0o700))
	now := time.Now()
	job := Job{Version: docVersion, Containers: true, Configured: true, Span: Span{now.Add(-time.Minute).UnixMicro(), now.Add(time.Minute).UnixMicro()}}
	l.look = func() (processes, error) { return processes{others: []int64{job.Span.From}}, nil }
	if items, err := l.tidy(context.Background(), Job{Version: docVersion, Containers: true, Span: job.Span}); err != nil || len(items) != 2 || items[0].Why != WhyDoubt || items[1].Why != WhyDoubt {
		t.Errorf("while podman commits: %+v, %v", items, err)
	}
	l.look = alone
	for _, row := range []struct {
		name   string
		change func(*Job)
		want   []Why
	}{
		{"another lives", func(j *Job) { j.Others = []Other{{Span{From: j.Span.From}, true}} }, []Why{WhyDoubt, WhyDoubt, WhyDoubt}},
		{"made before the build", func(j *Job) { j.Span.From = now.Add(time.Second).UnixMicro() }, nil},
		{"made after the build", func(j *Job) { j.Span.To = now.Add(-time.Second).UnixMicro() }, nil},
		{"another has kept what it made", func(j *Job) { j.Others = []Other{{j.Span, true}} }, []Why{WhyDoubt, WhyNone, WhyNone}},
		{"its own", func(*Job) {}, []Why{WhyNone}},
	} {
		this := job
		row.change(&this)
		items, err := l.tidy(context.Background(), this)
		must(t, err)
		var whys []Why
		for _, item := range items {
			whys = append(whys, item.Why)
		}
		if !slices.Equal(whys, row.want) {
			t.Errorf("%s: %+v", row.name, items)
		}
	}
	if left, _ := os.ReadDir(dir); len(s.ids()) != 0 || len(left) != 1 {
		t.Errorf("left are %v, %v", s.ids(), left)
	}
}

// TestSecretsAndHeredocsOfADeadBuildAreRemoved: buildah has written them into files. A log that somebody
// asked for, which is called so, stays. Also of a build that keeps its containers, and where its
// environment, or podman's configuration, says.
func TestSecretsAndHeredocsOfADeadBuildAreRemoved(t *testing.T) {
	now := time.Now()
	span := Span{now.Add(-time.Minute).UnixMicro(), now.Add(time.Minute).UnixMicro()}
	for name, row := range map[string]struct {
		job   func(dir string) Job
		usual bool
	}{
		"where they usually are": {func(string) Job { return Job{Version: docVersion, Span: span} }, true},
		"beside a bundle": {func(dir string) Job {
			return Job{Version: docVersion, Span: span, Bundles: []string{dir + "/buildah1"}}
		}, false},
		"where the configuration says": {func(string) Job { return Job{Version: docVersion, Span: span, Configured: true} }, false},
	} {
		dir := t.TempDir()
		l, usual := leftoversIn(t, newStore(t), alone)
		l.tools[0].Info = []string{"info", dir}
		if row.usual {
			dir = usual
		}
		for file, perm := range map[string]os.FileMode{"buildah12": 0o400, "buildahheredoc7": 0o755, "container_images_3": 0o600, "buildah13": 0o600, "buildah14.log": 0o400} {
			must(t, os.WriteFile(filepath.Join(dir, file), []byte("secret"), perm))
		}
		for _, path := range []string{"buildah-external-artifacts4/download", "storage21", "storage22/mine"} { // an image's, and somebody's
			must(t, os.MkdirAll(filepath.Join(dir, path), 0o700))
		}
		must(t, os.WriteFile(filepath.Join(dir, "storage21", "1"), nil, 0o600))
		living := filepath.Join(dir, "container_images_storage9") // of a program that is not known
		must(t, os.Mkdir(living, 0o700))
		must(t, os.Chtimes(living, time.Time{}, time.UnixMicro(span.To+1)))
		items, err := l.tidy(context.Background(), row.job(dir))
		must(t, err)
		if len(items) != 5 || slices.ContainsFunc(items, func(i Item) bool { return !i.Removed }) {
			t.Errorf("%s: %+v", name, items)
		}
		left, _ := os.ReadDir(dir)
		var names []string
		for _, entry := range left {
			names = append(names, entry.Name())
		}
		if want := []string{"buildah13", "buildah14.log", filepath.Base(living), "storage22"}; !slices.Equal(names, want) {
			t.Errorf("%s: left are %v", name, names)
		}
	}
}

// TestWhenABuilderEndedThatNobodySawEnd: with the host, or at some time while the daemon was away.
func TestWhenABuilderEndedThatNobodySawEnd(t *testing.T) {
	t.Parallel()
	_, boot, err := proc.Boot()
	must(t, err)
	seen := boot.Add(-time.Hour).UnixMicro()
	for name, row := range map[string]struct {
		boot   string
		away   bool
		ended  func(to int64) bool
		doubts bool
	}{
		"the host lost power":                   {"other", false, func(to int64) bool { return to >= boot.Add(-time.Second).UnixMicro() }, false},
		"the daemon was stopped, then the host": {"other", true, func(to int64) bool { return to == seen }, false},
		"the daemon was stopped":                {"", true, func(to int64) bool { return to == seen }, true},
		"the daemon was killed":                 {"", false, func(to int64) bool { return to >= boot.UnixMicro() }, true},
	} {
		dir := t.TempDir()
		first := newBench(t, dir, Own)
		e := entryOf("", Builder{Identity: proc.Identity{PID: 1 << 30, Start: 1}, Command: "podman build"}, first.boot, seen-1)
		if row.boot != "" {
			e.Boot = row.boot
		}
		e.Seen, e.Away = seen, row.away
		must(t, first.ledger.keep(&e))
		next := newBench(t, dir, Own)
		next.Begin()
		job := next.job()
		if !row.ended(job.Span.To) || job.doubts(seen+1, func(int64) bool { return false }) != row.doubts {
			t.Errorf("%s: %+v", name, job)
		}
	}
}

// TestADaemonKilledWhileItReclaimsGoesOnLater: the end of the builder was seen.
func TestADaemonKilledWhileItReclaimsGoesOnLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newBench(t, dir, Own)
	first.answer = []Item{{Kind: KindContainer, What: hex('1'), Why: WhyUsed}}
	builder, child := aBuilder(t, "podman build")
	first.uses("bcdf2345", builder, 'a')
	child.End()
	first.Over("bcdf2345", false)
	want := first.job()
	next := newBench(t, dir, Own)
	next.Begin()
	if job := next.job(); job.Span != want.Span || len(job.Others) != 0 || len(job.Layers) != 1 {
		t.Errorf("first %+v, then %+v", want, job)
	}
}

// TestAUserWithManyBuildersCostsNoMoreThanOthers: what is beyond the bound is doubt about the rest.
func TestAUserWithManyBuildersCostsNoMoreThanOthers(t *testing.T) {
	b := newBench(t, t.TempDir(), Own)
	const uid = 1234
	builder, child := aBuilder(t, "podman build")
	builder.UID = uid
	b.SeenBuilder(builder, nil, longAgo)
	for i := range 2 * builders.User {
		other := builder
		other.Start += uint64(i + 1) // ended, as far as can be told
		b.Reclaimer.mu.Lock()
		_, _ = b.alone.Take(b.Accounts.OfUID(uid)) // as long as they live
		b.Reclaimer.mu.Unlock()
		if i >= builders.User {
			b.SeenBuilder(other, nil, longAgo)
		}
	}
	b.Reclaimer.mu.Lock()
	entries, others := len(b.entries), len(b.entries[key{"", builder.Identity}].Others)
	b.Reclaimer.mu.Unlock()
	if entries != 1 || others == 0 || others > maxOthers {
		t.Errorf("%d are waited for, %d are in doubt", entries, others)
	}
	other, _ := aBuilder(t, "podman build")
	other.UID = uid + 1
	b.SeenBuilder(other, nil, longAgo)
	b.Reclaimer.mu.Lock()
	defer b.Reclaimer.mu.Unlock()
	if len(b.entries) != 2 {
		t.Error("another user's is not waited for")
	}
	child.End()
}

// TestWhatStaysInSpiteOfAllTriesIsForgotten: no file of it is left for good.
func TestWhatStaysInSpiteOfAllTriesIsForgotten(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, dir, Own)
	b.pauses = []time.Duration{time.Millisecond, time.Millisecond}
	b.answer = []Item{{Kind: KindContainer, What: hex('1'), Why: WhyUsed}}
	builder, child := aBuilder(t, "podman build")
	b.uses("bcdf2345", builder, 'a')
	child.End()
	b.Over("bcdf2345", false)
	proctest.Eventually(t, "the entry is removed", func() bool { return b.files(dir) == 0 })
	if len(b.jobs) != 3 {
		t.Errorf("%d tries", len(b.jobs))
	}
}

// TestTheLastTryIsTheNextDaemonsWhenThisOneStops: its file stays.
func TestTheLastTryIsTheNextDaemonsWhenThisOneStops(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, dir, Own)
	b.pauses = []time.Duration{}
	began := make(chan struct{})
	b.Run = func(ctx context.Context, _ uint32, _ Job) (Result, error) {
		close(began)
		<-ctx.Done()
		return Result{}, ctx.Err()
	}
	builder, child := aBuilder(t, "podman build")
	b.uses("bcdf2345", builder, 'a')
	child.End()
	b.Over("bcdf2345", false)
	<-began
	b.Close()
	if b.files(dir) != 1 {
		t.Error("it is forgotten")
	}
}
