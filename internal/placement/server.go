// Package placement is the daemon's side of the OCI runtime wrapper's socket.
// It checks who asks, speaks the protocol of package wire, and hands what it
// learnt from the kernel to package watch. Every user of the host can connect:
// nothing that a message says is believed of its sender, and no request holds
// more than one goroutine, for longer than a second.
package placement

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/buildwatch/buildwatch/internal/failpoint"
	"github.com/buildwatch/buildwatch/internal/logging"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/peer"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
	"github.com/buildwatch/buildwatch/internal/watch"
	"github.com/buildwatch/buildwatch/internal/wire"
	"github.com/sirupsen/logrus"
)

// Cause is why a container was not placed.
type Cause string

// The causes, for counting. A request that succeeded has CauseNone.
const (
	CauseNone       Cause = ""
	CauseRefused    Cause = "refused"     // the caller may not have a place
	CauseSystemd    Cause = "systemd"     // systemd failed or did not answer
	CauseCgroup     Cause = "cgroup"      // the kernel refused a step
	CauseTimeout    Cause = "timeout"     // the caller had given up
	CauseBadRequest Cause = "bad_request" // not what the wrapper sends
	CauseOutside    Cause = "outside"     // the caller can't use a place, and said so
)

// Causes lists every cause but CauseNone.
func Causes() []Cause {
	return []Cause{CauseRefused, CauseSystemd, CauseCgroup, CauseTimeout, CauseBadRequest, CauseOutside}
}

// Metrics is told of every request.
type Metrics interface {
	Placement(took time.Duration, cause Cause)
}

// Place is a build's scope, ready to take one container.
type Place interface {
	// CgroupsPath is where the OCI runtime is to put the container.
	CgroupsPath() string
	// Enter moves the caller there. act is called immediately before; an error
	// from it is returned and nothing is done.
	Enter(act func() error) error
}

// Places finds the place of a container: package watch's Prepare.
type Places func(ctx context.Context, caller owners.Caller, container watch.Container) (Place, error)

// Options is what a Server is made of.
type Options struct {
	Places  Places
	Wrapper string        // path of the program that is served; no other is
	Limit   time.Duration // for one request, all of it
	Limiter *peer.Limiter // bounds the connections
	Metrics Metrics
	// Unplaced is told of a caller that is about to create its container outside a
	// scope, or has given up waiting. It stays the Server's.
	Unplaced func(caller *proc.Handle)
	Log      logrus.FieldLogger
}

// Server answers the wrapper.
type Server struct {
	Options
	cgroups string // the daemon's own cgroup namespace
	repeats *logging.Limiter
}

// New makes a Server. It does nothing until Serve.
func New(options Options) *Server {
	return &Server{options, proc.Namespace(os.Getpid(), "cgroup"), logging.NewLimiter(time.Minute, loggedRepeats)}
}

// Serve accepts on the listening socket, which it takes over, until the context
// ends, and returns when the last request has been answered.
func (s *Server) Serve(ctx context.Context, socket *net.UnixListener) error {
	listener := peer.Listen(socket, peer.ListenerOptions{
		Limiter: s.Limiter,
		Pidfds:  true,
		Refused: func(peer.Credentials, error) { s.Metrics.Placement(0, CauseRefused) },
	})
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	var requests sync.WaitGroup
	defer requests.Wait()
	for {
		conn, err := listener.AcceptPeer()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		requests.Go(func() {
			defer conn.Close()
			s.serve(ctx, conn)
		})
	}
}

func (s *Server) serve(ctx context.Context, conn *peer.Conn) {
	c := conn.Credentials()
	process, err := proc.FromPidfd(c.PID, conn.TakePidfd())
	if err != nil {
		s.Metrics.Placement(0, CauseTimeout) // it has ended already
		return
	}
	defer process.Close()
	s.handle(ctx, conn.UnixConn, caller{
		Caller:   owners.Caller{Handle: process, UID: c.UID(), GID: c.GID()},
		stranger: !c.IsRoot() && !c.IsUser(),
	})
}

// caller is who asks.
type caller struct {
	owners.Caller
	stranger bool // nobody that is known here, such as root of another PID namespace
}

// handle serves one connection: one container.
func (s *Server) handle(ctx context.Context, conn *net.UnixConn, caller caller) {
	ctx, cancel := context.WithTimeout(ctx, s.Limit)
	defer cancel()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	started := time.Now()

	request, err := receive(conn)
	switch {
	case errors.Is(err, io.EOF):
		return // a connection that only looks whether the daemon is there is no request
	case err == nil && request.Type == wire.Outside:
		if caller.Runs(s.Wrapper) == nil {
			s.Unplaced(caller.Handle)
			s.Metrics.Placement(time.Since(started), CauseOutside)
		}
		return
	case err != nil || request.Type != wire.Prepare:
		s.finish(conn, caller, started, badRequest(err))
		return
	}
	s.finish(conn, caller, started, s.place(ctx, conn, caller, watch.Container{ID: request.Container}))
}

// place goes through the conversation of package wire. The error is what made
// it end early.
func (s *Server) place(ctx context.Context, conn *net.UnixConn, caller caller, container watch.Container) (failed error) {
	if err := caller.Runs(s.Wrapper); err != nil {
		return err
	}
	defer func() {
		var ended watch.EndedError // of those the container is not created
		if failed != nil && !errors.As(failed, &ended) {
			s.Unplaced(caller.Handle)
		}
	}()
	if caller.stranger {
		return errStranger
	}
	if err := s.seesOurs(caller.Caller); err != nil {
		return err
	}
	place, err := s.Places(ctx, caller.Caller, container)
	if err != nil {
		return err
	}
	claim, err := newClaim()
	if err != nil {
		return err
	}
	defer claim.close()
	if err := failpoint.At(failpoint.Prepared); err != nil {
		return err
	}
	if err := claim.sendWith(conn, wire.Message{Type: wire.Prepared, CgroupsPath: place.CgroupsPath()}); err != nil {
		return errGivenUp
	}
	answer, err := receive(conn)
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		return errGivenUp
	}
	if err != nil || answer.Type != wire.Enter {
		return badRequest(err)
	}
	err = place.Enter(func() error {
		// Looked at again: the wrapper may have become the runtime meanwhile, and
		// the runtime must not be moved.
		if err := caller.Runs(s.Wrapper); err != nil {
			return err
		}
		if err := failpoint.At(failpoint.Claim); err != nil {
			return err
		}
		if ctx.Err() != nil || !claim.take() {
			return errGivenUp
		}
		return nil
	})
	if err != nil {
		return err
	}
	_ = failpoint.At(failpoint.Entered)
	// The caller is placed, even if the request's time is over or the answer gets
	// lost: a wrapper that misses it looks where it is.
	_ = conn.SetWriteDeadline(time.Now().Add(answerTime))
	_ = send(conn, wire.Message{Type: wire.Entered})
	return nil
}

// errElsewhere is for a caller for whom the path of a cgroup means another one than
// for us: its container would be made elsewhere, or not at all.
var errElsewhere = errors.New("the build runs in a cgroup namespace of its own")

// errStranger is for a caller who is nobody here.
var errStranger = errors.New("the build runs as root of another user or PID namespace, or as a user whom this host does not know")

// seesOurs reports whether the caller is in the daemon's own cgroup namespace.
//
// Source: cgroup_namespaces(7).
func (s *Server) seesOurs(caller owners.Caller) error {
	its := proc.Namespace(caller.PID, "cgroup")
	if !caller.Alive() {
		return errGivenUp
	}
	if its != s.cgroups {
		return errElsewhere
	}
	return nil
}

var errGivenUp = errors.New("the caller has given up")

// badRequestError is a request that no wrapper sends.
type badRequestError struct{ err error }

func (e badRequestError) Error() string { return "bad request: " + e.err.Error() }

func badRequest(err error) error {
	if err == nil {
		err = errors.New("a message out of turn")
	}
	return badRequestError{err}
}

// answerTime is how long a refusal may take to be sent. It fits into the
// socket's buffer, or into nothing.
const answerTime = 50 * time.Millisecond

// finish answers a request that has failed, and counts it either way.
func (s *Server) finish(conn *net.UnixConn, caller caller, started time.Time, err error) {
	cause := causeOf(err)
	s.Metrics.Placement(time.Since(started), cause)
	// The request's own time may be what is over.
	_ = conn.SetWriteDeadline(time.Now().Add(answerTime))
	var ended watch.EndedError
	switch {
	case err == nil:
		return
	case errors.As(err, &ended):
		_ = send(conn, wire.Message{Type: wire.Ended, Reason: ended.Words()})
	case cause == CauseOutside:
		_ = send(conn, wire.Message{Type: wire.Refused, Reason: err.Error()})
	default:
		_ = send(conn, wire.Message{Type: wire.Refused, Reason: string(cause)})
	}
	log := s.Log.WithError(err).WithFields(logrus.Fields{"pid": caller.PID, "uid": caller.UID, "cause": string(cause)})
	if cause != CauseSystemd && cause != CauseCgroup {
		// What any user can bring about at will is not for the log of a daemon in
		// normal operation.
		log.Debugf("A container was not placed (%s)", cause)
	} else if suppressed, ok := s.repeats.Allow(fmt.Sprint(cause, s.Limiter.Accounts.OfUID(caller.UID)), time.Now()); ok {
		log.WithField("suppressed", suppressed).Warnf("A container was not placed (%s): its step runs unwatched", cause)
	}
}

// loggedRepeats is how many causes, each of one user's, are told apart in the log.
const loggedRepeats = 256

// causeOf sorts an error by who has to look at it.
func causeOf(err error) Cause {
	var bad badRequestError
	var ended watch.EndedError
	switch {
	case err == nil:
		return CauseNone
	case errors.As(err, &bad):
		return CauseBadRequest
	case errors.As(err, &ended), errors.Is(err, owners.ErrNoBuilder), errors.Is(err, watch.ErrTooMany), errors.Is(err, proc.ErrOtherProgram),
		errors.Is(err, proc.ErrHangs):
		return CauseRefused
	case errors.Is(err, errElsewhere), errors.Is(err, errStranger):
		return CauseOutside
	case errors.Is(err, errGivenUp), errors.Is(err, proc.ErrGone), errors.Is(err, scopes.ErrLeft), errors.Is(err, scopes.ErrBusy):
		return CauseTimeout
	case errors.Is(err, scopes.ErrNoSystemd), errors.Is(err, scopes.ErrUnitExists), errors.Is(err, scopes.ErrUnbounded), errors.Is(err, context.DeadlineExceeded):
		return CauseSystemd
	default:
		return CauseCgroup
	}
}
