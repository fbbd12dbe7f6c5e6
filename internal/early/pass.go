package early

import (
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// memory is what there is instead of a heap. It is the kernel's zero pages until it is used.
var memory scratch

// passThrough becomes the real runtime, or returns. stack is as the kernel hands it to a
// program: the number of arguments, the arguments, a nil, the environment, a nil.
//
// Source: System V ABI, AMD64 supplement, 3.4.1; execve(2).
func passThrough(stack *uintptr) {
	count := *stack
	argv := (**byte)(unsafe.Add(unsafe.Pointer(stack), unsafe.Sizeof(*stack)))
	args := unsafe.Slice(argv, count)
	envp := (**byte)(unsafe.Add(unsafe.Pointer(argv), (count+1)*unsafe.Sizeof(*stack)))
	euid, _, _ := syscall.RawSyscall(unix.SYS_GETEUID, 0, 0, 0)
	if !memory.find(args, unsafe.Slice(envp, length(envp)), int(euid)) {
		return
	}
	called := args[0]
	args[0] = &memory.path[0]
	_, _, _ = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(args[0])), uintptr(unsafe.Pointer(argv)), uintptr(unsafe.Pointer(envp)))
	args[0] = called // whoever comes next says what is wrong
}

// find leaves in s.path what the call is to become. It returns false for a call that is
// not for it to decide.
func (s *scratch) find(args, env []*byte, euid int) bool {
	if len(args) == 0 || creates(args[1:]) {
		return false
	}
	name := text(args[0])
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			name = name[i+1:]
			break
		}
	}
	own, ok := ownDirectory(env, euid == 0)
	return ok && s.noRows(own) && s.choose(podman.CompiledIn(name))
}

// creates reports whether a call may create a build's RUN container.
func creates(args []*byte) bool {
	create, container := false, false
	for _, arg := range args {
		create = create || text(arg) == "create"
		container = container || strings.HasPrefix(text(arg), podman.ContainerPrefix)
	}
	return create && container
}

// length counts what stands before a nil.
func length(list **byte) int {
	n := 0
	for *(**byte)(unsafe.Add(unsafe.Pointer(list), uintptr(n)*unsafe.Sizeof(*list))) != nil {
		n++
	}
	return n
}

// text is a string of C's.
func text(p *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return unsafe.String(p, n)
}
