package scopes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/share"
)

// TestOneUsersScopesDoNotKeepAnothersWaiting: a user has sixty steps started at the same
// moment, which systemd needs its time for. Another's nine come among the next.
func TestOneUsersScopesDoNotKeepAnothersWaiting(t *testing.T) {
	m, f := newManager(t)
	next := make(chan struct{})
	f.set(func() {
		f.onCall = func(method string) {
			if method == string(StartTransientUnit) {
				<-next
			}
		}
	})
	owner := startIn(t, nil, "")
	fd := pidfd(t, owner)
	var all sync.WaitGroup
	start := func(uid uint32, id string) {
		all.Go(func() {
			s, err := m.Start(context.Background(), Spec{ID: id, UID: uid, GID: uid, Owner: fd, Record: []byte("the record")})
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	for n := range 60 {
		start(54321, fmt.Sprintf("one-%d", n))
	}
	proctest.Eventually(t, "a start is asked for", func() bool { return len(f.heard()) > 0 })
	for n := range 9 {
		start(54322, fmt.Sprintf("other-%d", n))
	}
	proctest.Eventually(t, "all have come", func() bool {
		return m.turns.starts.InUse() == 2*startsOfUser && m.turns.starts.Waiting() == 69-2*startsOfUser
	})
	for range 69 {
		next <- struct{}{}
	}
	all.Wait()
	var order []string
	for _, call := range f.heard() {
		if unit, ok := strings.CutPrefix(call, "StartTransientUnit "+unitPrefix); ok {
			order = append(order, unit)
		}
	}
	last := 0
	for i, unit := range order {
		if strings.HasPrefix(unit, "other-") {
			last = i + 1
		}
	}
	if len(order) != 69 || last > 9*2+2*startsOfUser {
		t.Errorf("the other user's ninth scope is number %d of %d: %v", last, len(order), order[:min(len(order), 30)])
	}
	if n := m.turns.starts.InUse(); n != 0 {
		t.Errorf("%d turns are still taken", n)
	}
}

// TestStartThatGetsNoTurnMakesNothing: it has no process, and systemd does not hear of it.
func TestStartThatGetsNoTurnMakesNothing(t *testing.T) {
	m, f := newManager(t)
	for range startsOfUser {
		m.turns.starts.Force(share.Account{UID: 54321})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	owner := startIn(t, nil, "")
	_, err := m.Start(ctx, Spec{ID: "bcdfghjk", UID: 54321, GID: 54321, Owner: pidfd(t, owner)})
	if !errors.Is(err, ErrBusy) || len(f.heard()) != 0 {
		t.Errorf("Start = %v, and systemd heard %v", err, f.heard())
	}
	if _, err := m.Start(short(t), Spec{ID: "bcdfghjl", UID: 54322, GID: 54322, Owner: pidfd(t, owner), Record: []byte("x")}); err != nil {
		t.Errorf("another user's: %v", err)
	}
}

// TestTurnIsGivenBackWhenSystemdHasAnswered: of a thousand builds that are over at once, the next
// has its turn while the processes of those before it end.
func TestTurnIsGivenBackWhenSystemdHasAnswered(t *testing.T) {
	m, f := newManager(t)
	s := startScope(t, m, startIn(t, nil, ""), 54321)
	var during int
	f.set(func() { f.onCall = func(string) { during = m.turns.ends.InUse() } })
	if err := s.Kill(short(t)); err != nil || during != 1 || m.turns.ends.InUse() != 0 {
		t.Errorf("%d turns while systemd is asked, %d afterwards, %v", during, m.turns.ends.InUse(), err)
	}
}

// TestBuildThatGetsNoTurnIsEndedByTheKernel: a thousand builds are over in one moment, and systemd
// would need seconds for them. It tidies up afterwards.
func TestBuildThatGetsNoTurnIsEndedByTheKernel(t *testing.T) {
	m, f := newManager(t)
	s := startScope(t, m, startIn(t, nil, ""), 54321)
	var others []func()
	for range endsOfUser {
		others = append(others, m.turns.ends.Force(share.Account{UID: 54321}))
	}
	if err := s.Stop(short(t)); !errors.Is(err, errBusySystemd) {
		t.Errorf("a scope with a process in it is stopped without a turn: %v", err)
	}
	if err := errors.Join(s.Kill(short(t)), s.WaitEmpty(short(t))); err != nil {
		t.Error(err)
	}
	if err := s.Stop(short(t)); err != nil {
		t.Errorf("an empty one: %v", err)
	}
	asked := func() string { return strings.Join(f.heard(), ", ") }
	if heard := asked(); strings.Contains(heard, "KillUnit") || strings.Contains(heard, "StopUnit") {
		t.Errorf("systemd heard %s without a turn", heard)
	}
	for _, release := range others {
		release()
	}
	proctest.Eventually(t, "systemd is told to stop it", func() bool { return strings.Contains(asked(), "StopUnit") })
}
