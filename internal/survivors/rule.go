package survivors

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/internal/api"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// minWait is how long apart requests must have been seen waiting, and the processes
// that wait for them not ending: a server that answers at all has answered by then.
const minWait = time.Second

// serving is who serves a connection, as seen from the build.
type serving int

const (
	byNobody  serving = iota // every holder of its device is gone
	byBuild                  // processes of the build, all of which have got SIGKILL
	byHelper                 // fuse-overlayfs, of the build's user
	byUser                   // other processes of the build's user, in the host's PID namespace
	byAnother                // somebody else, or it can't be told
)

// facts is all that the decision about one connection rests on.
type facts struct {
	mode    Mode
	opened  error         // what kept its control directory from being opened
	waiting int           // requests
	waited  time.Duration // since requests were first seen waiting
	mounter uint32
	owner   uint32 // the build's user
	serving serving
	server  int  // a process that serves it from outside the build
	others  bool // mounted for other users too
	used    int  // a process outside the build that uses it
	unsure  error
}

// verdict is what is done about a connection, and whose PID speaks against it.
type verdict struct {
	abort api.Abort
	by    int
}

// decide applies the rule: a connection may be aborted only if all hold.
//
//   - it was mounted by the build's user;
//   - who serves it is dead, or of the build, or a helper of its storage; or it is the
//     user's own, mounted for no other user;
//   - no process outside the build uses it;
//   - requests were waiting twice, a second apart.
//
// An abort ends the file system for all its users. In doubt there is none.
func decide(f facts) verdict {
	switch {
	case f.mode == Never:
		return verdict{abort: api.AbortOff}
	case errors.Is(f.opened, errNoControl):
		return verdict{abort: api.AbortNoControl}
	case f.opened != nil, f.unsure != nil:
		return verdict{api.AbortUnsure, f.used}
	case f.waiting == 0:
		return verdict{abort: api.AbortNotNeeded}
	case f.mounter != f.owner:
		return verdict{abort: api.AbortMounter}
	case !f.servedByUs():
		return verdict{api.AbortServer, f.server}
	case f.used != 0:
		return verdict{api.AbortUsed, f.used}
	case f.waited < minWait:
		return verdict{abort: api.AbortLater}
	}
	return verdict{abort: api.AbortDone}
}

// servedByUs tells whether who serves the connection does not speak against an abort.
func (f facts) servedByUs() bool {
	return f.serving != byAnother && (f.serving != byUser || f.mode == OfUser && !f.others)
}

// judge decides about one connection that the threads can reach, and aborts it if
// that is the verdict.
func (c *Case) judge(ctx context.Context, number uint32, threads []thread, left Remains) verdict {
	f := facts{mode: c.examiner.mode, owner: c.uid}
	if f.mode == Never {
		return decide(f)
	}
	conn, err := c.examiner.control.open(number)
	if err != nil {
		f.opened = err
		return decide(f)
	}
	// From here on the number may come to mean another connection: this directory
	// does not.
	defer conn.close()
	var waitErr, mountErr error
	f.waiting, waitErr = conn.waiting()
	f.mounter, mountErr = conn.mounter()
	f.unsure = errors.Join(waitErr, mountErr)
	if first, ok := c.waited[number]; ok {
		f.waited = time.Since(first)
	}
	if f.unsure == nil && f.waiting > 0 && f.mounter == f.owner {
		c.surroundings(ctx, &f, number, threads, left)
	}
	v := decide(f)
	if v.abort != api.AbortDone {
		return v
	}
	if err := conn.abort(); err != nil {
		return verdict{abort: api.AbortUnsure}
	}
	return v
}

// surroundings finds out who serves the connection, and who else uses it.
func (c *Case) surroundings(ctx context.Context, f *facts, number uint32, threads []thread, left Remains) {
	ctx, cancel := context.WithTimeout(ctx, scanTime)
	defer cancel()
	type found struct {
		scan
		sure, perhaps []process
	}
	host, err := proc.Within(ctx, c.examiner.reader, func() (found, error) {
		s, err := c.examiner.scan()
		sure, perhaps := servers(s.processes, number)
		return found{s, sure, perhaps}, err
	})
	if err != nil {
		f.unsure = err
		return
	}
	inside := func(p process) bool { return slices.Contains(left.PIDs, p.PID) }
	family := host.family(left)
	var home []uint32
	for _, t := range threads {
		home = append(home, t.namespace)
		for _, m := range t.mounts {
			f.others = f.others || m.device == number && m.others
		}
	}
	f.serving, f.server = who(host.sure, host.perhaps, c.uid, c.examiner.pidNamespace(), inside)
	if !f.servedByUs() {
		return
	}
	for _, p := range append(host.sure, host.perhaps...) {
		home = append(home, p.namespace)
	}
	home = append(home, c.examiner.ownNamespace())
	serves := func(p process) bool {
		return slices.ContainsFunc(host.sure, func(s process) bool { return s.PID == p.PID })
	}
	f.used, f.unsure = proc.Within(ctx, c.examiner.reader, func() (int, error) {
		return c.examiner.user(ctx, host.scan, number, f.mounter, f.others, home,
			func(p process) bool { return family[p.PID] || serves(p) })
	})
}

// who tells who serves a connection: whoever of the servers is least the build's.
// Where the kernel does not say whose connection is whose, each that holds some
// connection counts.
func who(sure, perhaps []process, uid, pidNamespace uint32, inside func(process) bool) (serving, int) {
	kind, server := byNobody, 0
	for _, p := range append(slices.Clone(sure), perhaps...) {
		this := byAnother
		switch {
		case inside(p):
			this = byBuild
		case p.is(uid) && p.isHelper():
			this = byHelper
		case p.is(uid) && p.pidNamespace == pidNamespace:
			this = byUser
		}
		if this > kind {
			kind = this
		}
		if this == kind && kind > byBuild {
			server = p.PID
		}
	}
	return kind, server
}

// ownNamespace is the mount namespace of the host's first process.
func (e *Examiner) ownNamespace() uint32 {
	p, err := e.procs.Proc(1)
	if err != nil {
		return 0
	}
	return namespaceOf(p, "mnt")
}

func (e *Examiner) pidNamespace() uint32 {
	p, err := e.procs.Self()
	if err != nil {
		return 0
	}
	return namespaceOf(p, "pid")
}
