package daemon

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// restGarbage is how much memory may become garbage before the collector ends a rest.
const restGarbage = 2 << 20

// memory is the rest of Go's runtime: of the garbage collector, and of all threads but one, each of which
// would be woken to look for work whenever another has some. Go collects every two minutes whatever there is to
// collect, which is all that an idle daemon would do in them. So while it rests the
// collector is off but for a limit, and what was collected is given back to the kernel. The
// first collection ends the rest: something needs memory.
//
// Source: go/src/runtime/proc.go, forcegcperiod; mgc.go, gcTrigger.test.
type memory struct {
	resting bool
	percent int   // GOGC, as it was
	limit   int64 // GOMEMLIMIT, as it was
	threads int   // GOMAXPROCS, as it was
	ran     *atomic.Bool
}

// rest begins a rest; disturbed is called, from wherever, when it is over.
func (m *memory) rest(disturbed func()) {
	if m.resting {
		return
	}
	debug.FreeOSMemory()
	letGoOfProgram()
	m.threads = runtime.GOMAXPROCS(1)
	m.percent = debug.SetGCPercent(-1)
	m.limit = debug.SetMemoryLimit(inUse() + restGarbage)
	m.resting, m.ran = true, &atomic.Bool{}
	ran := m.ran
	type witness struct{ _ *witness }
	runtime.AddCleanup(&witness{}, func(ran *atomic.Bool) {
		ran.Store(true)
		disturbed()
	}, ran)
}

// wake has memory collected as usual.
func (m *memory) wake() {
	if !m.resting {
		return
	}
	runtime.GOMAXPROCS(m.threads)
	debug.SetMemoryLimit(m.limit)
	debug.SetGCPercent(m.percent)
	m.resting = false
}

// collected reports whether the collector has run since the rest began.
func (m *memory) collected() bool { return m.resting && m.ran.Load() }

// inUse is what a limit of memory counts.
//
// Source: go/src/runtime/debug, SetMemoryLimit.
func inUse() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

// letGoOfProgram unmaps the program's own code and constants: most of what was read of them
// at the start is not needed again. What is needed comes back from the file, which the
// kernel still has in memory, page by page.
//
// Source: madvise(2), MADV_DONTNEED of a file's private mapping; proc_pid_maps(5).
func letGoOfProgram() {
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		var allowed, offset, device, inode, file string
		if n, _ := fmt.Sscanf(line, "%x-%x %s %s %s %s %s", &from, &to, &allowed, &offset, &device, &inode, &file); n < 7 || file != own {
			continue
		}
		if allowed == "r-xp" || allowed == "r--p" {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}
