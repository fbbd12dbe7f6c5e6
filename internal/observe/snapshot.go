package observe

import (
	"bytes"
	"errors"
	"os"
	"strconv"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// entry is what one look at /proc says of one process.
type entry struct {
	proc.Identity
	ppid int
	comm string
}

// snapshot is one look at every process, by PID. It is not taken at one instant:
// what it says of a parent holds only for one that is held and still alive.
type snapshot map[int]entry

// look reads /proc/PID/stat of every process: a file that the kernel writes
// without the process's memory, so that no process can make it wait.
func look() (snapshot, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	all := make(snapshot, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		content, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		if e, err := parseStat(content); err == nil && e.PID == pid {
			all[pid] = e
		}
	}
	return all, nil
}

var errStat = errors.New("not a line of /proc/PID/stat")

// parseStat reads PID, comm, parent and start time. comm is the process's own
// choice and may hold anything, parentheses and line ends too: the kernel's own
// fields begin after the last parenthesis (CVE-2021-25683 got that wrong).
//
// Source: proc_pid_stat(5), fields 1, 2, 4 and 22.
func parseStat(line []byte) (entry, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return entry{}, errStat
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line[:open])))
	if err != nil || pid <= 0 {
		return entry{}, errStat
	}
	const ppid, start = 1, 19 // counted from field 3
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
