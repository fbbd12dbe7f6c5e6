package observe

import (
	"bytes"
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// entry is what one look at /proc says of one process.
type entry struct {
	proc.Identity
	ppid   int
	comm   string
	thread bool // of the kernel
	forked bool // it has executed nothing since it was forked, or is such a thread
	// args is where the arguments lie in its memory, which each execve(2) chooses by chance; 0
	// where that may not be seen.
	args uint64
}

// snapshot is one look at every process, by PID. It is not taken at one instant:
// what it says of a parent holds only for one that is held and still alive.
type snapshot map[int]entry

// A scanner takes snapshots. It remembers threads of the kernel, which are most of what is
// there on a small host: one look tells that a PID is such a thread still.
type scanner struct {
	threads map[int]entry
}

// kernelsParent is the parent of the kernel's threads.
// Source: linux, init/main.c, rest_init (kthreadd).
const kernelsParent = 2

// look reads /proc/PID/stat of every process: a file that the kernel writes
// without the process's memory, so that no process can make it wait. While a build runs
// looks come by the dozen, so each costs as few system calls as it can.
func (s *scanner) look() (snapshot, error) {
	dir, pids, err := listProcesses()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	all := make(snapshot, len(pids))
	threads := make(map[int]entry, len(s.threads))
	buffer := make([]byte, maxStat)
	for _, pid := range pids {
		name := strconv.Itoa(pid)
		if e, known := s.threads[pid]; known && hasNoProgram(dir, name) {
			all[pid], threads[pid] = e, e
			continue
		}
		e, err := readEntry(dir, name, buffer)
		if err != nil {
			continue // it has ended meanwhile
		}
		if e.thread {
			threads[pid] = e
		}
		all[pid] = e
	}
	s.threads = threads
	return all, nil
}

// listProcesses opens /proc and lists the PIDs in it.
func listProcesses() (dir *os.File, pids []int, err error) {
	fd, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) // Go's poller is not for it
	if err != nil {
		return nil, nil, err
	}
	dir = os.NewFile(uintptr(fd), "/proc")
	names, err := dir.Readdirnames(-1)
	if err != nil {
		dir.Close()
		return nil, nil, err
	}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return dir, pids, nil
}

// readEntry reads what is said of a process.
func readEntry(dir *os.File, pid string, buffer []byte) (entry, error) {
	content, err := readAt(int(dir.Fd()), pid+"/stat", buffer)
	if err != nil {
		return entry{}, err
	}
	e, err := parseStat(content)
	if err == nil && strconv.Itoa(e.PID) != pid {
		err = errStat
	}
	e.thread = err == nil && e.ppid == kernelsParent && hasNoProgram(dir, pid)
	return e, err
}

// maxStat is more than a line of /proc/PID/stat can have: 52 numbers, and a comm.
const maxStat = 2048

// readAt reads a small file of the kernel's below a directory, which it gives in one read.
func readAt(dir int, path string, buffer []byte) ([]byte, error) {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	n, err := unix.Read(fd, buffer)
	_ = unix.Close(fd)
	return buffer[:max(0, n)], err
}

// hasNoProgram reports whether a process runs no file: a thread of the kernel, or one that
// has ended and is not reaped. What may not be read is one that has.
func hasNoProgram(dir *os.File, pid string) bool {
	var target [1]byte
	_, err := unix.Readlinkat(int(dir.Fd()), pid+"/exe", target[:])
	return errors.Is(err, unix.ENOENT)
}

var errStat = errors.New("not a line of /proc/PID/stat")

// parseStat reads PID, comm, parent and start time. comm is the process's own
// choice and may hold anything, parentheses and line ends too: the kernel's own
// fields begin after the last parenthesis (CVE-2021-25683 got that wrong).
//
// Source: proc_pid_stat(5), fields 1, 2, 4, 9, 22 and 48; linux, include/linux/sched.h, PF_FORKNOEXEC.
func parseStat(line []byte) (entry, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return entry{}, errStat
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line[:open])))
	if err != nil || pid <= 0 {
		return entry{}, errStat
	}
	const ppid, flags, start, args = 1, 6, 19, 45 // counted from field 3
	fields := bytes.Fields(line[end+1:])
	if len(fields) <= start {
		return entry{}, errStat
	}
	e := entry{Identity: proc.Identity{PID: pid}, comm: string(line[open+1 : end])}
	if e.ppid, err = strconv.Atoi(string(fields[ppid])); err != nil || e.ppid < 0 {
		return entry{}, errStat
	}
	if e.Start, err = strconv.ParseUint(string(fields[start]), 10, 64); err != nil {
		return entry{}, errStat
	}
	if bits, err := strconv.ParseUint(string(fields[flags]), 10, 64); err == nil {
		e.forked = bits&proc.ForkedNoExec != 0
	}
	if len(fields) > args {
		e.args, _ = strconv.ParseUint(string(fields[args]), 10, 64)
	}
	return e, nil
}

// view is a snapshot, and what many steps ask of it.
type view struct {
	all   snapshot
	below map[int][]entry
	uts   map[string][]entry // by UTS namespace; nil until it is asked for
}

func (s snapshot) view() *view { return &view{all: s, below: s.children()} }

// inUTS lists the processes that are in the namespace.
func (v *view) inUTS(name string) []entry {
	if v.uts == nil {
		v.uts = map[string][]entry{}
		for pid, e := range v.all {
			in := proc.Namespace(pid, "uts")
			v.uts[in] = append(v.uts[in], e)
		}
	}
	return v.uts[name]
}

// children lists each process's children.
func (s snapshot) children() map[int][]entry {
	below := make(map[int][]entry, len(s))
	for _, e := range s {
		below[e.ppid] = append(below[e.ppid], e)
	}
	return below
}
