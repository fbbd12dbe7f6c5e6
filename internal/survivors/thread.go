package survivors

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// thread is a thread of a survivor, and what it can reach.
type thread struct {
	pid, tid  int
	state     string
	wchan     string
	namespace string  // its mount namespace
	mounts    []mount // in that namespace
	file      string  // the open file that its system call is about, if any
	fileMount int     // the ID of the mount that the file is on
}

// depth orders thread states by how much they have to do with a process's not
// ending.
const depth = "ZXISRTtD"

// deepest looks at the thread of the process that waits deepest: one in
// uninterruptible sleep rather than any other, one that has ended last. The
// process's first thread may be a zombie while others live.
func (e *Examiner) deepest(pid int) (thread, error) {
	threads, err := e.procs.AllThreads(pid)
	if err != nil {
		return thread{}, err
	}
	best, bestDepth := procfs.Proc{}, -2
	var state string
	for _, t := range threads[:min(len(threads), maxThreads)] {
		stat, err := t.Stat()
		if err != nil {
			continue
		}
		if d := strings.Index(depth, stat.State); d > bestDepth {
			best, bestDepth, state = t, d, stat.State
		}
	}
	if state == "" {
		return thread{}, proc.ErrGone
	}
	found := thread{pid: pid, tid: best.PID, state: state}
	if wchan, err := best.Wchan(); err == nil && wchan != "0" {
		found.wchan = wchan
	}
	found.namespace = proc.Namespace(best.PID, "mnt")
	// One that is past the end of its namespaces has none left.
	if infos, err := best.MountInfo(); err == nil {
		found.mounts = mountsOf(infos)
	}
	found.file, found.fileMount = found.openFile()
	return found, nil
}

func (t thread) path(name string) string {
	return "/proc/" + strconv.Itoa(t.pid) + "/task/" + strconv.Itoa(t.tid) + "/" + name
}

// onDescriptor are system calls that are about the file of a descriptor, and which
// of their arguments that is.
var onDescriptor = map[int]int{
	unix.SYS_READ: 0, unix.SYS_WRITE: 0, unix.SYS_READV: 0, unix.SYS_WRITEV: 0,
	unix.SYS_PREAD64: 0, unix.SYS_PWRITE64: 0, unix.SYS_PREADV: 0, unix.SYS_PWRITEV: 0,
	unix.SYS_PREADV2: 0, unix.SYS_PWRITEV2: 0,
	unix.SYS_FSYNC: 0, unix.SYS_FDATASYNC: 0, unix.SYS_SYNC_FILE_RANGE: 0, unix.SYS_SYNCFS: 0,
	unix.SYS_FSTAT: 0, unix.SYS_FSTATFS: 0, unix.SYS_FTRUNCATE: 0, unix.SYS_FALLOCATE: 0,
	unix.SYS_LSEEK: 0, unix.SYS_FLOCK: 0, unix.SYS_FCNTL: 0, unix.SYS_IOCTL: 0,
	unix.SYS_GETDENTS64: 0, unix.SYS_FCHMOD: 0, unix.SYS_FCHOWN: 0, unix.SYS_FCHDIR: 0,
	unix.SYS_CLOSE: 0, unix.SYS_READAHEAD: 0, unix.SYS_COPY_FILE_RANGE: 0, unix.SYS_SPLICE: 0,
	unix.SYS_SENDFILE: 1,
	unix.SYS_MMAP:     4,
}

// openFile finds the file of the thread's system call, by what the kernel says of
// its registers and its descriptors; and the mount that it is on. Where the call
// names no descriptor, as open(2), neither is known.
func (t thread) openFile() (name string, mountID int) {
	call, err := proc.SyscallOf(t.pid, t.tid)
	at, known := onDescriptor[call.Number]
	if err != nil || !known {
		return "", 0
	}
	fd := strconv.FormatInt(int64(int32(call.Args[at])), 10)
	name, err = os.Readlink(t.path("fd/" + fd))
	if err != nil {
		return "", 0
	}
	return name, mountIDOf(t.path("fdinfo/" + fd))
}

// waits says what the thread may wait for: the file that its system call is about,
// or each FUSE mount within its reach that has requests waiting.
func (t thread) waits(waiting map[uint32]int) []api.Wait {
	if t.state == "Z" || t.state == "X" {
		return nil
	}
	if t.file != "" {
		at := slices.IndexFunc(t.mounts, func(m mount) bool { return m.id == t.fileMount })
		if at < 0 {
			return []api.Wait{{File: t.file}}
		}
		return []api.Wait{t.mounts[at].wait(t.file, waiting)}
	}
	var all []api.Wait
	var seen []uint32
	for _, m := range t.mounts {
		if m.fuse && waiting[m.device] != 0 && !slices.Contains(seen, m.device) {
			seen = append(seen, m.device)
			all = append(all, m.wait("", waiting))
		}
	}
	return all
}
