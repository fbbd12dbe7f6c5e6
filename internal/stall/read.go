package stall

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/share"
)

// Bounds on one look. A build with more may go on.
const (
	maxProcesses = 256
	maxThreads   = 2048
	maxLook      = 500 * time.Millisecond
)

// Bounds on the looks that may be under way, and so hang, each in a thread of the
// daemon. A build for whose look there is no place is not looked at.
const (
	looksOfUser  = 2
	looksOfUsers = 16
	looksSpare   = 4 // of these, for users who have none under way
	looksOfRoot  = 8
)

var looks = share.Bounds{User: looksOfUser, Users: looksOfUsers, Spare: looksSpare, Few: 1, Root: looksOfRoot}

// Reader reads what threads wait in. It is safe for concurrent use. The zero
// value is not usable; see NewReader.
type Reader struct {
	accounts *proc.Accounts
	places   *share.Pool
	read     func(ctx context.Context, pids []int) Sample // sample, but in tests
}

// NewReader returns a reader of /proc that counts looks for these accounts.
func NewReader(accounts *proc.Accounts) *Reader {
	return &Reader{accounts: accounts, places: share.NewPool(looks), read: sample}
}

// InFlight is how many looks are under way, and so may hang.
func (r *Reader) InFlight() int { return r.places.InUse() }

// Sample looks at the processes of a user's build. A look that takes too long is left
// behind, and goes on holding its place: some of what is read, a process can make
// the kernel wait for.
func (r *Reader) Sample(ctx context.Context, uid uint32, pids []int) Sample {
	if len(pids) == 0 || len(pids) > maxProcesses || ctx.Err() != nil {
		return Sample{}
	}
	release, ok := r.places.Take(r.accounts.OfUID(uid))
	if !ok {
		return Sample{}
	}
	ctx, cancel := context.WithTimeout(ctx, maxLook)
	defer cancel()
	s, err := proc.Aside(ctx, release, func() (Sample, error) { return r.read(ctx, pids), nil })
	if err != nil {
		return Sample{}
	}
	return s
}

// errMayGoOn ends a look at the first thread that is not known to hang.
var errMayGoOn = errors.New("something of the build may go on")

// sample stops at the first thread that may go on.
func sample(ctx context.Context, pids []int) Sample {
	l := look{threads: maxThreads}
	var build []Process
	for _, pid := range pids {
		p, err := l.process(ctx, pid)
		if err != nil {
			return Sample{}
		}
		build = append(build, p)
	}
	return Sample{Hung: hung(build), Marks: l.marks.String()}
}

// look is one look at one build.
type look struct {
	threads int // how many more may be looked at
	marks   strings.Builder
}

// process looks at one process.
func (l *look) process(ctx context.Context, pid int) (Process, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return Process{}, err
	}
	stat, err := p.Stat()
	if err != nil {
		return Process{}, err
	}
	found := Process{PID: pid, PPID: stat.PPID, Command: stat.Comm}
	found.Emulator, found.Arch = proc.Emulation(proc.Exe(pid))
	if hasTimers(pid) {
		return found, errMayGoOn
	}
	threads, err := procfs.AllThreads(pid)
	if err != nil {
		return found, err
	}
	if l.threads -= len(threads); l.threads < 0 {
		return found, errMayGoOn
	}
	for _, thread := range threads {
		wait, err := l.wait(pid, thread)
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && wait == MayGoOn {
			err = errMayGoOn
		}
		if err != nil {
			return found, err
		}
		found.Threads = append(found.Threads, wait)
	}
	return found, nil
}

// hasTimers reports whether the process has a timer that may send it a signal. In
// doubt it has none: kernels without checkpoint and restore do not tell. Nor do any
// of setitimer(2) and alarm(2).
//
// Source: linux, fs/proc/base.c, proc_timers_operations.
func hasTimers(pid int) bool {
	file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/timers")
	if err != nil {
		return false
	}
	defer file.Close()
	n, _ := file.Read(make([]byte, 1))
	return n > 0
}

// wait tells what a thread waits for, and leaves its mark. What is cheap and waits
// for nothing is read first.
func (l *look) wait(pid int, thread procfs.Proc) (Wait, error) {
	stat, err := thread.Stat()
	if err != nil {
		return MayGoOn, err
	}
	if stat.State == "Z" || stat.State == "X" {
		fmt.Fprintf(&l.marks, "%d %d ended\n", thread.PID, stat.Starttime)
		return Ended, nil
	}
	wchan, err := thread.Wchan() // empty on kernels that have no names for it
	if err != nil || stat.State != "S" || wchan != "" && !strings.Contains(wchan, "futex") && wchan != "do_wait" {
		return MayGoOn, err
	}
	call, err := proc.SyscallOf(pid, thread.PID)
	if err != nil {
		return MayGoOn, err
	}
	wait := waitOf(call)
	if wait == Monitor {
		// It runs once a minute, and does nothing: it leaves no mark of that.
		fmt.Fprintf(&l.marks, "%d %d monitor\n", thread.PID, stat.Starttime)
		span, err := proc.TimespecAt(pid, call.Args[futexTimeout])
		if err != nil || span != goMonitor {
			return MayGoOn, err
		}
		return Monitor, nil
	}
	status, err := thread.NewStatus()
	if err != nil {
		return MayGoOn, err
	}
	fmt.Fprintf(&l.marks, "%d %d %d %d\n", thread.PID, stat.Starttime, status.VoluntaryCtxtSwitches, status.NonVoluntaryCtxtSwitches)
	return wait, nil
}

// goMonitor is how long the Go runtime's monitor thread (sysmon) waits while all of
// a program's threads do and no timer runs: half of what lies between two forced
// garbage collections. The wait is one in a futex, private, for the value 0, for
// exactly this time. No C library waits so: glibc's waits with a timeout end at a
// point of time (FUTEX_WAIT_BITSET), musl's last what is left until one.
//
// A Go program that sleeps itself has a thread in epoll_pwait(2) as well.
//
// Source: go, src/runtime/proc.go, sysmon and forcegcperiod; src/runtime/os_linux.go,
// futexsleep. qemu, linux-user/syscall.c, do_futex: the guest's timeout is the host's.
const goMonitor = time.Minute

// Arguments of futex(2).
const futexOp, futexValue, futexTimeout = 1, 2, 3

// What FUTEX_… of linux, include/uapi/linux/futex.h, matters here.
const (
	futexWait       = 0
	futexWaitBitset = 9
	futexPrivate    = 128
	futexRealtime   = 256
)

// waitOf tells what a system call waits for. Monitor is a guess, see goMonitor.
func waitOf(call proc.Syscall) Wait {
	switch call.Number {
	case unix.SYS_WAIT4, unix.SYS_WAITID:
		return Child
	case unix.SYS_FUTEX:
		op, value := uint32(call.Args[futexOp]), uint32(call.Args[futexValue]) // the upper halves are anything
		command := op &^ (futexPrivate | futexRealtime)
		switch {
		case call.Args[futexTimeout] == 0 && (command == futexWait || command == futexWaitBitset):
			return Futex
		case op == futexWait|futexPrivate && value == 0:
			return Monitor
		}
	}
	return MayGoOn
}
