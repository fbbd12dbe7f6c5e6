// Command waits waits honestly, in the way that its argument names: for something
// that will come, or may. No build that does so is stalled. It is built for another
// architecture and runs as a RUN step of a test's build.
package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// long is longer than any test looks.
const long = time.Hour

// ways are the ways to wait, by name. None of them returns.
var ways = map[string]func() error{
	"time.Sleep":           func() error { time.Sleep(long); return nil },
	"timer in select":      func() error { <-time.After(long); return nil },
	"nanosleep":            func() error { return nanosleep(long) },
	"nanosleep loop":       func() error { return again(func() error { return nanosleep(300 * time.Millisecond) }) },
	"futex with a timeout": func() error { return futex(new(uint32), futexWait, long) },
	"futex with 90 s, private": func() error {
		return futex(new(uint32), futexWait|futexPrivate, 90*time.Second)
	},
	"futex until a time":        func() error { return futexUntil(new(uint32), long) },
	"futex with short timeouts": func() error { return again(func() error { return futex(new(uint32), futexWait, time.Second) }) },
	"a thread sleeps, others wait": func() error {
		hold(4)
		return nanosleep(long)
	},
	"a thread waits with a timeout, others without": func() error {
		hold(4)
		return futex(new(uint32), futexWait, long)
	},
	"a thread computes, others wait": func() error {
		hold(4)
		return compute()
	},
	"a thread wakes others now and then": wakeOthers,
	"a child that computes":              func() error { return child("compute") },
	"a child that sleeps":                func() error { return child("nanosleep") },
	"compute":                            compute,
	"run hang":                           func() error { return run("/bin/hang") }, // the one that does hang
	"pipe":                               pipe,
	"unix socket":                        socket,
	"accept":                             accept,
	"answer over TCP":                    answer,
	"UDP":                                datagram,
	"blocking poll":                      poll,
	"poll with a timeout":                func() error { _, err := unix.Poll(nil, int(long.Milliseconds())); return err },
	"select":                             func() error { _, err := unix.Select(0, nil, nil, nil, nil); return err },
	"epoll":                              epoll,
	"inotify":                            inotify,
	"flock":                              flock,
	"record lock":                        recordLock,
	"fifo":                               fifo,
	"signal, by a timer":                 signalByTimer,
	"eventfd":                            event,
	"timerfd":                            timer,
	"message queue":                      messageQueue,
	"SysV semaphore":                     semaphore,
	"sigtimedwait":                       sigTimedWait,
	"ppoll":                              func() error { return call(unix.SYS_PPOLL, 0, 0, 0, 0) },
}

func main() {
	way, ok := ways[strings.Join(os.Args[1:], " ")]
	if !ok {
		fmt.Fprintln(os.Stderr, "the ways are", strings.Join(slices.Sorted(maps.Keys(ways)), "; "))
		os.Exit(2)
	}
	runtime.LockOSThread()
	fmt.Println("waiting by:", strings.Join(os.Args[1:], " "), "error:", way())
	os.Exit(1) // it has not waited
}

func again(once func() error) error {
	for {
		if err := once(); err != nil {
			return err
		}
	}
}

func call(number, a, b, c, d uintptr) error {
	if _, _, errno := unix.Syscall6(number, a, b, c, d, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func nanosleep(d time.Duration) error {
	span := unix.NsecToTimespec(d.Nanoseconds())
	return unix.Nanosleep(&span, nil)
}

// Source: linux, include/uapi/linux/futex.h.
const (
	futexWait       = 0
	futexWake       = 1
	futexWaitBitset = 9
	futexPrivate    = 128
	anyBit          = 0xffffffff
)

// futex waits, for a time or, if that is 0, for ever. To come to the end of the
// time is no error.
func futex(word *uint32, op uintptr, d time.Duration) error {
	var span *unix.Timespec
	if d > 0 {
		s := unix.NsecToTimespec(d.Nanoseconds())
		span = &s
	}
	err := call(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), op, 0, uintptr(unsafe.Pointer(span)))
	if errors.Is(err, unix.ETIMEDOUT) || errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

func futexUntil(word *uint32, d time.Duration) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	now.Sec += int64(d / time.Second)
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWaitBitset|futexPrivate, 0,
		uintptr(unsafe.Pointer(&now)), 0, anyBit)
	return errno
}

// hold makes threads that wait in futexes for ever.
func hold(threads int) {
	for range threads {
		go func() {
			runtime.LockOSThread()
			_ = again(func() error { return futex(new(uint32), futexWait, 0) })
		}()
	}
	time.Sleep(100 * time.Millisecond) // until they do
}

// wakeOthers lets a thread wake another every 500 ms.
func wakeOthers() error {
	word := new(uint32)
	go func() {
		runtime.LockOSThread()
		_ = again(func() error { return futex(word, futexWait, 0) })
	}()
	return again(func() error {
		if err := call(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake, 1, 0); err != nil {
			return err
		}
		return nanosleep(500 * time.Millisecond)
	})
}

func compute() error {
	for i := uint64(1); i != 0; i++ { // for a while
	}
	return nil
}

func child(way string) error { return run("/bin/waits", way) }

// run waits for the end of a program.
func run(program string, args ...string) error { return exec.Command(program, args...).Run() }

func pipe() error {
	var ends [2]int
	if err := unix.Pipe2(ends[:], 0); err != nil {
		return err
	}
	_, err := unix.Read(ends[0], make([]byte, 1))
	return err
}

func socket() error {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	_, err = unix.Read(ends[0], make([]byte, 1))
	return err
}

func accept() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, err = l.Accept()
	return err
}

func answer() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// datagram waits in recvfrom(2) itself, not by the Go runtime's poller.
func datagram() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	_, _, err = unix.Recvfrom(fd, make([]byte, 1), 0)
	return err
}

func poll() error {
	var ends [2]int
	if err := unix.Pipe2(ends[:], 0); err != nil {
		return err
	}
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(ends[0]), Events: unix.POLLIN}}, -1)
	return err
}

func epoll() error {
	fd, err := unix.EpollCreate1(0)
	if err != nil {
		return err
	}
	_, err = unix.EpollWait(fd, make([]unix.EpollEvent, 1), -1)
	return err
}

func inotify() error {
	fd, err := unix.InotifyInit1(0)
	if err != nil {
		return err
	}
	if _, err := unix.InotifyAddWatch(fd, "/", unix.IN_CREATE); err != nil {
		return err
	}
	_, err = unix.Read(fd, make([]byte, 4096))
	return err
}

func lockFile() (first, second *os.File, err error) {
	if first, err = os.OpenFile("/lock", os.O_CREATE|os.O_RDWR, 0o600); err == nil {
		second, err = os.OpenFile("/lock", os.O_RDWR, 0o600)
	}
	return first, second, err
}

func flock() error {
	first, second, err := lockFile()
	if err != nil {
		return err
	}
	if err := unix.Flock(int(first.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	return unix.Flock(int(second.Fd()), unix.LOCK_EX)
}

// F_OFD_SETLKW.
//
// Source: linux, include/uapi/asm-generic/fcntl.h.
const ofdSetLockWait = 38

func recordLock() error {
	first, second, err := lockFile()
	if err != nil {
		return err
	}
	if err := unix.FcntlFlock(first.Fd(), ofdSetLockWait, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		return err
	}
	return unix.FcntlFlock(second.Fd(), ofdSetLockWait, &unix.Flock_t{Type: unix.F_WRLCK})
}

func fifo() error {
	if err := unix.Mkfifo("/fifo", 0o600); err != nil {
		return err
	}
	_, err := unix.Open("/fifo", unix.O_RDONLY, 0)
	return err
}

// signalByTimer waits in futexes alone, all threads, for a signal that a POSIX timer
// will send.
func signalByTimer() error {
	var id int32
	if err := call(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(&id)), 0); err != nil {
		return err
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(long.Nanoseconds())}
	if err := call(unix.SYS_TIMER_SETTIME, uintptr(id), 0, uintptr(unsafe.Pointer(&spec)), 0); err != nil {
		return err
	}
	alarms := make(chan os.Signal, 1)
	signal.Notify(alarms, syscall.SIGALRM)
	<-alarms
	return nil
}

func event() error {
	fd, err := unix.Eventfd(0, 0)
	if err != nil {
		return err
	}
	_, err = unix.Read(fd, make([]byte, 8))
	return err
}

func timer() error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, 0)
	if err != nil {
		return err
	}
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(long.Nanoseconds())}, nil); err != nil {
		return err
	}
	_, err = unix.Read(fd, make([]byte, 8))
	return err
}

func messageQueue() error {
	id, _, errno := unix.Syscall(unix.SYS_MSGGET, 0, 0o600, 0) // IPC_PRIVATE
	if errno != 0 {
		return errno
	}
	_, _, errno = unix.Syscall6(unix.SYS_MSGRCV, id, uintptr(unsafe.Pointer(new([64]byte))), 8, 0, 0, 0)
	return errno
}

func semaphore() error {
	id, err := unix.SysvShmGet(0, 1, 0o600) // a kernel without SysV IPC says so here
	if err != nil {
		return err
	}
	_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	set, _, errno := unix.Syscall(unix.SYS_SEMGET, 0, 1, 0o600)
	if errno != 0 {
		return errno
	}
	take := struct{ number, by, flags int16 }{0, -1, 0}
	_, _, errno = unix.Syscall(unix.SYS_SEMOP, set, uintptr(unsafe.Pointer(&take)), 1)
	return errno
}

func sigTimedWait() error {
	set := uint64(1) << (unix.SIGUSR2 - 1)
	span := unix.NsecToTimespec(long.Nanoseconds())
	return call(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&set)), 0, uintptr(unsafe.Pointer(&span)), 8)
}
