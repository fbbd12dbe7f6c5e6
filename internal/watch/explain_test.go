package watch

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/request"
)

// fact returns what is said of it, and fails the test where nothing is.
func (b *bench) fact(id string, name api.FactName) api.Fact {
	b.t.Helper()
	detail, err := b.Detail(id)
	if err != nil {
		b.t.Fatal(err)
	}
	i := slices.IndexFunc(detail.Facts, func(f api.Fact) bool { return f.Name == name })
	if i < 0 {
		b.t.Fatalf("nothing is said of %q: %+v", name, detail.Facts)
	}
	return detail.Facts[i]
}

func TestExplanationOfABuildThatRuns(t *testing.T) {
	w := newBench(t, longTimeouts)
	w.policy.MaxRuntime = time.Hour
	waiter, builder := startChild(t, ""), startChild(t, "")
	before := time.Now()
	b, _ := w.run(builder.owner(t, waiter))
	detail, err := w.Detail(b.id)
	if err != nil || detail.Verdict != api.VerdictOwnerLives || detail.Doing != "" || !slices.Equal(detail.ChangesWhen, []api.Change{api.ChangeOwnerEnds, api.ChangeStop, api.ChangeMaxRuntime}) {
		t.Errorf("%+v, %v", detail.Explanation, err)
	}
	for name, decides := range map[api.FactName]api.Decides{
		api.FactOwner: api.DecidesKeep, api.FactWaiters: api.DecidesKeep, api.FactContainers: "", api.FactMaxRuntime: "", api.FactPolicy: "",
	} {
		f := w.fact(b.id, name)
		if f.Decides != decides || f.Value == "" || !slices.Contains(api.FactSources(), f.Source) {
			t.Errorf("said is %+v, want that it decides %q", f, decides)
		}
		if name == api.FactOwner && (f.Since.Before(before) || f.Since.After(time.Now())) {
			t.Errorf("known since %v", f.Since)
		}
	}
	// What was known keeps its time, what is new has one of its own.
	owner := w.fact(b.id, api.FactOwner).Since
	ended := time.Now()
	waiter.end()
	proctest.Eventually(t, "the waiter's end is known", func() bool { return w.fact(b.id, api.FactWaiters).Decides == api.DecidesEnd })
	if f := w.fact(b.id, api.FactWaiters); !f.Since.After(ended) {
		t.Errorf("the waiter's end is known since %v, the owner since %v", f.Since, owner)
	}
	if f := w.fact(b.id, api.FactOwner); f.Decides != "" || !f.Since.Equal(owner) {
		t.Errorf("said is %+v", f)
	}
	builder.end()
	w.end()
}

func TestExplanationOfAnAPIBuild(t *testing.T) {
	w := newBench(t, longTimeouts)
	w.policy.Report = true
	c := startChild(t, "")
	o := served(t, c, "/var/tmp/libpod_builder1")
	o.Request.Conns = []request.Conn{{Inode: 1}, {Inode: 2}}
	b, _ := w.run(o)
	w.asked.standing <- request.Live
	proctest.Eventually(t, "its request is known", func() bool { return b.knows(api.FactRequest) })
	if f := w.fact(b.id, api.FactRequest); f.Decides != api.DecidesKeep || f.Value != api.ValueServed {
		t.Errorf("said is %+v", f)
	}
	if f := w.fact(b.id, api.FactDirectory); f.Value != api.ValueThere || f.Path != "/var/tmp/libpod_builder1" || f.Source != api.SourceInotify {
		t.Errorf("said is %+v", f)
	}
	if f := w.fact(b.id, api.FactConnections); f.Value != api.ValueGone || *f.Count != 0 || f.Of != 2 || f.Source != api.SourceDescriptors {
		t.Errorf("said is %+v", f)
	}
	w.asked.standing <- request.Over
	w.reported()
	if f := w.fact(b.id, api.FactRequest); f.Decides != api.DecidesEnd || f.Value != api.ValueOver {
		t.Errorf("said is %+v", f)
	}
	if f := w.fact(b.id, api.FactPolicy); f.Decides != api.DecidesKeep {
		t.Errorf("said is %+v", f)
	}
	detail, _ := w.Detail(b.id)
	if detail.Verdict != api.VerdictReported || detail.Reason != api.ReasonClientDisconnected || !slices.Contains(detail.ChangesWhen, api.ChangeStop) {
		t.Errorf("%+v", detail.Explanation)
	}
	if _, err := w.Stop(context.Background(), b.id, 1000, api.StopRequest{}); err != nil {
		t.Fatal(err)
	}
}

func (b *build) knows(name api.FactName) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.known[name]
	return ok
}

// TestEveryStateIsExplained, and every stage of the ladder.
func TestEveryStateIsExplained(t *testing.T) {
	for _, state := range api.States() {
		for _, mode := range api.Modes() {
			for _, stage := range lifecycle.Stages() {
				verdict, changes := judge(lifecycle.Status{State: state, Stage: stage, Reason: api.ReasonStopped}, mode)
				if verdict.Meaning() == "" || changes == nil {
					t.Errorf("%s/%q of %s: %q, %q", state, stage, mode, verdict, changes)
				}
			}
		}
	}
	for _, name := range api.FactNames() {
		if !slices.Contains(api.FactSources(), sourceOf(name)) {
			t.Errorf("%s is read from %q", name, sourceOf(name))
		}
	}
}

// TestStopIsAFact: it names who asked.
func TestStopIsAFact(t *testing.T) {
	w := newBench(t, Timeouts{never, never, never, never, never, soon, soon})
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = w.Stop(context.Background(), b.id, 4711, api.StopRequest{})
	}()
	proctest.Eventually(t, "the owner may tidy up", func() bool { return b.current().Stage == lifecycle.StageTidy })
	if f := w.fact(b.id, api.FactStop); f.Value != api.ValueAsked || *f.UID != 4711 || f.Decides != api.DecidesEnd || f.Source != api.SourceUser {
		t.Errorf("said is %+v", f)
	}
	if detail, _ := w.Detail(b.id); detail.Verdict != api.VerdictEnding || detail.Doing != api.ActionTidy {
		t.Errorf("%+v", detail.Explanation)
	}
	s.clear()
	c.end()
	<-done
}
