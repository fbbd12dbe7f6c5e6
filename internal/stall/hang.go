package stall

// Wait is what a thread waits for, as far as it matters whether it can go on.
type Wait int

// The kinds of waits.
const (
	MayGoOn Wait = iota // anything else, and whatever can't be told
	Futex               // a futex, without an end: another thread has to wake it
	Monitor             // a futex for exactly a minute: the Go runtime's monitor thread, see goMonitor
	Child               // the end of a child
	Ended               // nothing: it has ended, and is not reaped yet
)

// Process is one process of a build, with what each of its threads waits for.
type Process struct {
	PID, PPID int
	Command   string // the kernel's comm: the guest program's name under emulation
	Arch      string // emulated architecture; empty for native
	Emulator  string // likewise: "qemu" or "rosetta"
	Threads   []Wait
}

// hung returns the emulated processes all threads of which wait for one another,
// if nothing in the build can change that: each of its other processes waits for the
// end of one of its children in the build. Otherwise it returns none.
//
// A process that waits for a child can go on only when the child ends. Each waits
// for one of the same build, and no circle of parents and children exists, so all
// of these chains end at processes that hang.
func hung(build []Process) []Process {
	parents := map[int]bool{}
	for _, p := range build {
		if !p.ended() {
			parents[p.PPID] = true
		}
	}
	var found []Process
	for _, p := range build {
		count := map[Wait]int{}
		for _, w := range p.Threads {
			count[w]++
		}
		switch {
		case p.ended():
		case count[MayGoOn] > 0 || count[Monitor] > 1:
			return nil
		case count[Child] > 0 && parents[p.PID]:
		case count[Child] == 0 && count[Futex] > 0 && p.Arch != "":
			found = append(found, p)
		default:
			return nil
		}
	}
	return found
}

// ended tells of a process nothing of which runs any more.
func (p Process) ended() bool {
	for _, w := range p.Threads {
		if w != Ended {
			return false
		}
	}
	return len(p.Threads) > 0
}
