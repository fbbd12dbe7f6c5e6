// Package control is the daemon's control API: the documents of package api, by
// HTTP over a unix stream socket that every user may connect to.
//
// It owns who may see and stop which build, what a request may look like, and
// what a slow, silent or hostile peer can take from the daemon. Builds it only
// knows through the Builds interface: it reads them and passes stops on, decides
// nothing about their lives, and touches no process, cgroup or unit.
//
// Each verb of the API has a file of its own.
package control

import (
	"context"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
	"github.com/buildwatch/buildwatch/internal/peer"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// Builds are the builds that the daemon knows. It is used by many goroutines at
// once, with whole IDs that Heads has given. A build that has gone since is an
// *api.Error with api.CodeNotFound; every other error is logged, and the caller
// only told that there was one.
type Builds interface {
	// Heads returns what is known of the builds without a look at their processes, in any
	// order. It is called for every request.
	Heads() []api.BuildHead
	// List looks at the builds of those users that may lets pass, in no way that can wait.
	List(may func(api.User) bool) []api.Build
	// Detail looks at one build more closely.
	Detail(id string) (api.BuildDetail, error)
	// Stop ends a build because the user by asked for it, and returns it when it
	// is gone or stuck. The end of ctx ends the waiting, not the stop: a client
	// that goes away does not call its wish back.
	Stop(ctx context.Context, id string, by uint32, request api.StopRequest) (api.Build, error)
	// Plan says what Stop would do.
	Plan(ctx context.Context, id string, request api.StopRequest) (api.Plan, error)
	// Watch calls each with the builds that there are and then with all that happens
	// to builds, of those users that may lets pass, until ctx ends, the builds are no
	// longer watched, or each fails. may must not wait; each may.
	Watch(ctx context.Context, may func(api.User) bool, each func(api.Event) error) error
}

// Runner begins the build of a process that asks for it, and moves the process into
// the build's scope: package watch's Run. The process belongs to the caller of
// Runner, who closes it. The error is as those of Builds.
type Runner func(ctx context.Context, process *proc.Handle, uid, gid uint32, request RunRequest) (api.Build, error)

// RunRequest is an api.RunRequest that has been read and checked.
type RunRequest struct {
	Name   string
	Limits limits.Limits
}

// Options is what a Server is made of.
type Options struct {
	Builds  Builds
	Run     Runner
	Info    func() api.Info
	Config  func() api.Config
	Log     logrus.FieldLogger
	Limiter *peer.Limiter // bounds the connections; nil for no bound
	// Count is told of every request that named a verb, when it was answered;
	// failed means that the answer was an error. It may be nil.
	Count func(verb string, failed bool)
	// Identify replaces peer.FromConn in tests. It is nil otherwise.
	Identify func(syscall.Conn) (peer.Credentials, error)
}

// Server answers the control API.
type Server struct {
	Options
	limits bounds
}

// bounds are what one connection may take.
type bounds struct {
	request time.Duration // to send a request, from its first byte or the connect
	idle    time.Duration // between two requests
	answer  time.Duration // to read an answer
	line    time.Duration // to read a line of the stream of events
	run     time.Duration // to place a process
	grace   time.Duration // for requests under way when the daemon stops
	header  int           // bytes
	body    int64         // bytes
}

// New makes a Server. It does nothing until Serve.
func New(options Options) *Server {
	if options.Count == nil {
		options.Count = func(string, bool) {}
	}
	return &Server{Options: options, limits: bounds{
		request: 5 * time.Second,
		idle:    10 * time.Second,
		answer:  5 * time.Second,
		line:    time.Minute,
		run:     api.RunTimeout,
		grace:   250 * time.Millisecond,
		header:  16 << 10,
		body:    64 << 10,
	}}
}
