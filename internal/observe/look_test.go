package observe

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestLooksThatAreAskedForAtOnceAreShared: many builds end at once, and each asks who
// is left of it.
func TestLooksThatAreAskedForAtOnceAreShared(t *testing.T) {
	f := New(Options{Log: logrus.New()})
	var scans atomic.Int32
	begun, goOn := make(chan struct{}, 100), make(chan struct{})
	f.scan = func() (snapshot, error) {
		scans.Add(1)
		begun <- struct{}{}
		<-goOn
		return snapshot{}, nil
	}
	var asking sync.WaitGroup
	asking.Go(f.look)
	<-begun
	const others = 50
	var asked atomic.Int32
	for range others {
		asking.Go(func() {
			asked.Add(1)
			f.look()
		})
	}
	proctest.Eventually(t, "the others have asked", func() bool { return asked.Load() == others })
	close(goOn)
	asking.Wait()
	if n := scans.Load(); n < 2 || n > others/2 {
		t.Errorf("%d looks for %d who asked during the first", n, others)
	}
}

// TestLookSeesWhatCameBeforeItWasAskedFor, though another was under way.
func TestLookSeesWhatCameBeforeItWasAskedFor(t *testing.T) {
	f := New(Options{Log: logrus.New()})
	var there atomic.Bool
	var seen atomic.Bool
	first, asked := make(chan struct{}), make(chan struct{})
	f.scan = func() (snapshot, error) {
		now := there.Load()
		if !now {
			close(first)
			<-asked
		}
		seen.Store(now)
		return snapshot{}, nil
	}
	var asking sync.WaitGroup
	asking.Go(f.look)
	<-first
	there.Store(true)
	asking.Go(func() {
		close(asked)
		f.look()
		if !seen.Load() {
			t.Error("the look that was under way was taken")
		}
	})
	asking.Wait()
}

// TestNamespacesAreReadOnceForAllSteps of one look.
func TestNamespacesAreReadOnceForAllSteps(t *testing.T) {
	all, err := look()
	if err != nil {
		t.Fatal(err)
	}
	v := all.view()
	own := proc.Namespace(selfPID, "uts")
	if len(v.inUTS(own)) == 0 || len(v.inUTS("uts:[0]")) != 0 {
		t.Errorf("%d processes are in %s", len(v.inUTS(own)), own)
	}
	v.uts[own] = nil
	if len(v.inUTS(own)) != 0 {
		t.Error("they were read again")
	}
}

// TestALookThatFindsABuilderTellsOfIt, and begins no other look for that: where a look is slow,
// each new process of podman's took two.
func TestALookThatFindsABuilderTellsOfIt(t *testing.T) {
	told := make(chan struct{})
	self := open(t, selfPID).Identity
	f := New(Options{Log: logrus.New(), Builder: func(context.Context, proc.Identity, time.Time) bool {
		close(told)
		return true
	}})
	var looks atomic.Int32
	f.scan = func() (snapshot, error) {
		if looks.Add(1) == 1 {
			f.known[self] = false
		}
		return snapshot{self.PID: {Identity: self}}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Run(ctx) }()
	<-told
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n := looks.Load(); n != 1 {
		t.Errorf("%d looks", n)
	}
}
