// Package controltest lets tests talk to a real control server over a real unix
// socket, about builds that are made up.
package controltest

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/control"
	"github.com/buildwatch/buildwatch/internal/peer"
)

// Builds are builds that are made up. Stopping one takes it away at once, unless
// OnStop says otherwise. It is safe for concurrent use.
type Builds struct {
	// OnStop, if set, is what a stop does instead.
	OnStop func(ctx context.Context, id string, by uint32, request api.StopRequest) (api.Build, error)

	mu     sync.Mutex // lock order: 1
	builds []api.BuildDetail
	stops  []Stop
	events chan api.Event
}

// Stop is a stop that was asked for.
type Stop struct {
	ID           string
	By           uint32
	OwnerTimeout string // "" for none
}

// NewBuilds makes builds of the given ones.
func NewBuilds(builds ...api.BuildDetail) *Builds {
	return &Builds{builds: builds, events: make(chan api.Event)}
}

// Heads is for control.Builds.
func (b *Builds) Heads() []api.BuildHead {
	var heads []api.BuildHead
	for _, build := range b.List(func(api.User) bool { return true }) {
		heads = append(heads, build.BuildHead)
	}
	return heads
}

// List is for control.Builds.
func (b *Builds) List(may func(api.User) bool) []api.Build {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []api.Build
	for _, d := range b.builds {
		if may(d.User) {
			list = append(list, d.Build)
		}
	}
	return list
}

// Detail is for control.Builds.
func (b *Builds) Detail(id string) (api.BuildDetail, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.index(id); i >= 0 {
		return b.builds[i], nil
	}
	return api.BuildDetail{}, errGone
}

var errGone = &api.Error{Code: api.CodeNotFound, Message: "gone"}

func (b *Builds) index(id string) int {
	return slices.IndexFunc(b.builds, func(d api.BuildDetail) bool { return d.ID == id })
}

// Stop is for control.Builds.
func (b *Builds) Stop(ctx context.Context, id string, by uint32, request api.StopRequest) (api.Build, error) {
	b.mu.Lock()
	stop := Stop{ID: id, By: by}
	if request.OwnerTimeout != nil {
		stop.OwnerTimeout = request.OwnerTimeout.String()
	}
	b.stops = append(b.stops, stop)
	b.mu.Unlock()
	if b.OnStop != nil {
		return b.OnStop(ctx, id, by, request)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.index(id)
	if i < 0 {
		return api.Build{}, errGone
	}
	gone := b.builds[i].Build
	gone.State, gone.Reason = api.StateGone, api.ReasonStopped
	b.builds = slices.Delete(b.builds, i, i+1)
	return gone, nil
}

// Plan is for control.Builds.
func (b *Builds) Plan(_ context.Context, id string, request api.StopRequest) (api.Plan, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.index(id)
	if i < 0 {
		return api.Plan{}, errGone
	}
	limit := api.Seconds(3 * time.Second)
	if request.OwnerTimeout != nil {
		limit = *request.OwnerTimeout
	}
	return api.Plan{Build: b.builds[i].BuildHead, Actions: []api.PlanAction{
		{Rung: api.RungKill, If: api.PlanAlways, Means: api.MeansKillUnit, Signal: "SIGKILL", On: b.builds[i].Scope, Limit: api.Seconds(time.Second),
			Kind: api.ActionKillScope, Processes: []api.PlanProcess{{PID: 10, Command: "sh"}, {PID: 11, Command: "make"}}},
		{Rung: api.RungOwner, If: api.PlanAlways, Means: api.MeansWait, Limit: limit, Kind: api.ActionTidy,
			Processes: []api.PlanProcess{{PID: 4711, Command: "podman"}}},
		{Rung: api.RungCgroupKill, If: api.PlanProcessesLeft, Means: api.MeansCgroupKill, Signal: "SIGKILL", On: b.builds[i].Cgroup,
			Limit: api.Seconds(time.Second), Kind: api.ActionCgroupKill},
	}}, nil
}

// End removes the build with that ID, which has ended.
func (b *Builds) End(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.builds = slices.DeleteFunc(b.builds, func(d api.BuildDetail) bool { return d.ID == id })
}

// Tell tells one who watches of an event, when it is read. That nobody watches ends the test.
func (b *Builds) Tell(e api.Event) {
	select {
	case b.events <- e:
	case <-time.After(30 * time.Second):
		panic("nobody watches")
	}
}

// Watch is for control.Builds.
func (b *Builds) Watch(ctx context.Context, may func(api.User) bool, each func(api.Event) error) error {
	for _, build := range b.List(may) {
		if err := each(api.Event{Kind: api.EventPresent, Build: &build.BuildHead}); err != nil {
			return err
		}
	}
	if err := each(api.Event{Kind: api.EventReady}); err != nil {
		return err
	}
	for {
		select {
		case e := <-b.events:
			if e.Build != nil && !may(e.Build.User) {
				continue
			}
			if err := each(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Stops returns the stops asked for so far, in order.
func (b *Builds) Stops() []Stop {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.stops)
}

// As makes every peer the user with the UID.
func As(uid uint32) func(syscall.Conn) (peer.Credentials, error) {
	return func(syscall.Conn) (peer.Credentials, error) { return peer.Of(4711, uid, uid), nil }
}

// Serve answers on a socket, whose path it returns, until the test ends. It
// fails the test if stopping takes a second.
func Serve(t testing.TB, server *control.Server) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "control.sock")
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, socket) }()
	t.Cleanup(func() {
		stop()
		asked := time.Now()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
		if took := time.Since(asked); took > time.Second {
			t.Errorf("stopping took %s", took)
		}
	})
	return path
}

// Configured is implemented by builds of a daemon whose configuration is bad.
type Configured interface{ ConfigProblem() string }

// Start serves the builds to peers who are all the user with the UID.
func Start(t testing.TB, builds control.Builds, uid uint32) (path string) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	return Serve(t, control.New(control.Options{
		Builds: builds,
		Info: func() api.Info {
			about := info()
			if c, ok := builds.(Configured); ok {
				about.ConfigSource, about.ConfigProblem = "last_good", c.ConfigProblem()
			}
			return about
		},
		Log:      log,
		Identify: As(uid),
	}))
}

// info is that of a daemon on a host that lacks something.
func info() api.Info {
	return api.Info{
		Version: "1.2.3", StartedAt: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC),
		Host: &api.Host{Kernel: "6.1.0", Systemd: "252.39", Features: []api.Feature{
			{Name: api.FeaturePidfd, Found: true},
			{Name: api.FeaturePeerPidfd, Error: "SO_PEERPIDFD: protocol not available"},
			{Name: api.FeatureOOMPolicy, Found: true},
		}},
	}
}
