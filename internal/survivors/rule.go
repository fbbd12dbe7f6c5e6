package survivors

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/api"
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
	off     bool          // by the configuration
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
	case f.off:
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

// servedByUs reports whether who serves the connection does not speak against an abort.
func (f facts) servedByUs() bool {
	return f.serving != byAnother && (f.serving != byUser || !f.others)
}

// judge decides about one connection that the threads can reach, and aborts it if
// that is the verdict. Its number may have come to mean another one since it was
// opened: its directory has not.
func (c *Case) judge(ctx context.Context, number uint32, conn opened, seen sight, left Remains) verdict {
	f := facts{off: !c.examiner.aborts, owner: c.uid, opened: conn.err}
	if f.off || f.opened != nil {
		return decide(f)
	}
	var waitErr, mountErr error
	f.waiting, waitErr = conn.waiting()
	f.mounter, mountErr = conn.mounter()
	f.unsure = errors.Join(waitErr, mountErr)
	if first, ok := c.waited[number]; ok {
		f.waited = time.Since(first)
	}
	if f.unsure == nil && f.waiting > 0 && f.mounter == f.owner {
		c.surroundings(ctx, &f, number, seen, left)
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

// errNotScanned is for a connection whose requests began to wait during the look.
var errNotScanned = errors.New("the host was not looked through")

// surroundings finds out who serves the connection, and who else uses it.
func (c *Case) surroundings(ctx context.Context, f *facts, number uint32, seen sight, left Remains) {
	switch {
	case seen.hostErr != nil:
		f.unsure = seen.hostErr
		return
	case seen.host.processes == nil:
		f.unsure = errNotScanned
		return
	}
	inside := func(p process) bool { return slices.Contains(left.PIDs, p.PID) }
	home := []string{proc.Namespace(1, "mnt")}
	for _, t := range seen.threads {
		home = append(home, t.namespace)
		for _, m := range t.mounts {
			f.others = f.others || m.device == number && m.others
		}
	}
	sure, perhaps := seen.host.servers(number)
	f.serving, f.server = who(sure, perhaps, c.uid, proc.Namespace(os.Getpid(), "pid"), inside, process.isHelper)
	if !f.servedByUs() {
		return
	}
	excused := seen.host.family(left)
	for _, p := range sure {
		excused[p.PID] = true
	}
	for _, p := range slices.Concat(sure, perhaps) {
		home = append(home, p.namespace)
	}
	ctx, cancel := context.WithTimeout(ctx, scanTime)
	defer cancel()
	f.used, f.unsure = proc.Within(ctx, c.examiner.reader, c.examiner.reader.OfUID(c.uid), func() (int, error) {
		return c.examiner.user(ctx, seen.host, number, f.mounter, f.others, home, func(p process) bool { return excused[p.PID] })
	})
}

// who tells who serves a connection: whoever of the servers is least the build's.
// Where the kernel does not say whose connection is whose, each that holds some
// connection counts.
func who(sure, perhaps []process, uid uint32, pidNamespace string, inside, isHelper func(process) bool) (serving, int) {
	kind, server := byNobody, 0
	for _, p := range slices.Concat(sure, perhaps) {
		this := byAnother
		switch {
		case inside(p):
			this = byBuild
		case p.helps(uid, isHelper):
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
