package watch

import (
	"context"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// TestAdopt takes over what an earlier daemon has left.
func TestAdopt(t *testing.T) {
	gone := proc.Identity{PID: 1 << 22, Start: 1} // above the largest pid_max
	for _, row := range []struct {
		name    string
		busy    bool
		change  func(r *owners.Record)
		runs    bool
		reason  api.Reason
		calls   []string
		ownerIs string // "TERM" when it is to be told to end
	}{
		{name: "the owner lives", runs: true},
		{name: "the owner lives, a container too", busy: true, runs: true},
		{name: "the owner is gone", change: func(r *owners.Record) { r.Owner = gone },
			reason: api.ReasonCompleted, calls: []string{"discard", "close"}},
		{name: "the owner is gone, a container is left", busy: true, change: func(r *owners.Record) { r.Owner = gone },
			reason: api.ReasonOwnerExited, calls: []string{"kill", "stop", "close"}},
		// Attacks 1 and 21: the PID is another process's now.
		{name: "the owner's PID is another's", busy: true, change: func(r *owners.Record) { r.Owner.Start++ },
			reason: api.ReasonOwnerExited, calls: []string{"kill", "stop", "close"}},
		{name: "who waited for the owner is gone", change: func(r *owners.Record) { r.Waiters = []proc.Identity{gone} },
			reason: api.ReasonOwnerExited, calls: []string{"kill", "stop", "close"}, ownerIs: "TERM"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newBench(t, Timeouts{never, soon, never, never, never, soon, soon})
			c := startChild(t, "")
			h := c.owner(t)
			r := owners.Record{
				ID: owners.NewID(), UID: 1000, CreatedUSec: time.Now().Add(-time.Hour).UnixMicro(),
				Mode: api.ModeLocal, Owner: h.Identity, Command: "podman build",
			}
			h.Close()
			if row.change != nil {
				row.change(&r)
			}
			s := newFakeScope(scopes.Spec{ID: r.ID, Record: r.Encode()})
			s.busy = row.busy
			if err := w.Adopt(s, s.record); err != nil {
				t.Fatal(err)
			}
			if row.runs {
				list := w.List(anybody)
				if len(list) != 1 || list[0].ID != r.ID || list[0].State != api.StateRunning || list[0].User.UID != 1000 {
					t.Fatalf("the list is %+v", list)
				}
				if p, err := w.place(context.Background(), c.owner(t)); err != nil || p.scope != processes.Door(s) {
					t.Errorf("its next container is placed in %+v, %v", p, err)
				}
				s.set(func() { s.busy = false })
				c.end()
				row.reason, row.calls = api.ReasonCompleted, []string{"discard", "close"}
			}
			if e := w.end(); e.reason != row.reason || e.lived < time.Hour {
				t.Errorf("counted as %+v", e)
			}
			if calls := s.until(t, "close"); !slices.Equal(calls, row.calls) {
				t.Errorf("called %v, want %v", calls, row.calls)
			}
			if len(w.seen.started) != 0 {
				t.Error("counted as started once more")
			}
			if row.runs {
				return
			}
			if h, err := proc.Open(c.Process.Pid); (err != nil) != (row.ownerIs == "TERM") {
				t.Errorf("the process that has the owner's PID: %v", err)
			} else if err == nil {
				h.Close()
			}
		})
	}
}

func TestAdoptRefusesWhatNoDaemonHasWritten(t *testing.T) {
	w := newBench(t, longTimeouts)
	for name, content := range map[string]string{
		"nothing":        "",
		"garbage":        "\x00\xff",
		"half of it":     `{"v":1,"id":"bcdfghjk"`,
		"another format": `{"v":2,"id":"bcdfghjk","mode":"local","owner":{"pid":1,"start":1}}`,
		"unknown key":    `{"v":1,"id":"bcdfghjk","mode":"local","owner":{"pid":1,"start":1},"x":1}`,
		"bad ID":         `{"v":1,"id":"../../x","mode":"local","owner":{"pid":1,"start":1}}`,
		"no owner":       `{"v":1,"id":"bcdfghjk","mode":"local"}`,
		"unknown mode":   `{"v":1,"id":"bcdfghjk","mode":"x","owner":{"pid":1,"start":1}}`,
		"many waiters":   `{"v":1,"id":"bcdfghjk","mode":"local","owner":{"pid":1,"start":1},"waiters":[{},{},{},{},{}]}`,
	} {
		s := newFakeScope(scopes.Spec{ID: "bcdfghjk"})
		if err := w.Adopt(s, []byte(content)); err == nil {
			t.Errorf("%s was adopted", name)
		}
		if len(s.calls) != 0 || len(w.List(anybody)) != 0 {
			t.Errorf("%s: called %d times, %d builds", name, len(s.calls), len(w.List(anybody)))
		}
	}
}

// TestBuildIsKeptWhereItCantBeToldWhetherItsOwnerLives: the daemon has no descriptor left.
// It is asked again until it is known.
func TestBuildIsKeptWhereItCantBeToldWhetherItsOwnerLives(t *testing.T) {
	for _, lacking := range []string{"owner", "waiter"} {
		t.Run(lacking, func(t *testing.T) {
			w := newBench(t, longTimeouts)
			owner, waiter := startChild(t, "").owner(t), startChild(t, "").owner(t)
			r := owners.Record{
				ID: owners.NewID(), UID: 1000, CreatedUSec: time.Now().UnixMicro(), Mode: api.ModeLocal,
				Owner: owner.Identity, Waiters: []proc.Identity{waiter.Identity}, Command: "podman kube play", Spared: true,
			}
			owner.Close()
			waiter.Close()
			asked := make(chan bool, 100)
			w.owners.Find = func(id proc.Identity) (*proc.Handle, error) {
				if lacks := (id == r.Owner) == (lacking == "owner"); lacks && len(asked) < 1 {
					asked <- true
					return nil, unix.EMFILE
				}
				return proc.Find(id)
			}
			s := newFakeScope(scopes.Spec{ID: r.ID, Record: r.Encode()})
			s.busy = true
			if err := w.Adopt(s, s.record); err != nil {
				t.Fatal(err)
			}
			if len(w.List(anybody)) != 0 {
				t.Error("it is listed before it is known")
			}
			proctest.Eventually(t, "it is listed", func() bool { return len(w.List(anybody)) == 1 })
			if b := w.List(anybody)[0]; b.ID != r.ID || b.State != api.StateRunning {
				t.Errorf("listed as %+v", b)
			}
			if b, err := w.find(r.ID); err != nil || !b.owner.Spared {
				t.Errorf("whether the owner is spared was forgotten: %v", err)
			}
		})
	}
}
