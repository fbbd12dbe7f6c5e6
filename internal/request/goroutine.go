package request

import (
	"fmt"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// The service waits for each monitor in a system call of its own, so the kernel tells
// which thread does, and where its stack is. On that lie the frames of the goroutine that
// runs the step, from the system call up to the goroutine's first function; a frame begins
// with the address of the next one and the address to return to. Functions among them have
// the request's context.Context, since they need it when the step is over, and a value of
// that is the connection by which the request came.
//
// Source: containers/buildah 1.28 to 1.43, run_common.go, runUsingRuntimeSubproc;
// chroot/run_common.go, RunUsingChroot; imagebuildah/stage_executor.go, Execute;
// containers/podman 4.3 to 5.8, pkg/api/server/server.go, ConnContext;
// Go 1.19 to 1.25: cmd/compile/abi-internal.md; os/wait_waitid.go, os/pidfd_linux.go.
const (
	wordSize = 8 // of the platforms that podman is built for

	// firstFrame is how far above the stack pointer the system call's caller begins.
	// maxStack bounds a stack, minFrames and maxFrames the functions on it: a step is
	// run by 13 or 14, on 15 kB.
	firstFrame, maxStack = 2 << 10, 64 << 10
	minFrames, maxFrames = 8, 64

	// maxParents is how many contexts are gone through, each the parent of the one
	// before: the connection is that of the sixth or seventh.
	maxParents = 16

	// A frame has places for what its function does not have yet. What others have left
	// there, maybe another request's context, was seen in one frame of a goroutine at
	// most, and the goroutine's own in four or five.
	ownFrames, strangersFrames = 3, 1

	maxThreads = 4096
	maxPages   = 4096
)

// Where the parts of Go's types are, in bytes.
//
// Source: Go 1.19 to 1.25: context.go, cancelCtx, valueCtx (and all others: the parent, an
// interface, comes first); net/fd_posix.go, netFD; internal/poll/fd_unix.go, FD.
const (
	contextParent   = 8 // the data of an interface is its second word
	contextValue    = 40
	socketNumber    = 16 // noSocket for one that was closed
	socketFamily    = 56
	socketType      = 64
	sizeOfNetworkFD = 72
)

const noSocket = -1

// ownOf is the one of the service's connections by which the request came that the
// monitor's step is run for; false where that can't be told. They must have been listed
// before: a connection that is closed has no number, and of such a one the service has
// closed already no more is known.
func ownOf(service, monitor *proc.Handle, conns []Conn) (Conn, bool, error) {
	stack, ok, err := stackOfWait(service.PID, monitor.PID)
	if err != nil || !ok {
		return Conn{}, false, err
	}
	g, err := openGoroutine(service.PID, stack)
	if err != nil {
		return Conn{}, false, err
	}
	defer g.memory.close()
	seen := g.connections()
	if !monitor.Alive() || !service.Alive() {
		return Conn{}, false, proc.ErrGone
	}
	number, ok := ownNumber(seen)
	if !ok {
		return Conn{}, false, nil
	}
	if number == noSocket {
		return Conn{FD: noSocket}, true, nil
	}
	i := slices.IndexFunc(conns, func(c Conn) bool { return c.FD == number })
	if i < 0 {
		return Conn{}, false, nil
	}
	return conns[i], true, nil
}

// ownNumber is the connection that the goroutine's functions have, of which it is known
// in how many frames each was found.
func ownNumber(frames map[int]int) (number int, ok bool) {
	for n, in := range frames {
		switch {
		case in >= ownFrames && !ok:
			number, ok = n, true
		case in > strangersFrames:
			return 0, false
		}
	}
	return number, ok
}

// stackOfWait finds the thread that waits for a process, and returns its stack pointer.
func stackOfWait(pid, waited int) (uint64, bool, error) {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0, false, err
	}
	defer dir.Close()
	threads, _ := dir.Readdirnames(maxThreads)
	for _, thread := range threads {
		text, err := os.ReadFile(path.Join(dir.Name(), thread, "syscall"))
		if err != nil {
			continue // it has ended
		}
		if stack, ok := parseWait(string(text), pid, waited, pidOfPidfd); ok {
			return stack, true, nil
		}
	}
	return 0, false, nil
}

// parseWait reads what system call a thread is in: its number, six arguments, the stack
// pointer and the program counter; one word for a thread that is in none.
//
// Source: linux, fs/proc/base.c, proc_pid_syscall; waitid(2).
func parseWait(text string, pid, waited int, pidOf func(pid, fd int) int) (stack uint64, ok bool) {
	fields := strings.Fields(text)
	if len(fields) != 9 || fields[0] != strconv.Itoa(unix.SYS_WAITID) {
		return 0, false
	}
	var args [9]uint64
	for i, field := range fields[1:] {
		n, err := strconv.ParseUint(field, 0, 64)
		if err != nil {
			return 0, false
		}
		args[i] = n
	}
	kind, id, stack := args[0], int(args[1]), args[6]
	switch {
	case stack%wordSize != 0:
	case kind == unix.P_PID && id == waited, kind == unix.P_PIDFD && pidOf(pid, id) == waited:
		return stack, true
	}
	return 0, false
}

// pidOfPidfd is the process that a descriptor of another one's is of, or 0.
//
// Source: linux, fs/pidfs.c, pidfd_show_fdinfo.
func pidOfPidfd(pid, fd int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "Pid:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			return n
		}
	}
	return 0
}

// goroutine is one whose thread is in a system call: until that is over, its stack stays
// what and where it is.
type goroutine struct {
	memory words
	code   []*procfs.ProcMap
	stack  uint64   // its pointer
	frames []uint64 // where they begin, the innermost first
}

func openGoroutine(pid int, stack uint64) (*goroutine, error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return nil, proc.ErrGone
	}
	regions, err := process.ProcMaps()
	if err != nil {
		return nil, fmt.Errorf("the service's memory: %w", err)
	}
	g := &goroutine{stack: stack}
	for _, region := range regions {
		switch {
		case isData(region):
			g.memory.regions = append(g.memory.regions, region)
		case region.Perms.Execute:
			g.code = append(g.code, region)
		}
	}
	if err := g.memory.open(pid); err != nil {
		return nil, fmt.Errorf("the service's memory: %w", err)
	}
	for at := stack; at < stack+firstFrame && g.frames == nil; at += wordSize {
		g.frames = g.framesFrom(at)
	}
	return g, nil
}

// framesFrom follows the frames from one to the next. nil: none begins there. The
// goroutine's first function has none above.
func (g *goroutine) framesFrom(at uint64) (frames []uint64) {
	for len(frames) < maxFrames {
		next, ok := g.memory.word(at)
		to, returns := g.memory.word(at + wordSize)
		if !ok || !returns || regionOf(g.code, to) == nil {
			return nil
		}
		frames = append(frames, at)
		switch {
		case next == 0 && len(frames) >= minFrames:
			return frames
		case next <= at, next > g.stack+maxStack:
			return nil
		}
		at = next
	}
	return nil
}

// connections says in how many frames contexts of which connections are.
func (g *goroutine) connections() map[int]int {
	in := map[int]int{}
	at := g.stack
	for _, frame := range g.frames {
		found := map[int]bool{}
		for ; at <= frame+wordSize; at += wordSize {
			if value, ok := g.memory.word(at); ok {
				if number, ok := g.connectionOf(value); ok {
					found[number] = true
				}
			}
		}
		for number := range found {
			in[number]++
		}
	}
	return in
}

// connectionOf is the number of the connection that is a value of the context, or of one
// above it, if there is a context at that address.
func (g *goroutine) connectionOf(context uint64) (number int, ok bool) {
	for range maxParents {
		if value, ok := g.memory.word(context + contextValue); ok {
			if number, ok := g.socketAt(value); ok {
				return number, true
			}
		}
		if context, ok = g.memory.word(context + contextParent); !ok {
			break
		}
	}
	return 0, false
}

// socketAt is the number of the descriptor, if a *net.UnixConn or *net.TCPConn points there.
func (g *goroutine) socketAt(conn uint64) (number int, ok bool) {
	fd, ok := g.memory.word(conn)
	if !ok || regionOf(g.memory.regions, fd+sizeOfNetworkFD) == nil {
		return 0, false
	}
	n, _ := g.memory.word(fd + socketNumber)
	family, _ := g.memory.word(fd + socketFamily)
	kind, _ := g.memory.word(fd + socketType)
	switch family {
	case unix.AF_UNIX, unix.AF_INET, unix.AF_INET6:
		number = int(int64(n))
		return number, kind == unix.SOCK_STREAM && (number == noSocket || number > 0 && number <= math.MaxInt32)
	}
	return 0, false
}
