// Package survivors looks at what is left of a build after SIGKILL: in what state
// its processes are, what they wait for, and whether they can be freed. Where they
// wait for a FUSE server that does not answer, it aborts the connection, if that is
// the build's own by the rule in rule.go; where the storage of a dead rootless build
// is served by a fuse-overlayfs, it ends that.
//
// It reads /proc, the mount tables in it, and the FUSE control file system. Nothing
// that it reads is answered by a file system that may hang, and what could hang all
// the same is left behind with its goroutine, of which there is a bounded number
// (proc.Reader). It decides nothing about builds, and signals no process but
// fuse-overlayfs.
package survivors

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/procfs"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/share"
)

// Control is where the kernel lists FUSE connections: a mount of fusectl.
//
// Source: linux, Documentation/filesystems/fuse/fuse.rst, "Control filesystem".
const Control = "/sys/fs/fuse/connections"

// Examiner finds out what processes that outlived SIGKILL wait for. It is safe for
// concurrent use.
type Examiner struct {
	aborts  bool
	control control
	reader  *proc.Reader
	procs   procfs.FS
}

// New returns an examiner that reads through reader, so that the bound on reads
// that hang is one for all. Without aborts it only looks.
func New(aborts bool, reader *proc.Reader) (*Examiner, error) {
	procs, err := procfs.NewDefaultFS()
	return &Examiner{aborts: aborts, control: control{Control}, reader: reader, procs: procs}, err
}

// Bounds on one look.
const (
	lookTime     = 500 * time.Millisecond // for one process
	scanTime     = 2 * time.Second        // for all processes of the host
	maxProcesses = 64                     // of the build, looked at in detail
	maxThreads   = 256                    // of one process
)

// Case is what is known of one build's survivors from look to look. It is used by
// one goroutine at a time.
type Case struct {
	examiner *Examiner
	uid      uint32
	waited   map[uint32]time.Time // connections, by the first look that saw requests waiting
	outcome  map[uint32]api.Abort // by connection, of the last look
	blockers map[uint32]int       // the process that speaks against an abort
}

// Open begins a case: of a build of the UID.
func (e *Examiner) Open(uid uint32) *Case {
	return &Case{examiner: e, uid: uid, waited: map[uint32]time.Time{}, outcome: map[uint32]api.Abort{}, blockers: map[uint32]int{}}
}

// Remains is what is left of a build.
type Remains struct {
	PIDs []int // its processes, as its cgroups have them
	// Builders are processes that work for the build alone: they and their children
	// are no strangers to its mounts. An API service is none.
	Builders []int
}

// Report is what a look has found. Its parts are not shared with the Case.
type Report struct {
	Processes map[int]Process // by PID; not those that ended meanwhile
	Aborted   []uint32        // FUSE connections that this look has aborted
}

// Process is what is known of one survivor.
type Process struct {
	State string // of the thread that waits deepest, one letter; "?" where it could not be read in time
	WChan string // the kernel function in which that thread waits
	Waits []api.Wait
}

// Look looks at the processes, and notes which connections have requests waiting.
// Nothing is changed.
func (c *Case) Look(ctx context.Context, left Remains) Report {
	report, seen := c.look(ctx, left.PIDs)
	seen.close()
	return report
}

// Free looks, and aborts the FUSE connections for which the processes wait where
// the rule allows it.
func (c *Case) Free(ctx context.Context, left Remains) Report {
	report, seen := c.look(ctx, left.PIDs)
	defer seen.close()
	for number, conn := range seen.connections {
		verdict := c.judge(ctx, number, conn, seen, left)
		if verdict.abort == api.AbortDone {
			report.Aborted = append(report.Aborted, number)
		}
		c.outcome[number], c.blockers[number] = verdict.abort, verdict.by
	}
	c.describe(report)
	return report
}

// accountOf is whose reads of the first of the processes count as. Of one that has ended
// there is nothing to read.
func (e *Examiner) accountOf(pids []int) share.Account {
	if len(pids) == 0 {
		return share.Account{}
	}
	h, err := proc.Open(pids[0])
	if err != nil {
		return share.Account{}
	}
	defer h.Close()
	uid, err := h.UID()
	if err != nil {
		return share.Account{}
	}
	return e.reader.OfProcess(h, uid)
}

// sight is what one look has seen.
type sight struct {
	threads     []thread
	connections map[uint32]opened // that the threads can reach
	host        scan              // made after the connections were opened, if any has requests waiting
	hostErr     error
}

// opened is a connection, or what kept it from being opened.
type opened struct {
	connection
	err error
}

func (s sight) close() {
	for _, conn := range s.connections {
		if conn.err == nil {
			conn.close()
		}
	}
}

// look looks at each process, with a deadline each, and at what they may wait for.
func (c *Case) look(ctx context.Context, pids []int) (Report, sight) {
	report := Report{Processes: map[int]Process{}}
	seen := sight{connections: map[uint32]opened{}}
	for _, pid := range pids[:min(len(pids), maxProcesses)] {
		limit, cancel := context.WithTimeout(ctx, lookTime)
		found, err := proc.Within(limit, c.examiner.reader, c.examiner.accountOf([]int{pid}), func() (thread, error) { return c.examiner.deepest(pid) })
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			report.Processes[pid] = Process{State: "?"}
			continue
		case err != nil:
			continue // it has ended
		}
		seen.threads = append(seen.threads, found)
		report.Processes[pid] = Process{State: found.state, WChan: found.wchan}
	}
	waiting := c.open(seen)
	if len(waiting) > 0 {
		limit, cancel := context.WithTimeout(ctx, scanTime)
		seen.host, seen.hostErr = proc.Within(limit, c.examiner.reader, c.examiner.reader.OfUID(c.uid), c.examiner.scan)
		cancel()
	}
	for _, t := range seen.threads {
		p := report.Processes[t.pid]
		p.Waits = t.waits(waiting)
		for i := range p.Waits {
			p.Waits[i].Servers = seen.host.serverPIDs(p.Waits[i].Connection)
		}
		report.Processes[t.pid] = p
	}
	c.describe(report)
	return report, seen
}

// open opens the connections that the threads can reach, notes which have requests
// waiting, and returns how many; -1 where that can't be told.
func (c *Case) open(seen sight) (waiting map[uint32]int) {
	waiting = map[uint32]int{}
	now := time.Now()
	for _, t := range seen.threads {
		for _, m := range t.mounts {
			if _, known := seen.connections[m.device]; known || !m.fuse {
				continue
			}
			conn, err := c.examiner.control.open(m.device)
			seen.connections[m.device] = opened{conn, err}
			n := 0
			if err == nil {
				n, err = conn.waiting()
			}
			switch {
			case err != nil:
				waiting[m.device] = -1
			case n == 0:
				delete(c.waited, m.device)
			default:
				waiting[m.device] = n
				if _, ok := c.waited[m.device]; !ok {
					c.waited[m.device] = now
				}
			}
		}
	}
	return waiting
}

// describe adds to the waits what became of their connections.
func (c *Case) describe(r Report) {
	for _, p := range r.Processes {
		for i := range p.Waits {
			if number := p.Waits[i].Connection; number != 0 {
				p.Waits[i].Abort, p.Waits[i].AbortPID = c.outcome[number], c.blockers[number]
			}
		}
	}
}
