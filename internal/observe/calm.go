package observe

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// calm is what the host was like at the last look for orphans. While nothing is built, the
// next one would find something only in what has begun since, and in what has lost its
// parent: that costs a twentieth.
type calm struct {
	from    time.Time   // of that look
	births  births      // before it
	parents map[int]int // of each process that was there, but for those that will yet become something
}

// calmMost is how long it is believed. A program that builds and that is installed elsewhere, executed
// in the place of a process which was there before, is not noticed before it has a
// child; and after as many births as there are PIDs one may be another process's.
const calmMost = 10 * time.Minute

// births changes whenever a process or a thread begins in this PID namespace, and, where
// that is the host's, whenever one ends.
type births struct{ threads, last string }

// readBirths reads it; the zero value where that fails, which is like no other.
//
// Source: proc_loadavg(5); linux, fs/proc/loadavg.c, loadavg_proc_show: the threads of all
// namespaces, the last PID of the reader's.
func readBirths() births {
	text, err := readAt(unix.AT_FDCWD, "/proc/loadavg", make([]byte, 128))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 5 {
		return births{}
	}
	_, threads, _ := strings.Cut(fields[3], "/")
	return births{threads, fields[4]}
}

func newCalm(before births, all snapshot) calm {
	c := calm{from: time.Now(), births: before, parents: make(map[int]int, len(all))}
	young := bornSince(time.Now().Add(-settling))
	for _, e := range all {
		c.add(e, young)
	}
	return c
}

// settling is how long a process may take that was forked to execute what it was forked for.
const settling = 10 * time.Second

// bornSince is the Identity.Start of a process that begins at that time; 0, for all, where it can't be told.
func bornSince(at time.Time) uint64 {
	_, boot, err := proc.Boot()
	if err != nil {
		return 0
	}
	return uint64(max(0, at.Sub(boot)) / proc.Tick)
}

// add takes up a process. What has executed nothing since it was forked is taken up when it is not
// young any more: before, it may yet execute a monitor.
func (c calm) add(e entry, young uint64) {
	if !e.forked || e.thread || e.Start < young {
		c.parents[e.PID] = e.ppid
	}
}

// stillCalm reports whether a look for orphans would find nothing.
func (f *Follower) stillCalm() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active || len(f.steps)+len(f.lost)+len(f.known)+len(f.fresh) > 0 || time.Since(f.calm.from) > calmMost {
		return false
	}
	now := readBirths()
	if now == (births{}) || now != f.calm.births && !f.onlyOthersBegan() { // before the list: what comes later is news
		return false
	}
	f.calm.births = now
	f.swept.Store(time.Now().UnixMilli())
	return true
}

// onlyOthersBegan lists the processes, and reports whether what is new can't be a build's. It is called
// with the lock.
func (f *Follower) onlyOthersBegan() bool {
	dir, pids, err := listProcesses()
	if err != nil {
		return false
	}
	defer dir.Close()
	buffer := make([]byte, maxStat)
	return f.onlyOthers(pids, func(pid int) (entry, error) { return readEntry(dir, strconv.Itoa(pid), buffer) })
}

// onlyOthers looks at those of the processes that have begun since, or have lost their parent,
// and reports whether none of them can be a build's.
func (f *Follower) onlyOthers(pids []int, read func(pid int) (entry, error)) bool {
	slices.Sort(pids)
	now := calm{from: f.calm.from, parents: make(map[int]int, len(pids))}
	reaper, young := proc.Exe(1), bornSince(time.Now().Add(-settling))
	for _, pid := range pids {
		parent, known := f.calm.parents[pid]
		if _, lives := slices.BinarySearch(pids, parent); known && (lives || parent == 0) {
			now.parents[pid] = parent
			continue
		}
		e, err := read(pid)
		if err != nil {
			continue // it has ended meanwhile
		}
		exe, above := proc.Exe(e.PID), proc.Exe(e.ppid)
		if mayBuild(exe) || mayBuild(above) || podman.IsNamespaceCopy(exe) || mayBeMonitor(e.comm, exe, above) || f.orphaned(e, reaper) != "" {
			return false
		}
		now.add(e, young)
	}
	f.calm = now
	return true
}

// orphaned is the name of the step that a process seems to be left of, by where it is: systemd has
// adopted it, and it is in a place that only builds use; or "".
func (f *Follower) orphaned(e entry, reaper string) string {
	if e.PID == 1 || proc.Exe(e.ppid) != reaper || proc.Namespace(e.ppid, "pid") != f.host.pid {
		return ""
	}
	cgroup, root := proc.Cgroup(e.PID), ""
	if proc.Namespace(e.PID, "pid") == f.host.pid && proc.Namespace(e.PID, "uts") != f.host.uts {
		root = rootMount(e.PID)
	}
	name := stepName(cgroup, root)
	if name == "" || f.Placed(cgroup) || proc.Namespace(e.PID, "mnt") == f.host.mnt {
		return ""
	}
	return name
}
