package watch

import (
	"context"
	"slices"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/request"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// served makes the child the service that serves a request.
func served(t *testing.T, c *child, dirs ...string) *owners.Owner {
	t.Helper()
	o := c.owner(t)
	o.Mode, o.Spared, o.Request = api.ModeAPI, true, &request.Request{}
	for i, dir := range dirs {
		o.Request.Dirs = append(o.Request.Dirs, request.Dir{Path: dir, Inode: uint64(i + 1)})
	}
	return o
}

func TestAPIBuildIsEndedWhenItsClientIsGoneAndTheServiceIsNot(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	_, s := w.run(served(t, c, "/var/tmp/libpod_builder1"))
	w.asked.standing <- request.Over
	if e := w.end(); e.reason != api.ReasonClientDisconnected || e.mode != api.ModeAPI {
		t.Errorf("counted as %+v", e)
	}
	if calls := s.until(t, "close"); !slices.Equal(calls, []string{"kill", "stop", "close"}) {
		t.Errorf("called %v", calls)
	}
	c.end()
	if status := c.wait(); status.Signaled() {
		t.Errorf("the service got %v", status.Signal())
	}
}

func TestTwoRequestsOfOneServiceAreTwoBuilds(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	first, _ := w.run(served(t, c, "/var/tmp/libpod_builder1"))
	second, _ := w.run(served(t, c, "/var/tmp/libpod_builder2"))
	again, err := w.place(context.Background(), served(t, c, "/var/tmp/libpod_builder1"))
	if err != nil || first == second || again.build != first {
		t.Errorf("builds %s and %s, then %v, %v", first.id, second.id, again, err)
	}
}

func TestAPIBuildIsKeptInDoubtAndShownAsSuch(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	b, s := w.run(served(t, c, "/var/tmp/libpod_builder1"))
	shows := func(want api.State) {
		t.Helper()
		proctest.Eventually(t, "it is shown as "+string(want), func() bool { return w.List(anybody)[0].State == want })
	}
	w.asked.standing <- request.Doubtful
	shows(api.StateUnsure)
	w.asked.standing <- request.Live
	shows(api.StateRunning)
	w.asked.standing <- request.Left // a cleaner's work: a container runs
	shows(api.StateUnsure)
	if _, err := w.place(context.Background(), served(t, c, "/var/tmp/libpod_builder1")); err != nil {
		t.Errorf("its next step: %v", err)
	}
	s.set(func() { s.busy = false })
	w.asked.standing <- request.Left // its handler's work
	if e := w.end(); e.reason != api.ReasonCompleted {
		t.Errorf("build %s is counted as %+v", b.id, e)
	}
}

func TestStopOfAnAPIBuildWaitsForItsRequest(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	b, s := w.run(served(t, c, "/var/tmp/libpod_builder1"))
	stopped := make(chan error)
	go func() {
		_, err := w.Stop(context.Background(), b.id, 0, api.StopRequest{})
		stopped <- err
	}()
	proctest.Eventually(t, "the service tidies up", func() bool { return b.current().Stage == lifecycle.StageTidy })
	w.asked.standing <- request.Over
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if calls := s.until(t, "close"); !slices.Equal(calls, []string{"kill", "stop", "close"}) {
		t.Errorf("called %v", calls)
	}
}

func TestAPIBuildIsFoundAgainWithItsRequest(t *testing.T) {
	r := owners.Record{
		Version: 1, ID: owners.NewID(), Mode: api.ModeAPI, Command: "podman system service",
		Request: &request.Request{
			Dirs:  []request.Dir{{Path: "/var/tmp/libpod_builder1", Inode: 1, Birth: 2, UID: 3}},
			Conns: []request.Conn{{Inode: 4, Cookie: 5}},
		},
	}
	c := startChild(t, "")
	o := c.owner(t)
	r.Owner = o.Identity
	o.Close()
	w := newBench(t, longTimeouts)
	s := newFakeScope(scopes.Spec{ID: r.ID, Record: r.Encode()})
	s.set(func() { s.busy = true })
	if err := w.Adopt(s, r.Encode()); err != nil {
		t.Fatal(err)
	}
	w.asked.standing <- request.Over
	if e := w.end(); e.reason != api.ReasonClientDisconnected {
		t.Errorf("counted as %+v", e)
	}
}
