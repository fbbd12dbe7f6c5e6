package scopes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// Bounds for a walk of cgroups that a user may have made: deeper and more than
// what delegate allows.
const (
	maxDepth   = 32
	maxCgroups = 4096
	maxProcs   = 1 << 20 // bytes of one cgroup.procs: some 150,000 processes
)

// recheck is how long a wait for an empty cgroup trusts the kernel's
// notification alone. A notification is held back for up to 10 ms after the one
// before it, and is lost when the cgroup is removed meanwhile.
//
// Source: linux, kernel/cgroup/cgroup.c, cgroup_file_notify.
const recheck = 250 * time.Millisecond

// cgroup is one directory of the cgroup v2 hierarchy, held by descriptor. It
// goes on meaning the same cgroup when another takes its name.
type cgroup struct {
	dir  *os.File
	path string // below the mount, with a leading slash
}

// openRoot opens the hierarchy's mount. It refuses everything but cgroup v2:
// version 1 has no cgroup.kill, and its release_agent has been a way out of
// containers (CVE-2022-0492).
func openRoot(mount string) (*cgroup, error) {
	dir, err := os.OpenFile(mount, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		dir.Close()
		return nil, fmt.Errorf("%s is not a cgroup v2 hierarchy: buildwatch needs a host in unified mode", mount)
	}
	return &cgroup{dir: dir, path: "/"}, nil
}

// with calls use with the descriptor, which stays the cgroup's until use returns: a look or an
// order that was left behind may meet the close, and the number is another cgroup's then.
func (c *cgroup) with(use func(fd int) error) error {
	raw, err := c.dir.SyscallConn()
	if err != nil {
		return err
	}
	closed := raw.Control(func(fd uintptr) { err = use(int(fd)) })
	return errors.Join(closed, err)
}

// openAt opens a file below the cgroup, following no link and leaving neither
// the cgroup nor its file system.
//
// Source: openat2(2), Linux 5.6.
func (c *cgroup) openAt(name string, flags int) (*os.File, error) {
	full := path.Join(c.path, name)
	for {
		fd := -1
		err := c.with(func(dir int) (err error) {
			fd, err = unix.Openat2(dir, name, &unix.OpenHow{
				Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
				Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
			})
			return err
		})
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), full), nil
		case !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN): // EAGAIN: a rename raced with the walk
			return nil, &fs.PathError{Op: "open", Path: full, Err: err}
		}
	}
}

// sub opens a cgroup below this one.
func (c *cgroup) sub(name string) (*cgroup, error) {
	dir, err := c.openAt(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return &cgroup{dir: dir, path: path.Join(c.path, name)}, nil
}

// in calls act with a cgroup below.
func (c *cgroup) in(name string, act func(*cgroup) error) error {
	sub, err := c.sub(name)
	if err != nil {
		return err
	}
	defer sub.close()
	return act(sub)
}

// inAny is in, where nothing is to be done about a cgroup that is not there: it has no process.
func (c *cgroup) inAny(name string, act func(*cgroup) error) error {
	if err := c.in(name, act); !isGone(err) {
		return err
	}
	return nil
}

// hasAny reports whether a process is in a cgroup below, or below that.
func (c *cgroup) hasAny(name string) (populated bool, err error) {
	err = c.inAny(name, func(c *cgroup) (err error) {
		populated, err = c.populated()
		return err
	})
	return populated, err
}

// ensure makes a direct child unless it exists, and opens it.
func (c *cgroup) ensure(name string) (*cgroup, error) {
	if err := c.with(func(fd int) error { return unix.Mkdirat(fd, name, 0o755) }); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &fs.PathError{Op: "mkdir", Path: path.Join(c.path, name), Err: err}
	}
	return c.sub(name)
}

// ensureDomain is ensure for a cgroup that processes are to be moved to. Its owner
// can make it a threaded one, which takes none from elsewhere, and can't be made
// what it was: it is made anew, if it is empty.
//
// Source: cgroup-v2.rst, "Threads".
func (c *cgroup) ensureDomain(name string) (*cgroup, error) {
	sub, err := c.ensure(name)
	if err != nil {
		return nil, err
	}
	if kind, err := sub.read("cgroup.type"); err != nil || string(bytes.TrimSpace(kind)) == "domain" {
		return sub, nil // in doubt it is found out by the move
	}
	sub.close()
	if err := c.removeChild(name); err != nil {
		return nil, err
	}
	return c.ensure(name)
}

func (c *cgroup) close() { _ = c.dir.Close() }

func (c *cgroup) read(name string) ([]byte, error) { return c.readUpTo(name, math.MaxInt64) }

func (c *cgroup) readUpTo(name string, limit int64) ([]byte, error) {
	file, err := c.openAt(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var content bytes.Buffer
	_, err = content.ReadFrom(io.LimitReader(file, limit))
	return content.Bytes(), err
}

// write opens and writes in one place: the kernel checks the right to move a
// process on the opener, so no descriptor of such a file may wander about.
func (c *cgroup) write(name, value string) error {
	file, err := c.openAt(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(value)
	return err
}

// attach moves the process, all its threads, into the cgroup.
func (c *cgroup) attach(pid int) error { return c.write("cgroup.procs", strconv.Itoa(pid)) }

// kill ends every process in the cgroup and below it, whatever it forks.
//
// Source: cgroup-v2.rst, cgroup.kill, Linux 5.14.
func (c *cgroup) kill() error { return c.write("cgroup.kill", "1") }

// delegateControllers lets the cgroups below this one have every controller
// that it has itself. One that can't be enabled is left out, as it would be for
// the OCI runtime, which tries the same next.
func (c *cgroup) delegateControllers() error {
	available, err := c.read("cgroup.controllers")
	if err != nil {
		return err
	}
	for controller := range strings.FieldsSeq(string(available)) {
		_ = c.write("cgroup.subtree_control", "+"+controller)
	}
	return nil
}

// isGone tells the errors of a cgroup that was removed.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
}

// populated reports whether any process is in the cgroup or below it. A cgroup
// that was removed is not.
func (c *cgroup) populated() (bool, error) {
	events, err := c.read("cgroup.events")
	if isGone(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return proc.ParsePopulated(events)
}

// waitEmpty returns nil once no process is left in the cgroup and below it, or
// the context's error. It sleeps until the kernel notifies.
func (c *cgroup) waitEmpty(ctx context.Context) error {
	err := c.await(ctx, "cgroup.events", recheck, func(content []byte) (bool, error) {
		populated, err := proc.ParsePopulated(content)
		return !populated, err
	})
	if isGone(err) {
		return nil
	}
	return err
}

// await returns nil once what a file of the cgroup says has come true, or the context's
// error. It sleeps until the kernel notifies, and looks again each time that so long has
// passed.
func (c *cgroup) await(ctx context.Context, name string, again time.Duration, holds func(content []byte) (bool, error)) error {
	// Non-blocking, so that the file joins the Go runtime's epoll set.
	file, err := c.openAt(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		if err := file.SetReadDeadline(time.Now().Add(again)); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err // after the line above: AfterFunc's deadline may have been overwritten by it
		}
		done := false
		var readErr error
		err := raw.Read(func(fd uintptr) bool {
			var buffer [512]byte
			var n int
			if n, readErr = unix.Pread(int(fd), buffer[:], 0); readErr == nil {
				done, readErr = holds(buffer[:n])
			}
			return done || readErr != nil
		})
		switch {
		case readErr != nil:
			return fmt.Errorf("read %s of %s: %w", name, c.path, readErr)
		case done:
			return nil
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
	}
}

// cpuTime is the CPU time used by all processes that are or were below.
func (c *cgroup) cpuTime() (time.Duration, error) {
	stat, err := c.read("cpu.stat")
	return time.Duration(countOf(stat, "usage_usec")) * time.Microsecond, err
}

// Member is a process and the cgroup that it is in.
type Member struct {
	PID    int
	Cgroup string // below the mount, with a leading slash; empty where it was not looked at
}

// Where is Cgroup, looked at now where it was not.
func (m Member) Where() string {
	if m.Cgroup == "" {
		return proc.Cgroup(m.PID)
	}
	return m.Cgroup
}

// members lists the processes in the cgroup and below it.
func (c *cgroup) members() []Member {
	var found []Member
	left := maxCgroups
	c.eachBelow(maxDepth, &left, func(c *cgroup) {
		for _, pid := range c.numbers("cgroup.procs") {
			found = append(found, Member{PID: pid, Cgroup: c.path})
		}
	})
	if populated, err := c.populated(); len(found) == 0 && err == nil && populated {
		for pid := range c.threadGroups() {
			found = append(found, Member{PID: pid, Cgroup: c.path})
		}
	}
	return found
}

// eachBelow calls visit with the cgroup and those below it, within bounds.
func (c *cgroup) eachBelow(depth int, left *int, visit func(*cgroup)) {
	visit(c)
	if depth == 0 {
		return
	}
	for _, name := range c.children() {
		if *left--; *left < 0 {
			return
		}
		if child, err := c.sub(name); err == nil {
			child.eachBelow(depth-1, left, visit)
			child.close()
		}
	}
}

// children lists the names of the cgroups directly below.
func (c *cgroup) children() []string {
	dir, err := c.openAt(".", unix.O_RDONLY|unix.O_DIRECTORY) // a descriptor's own read position
	if err != nil {
		return nil
	}
	defer dir.Close()
	entries, _ := dir.ReadDir(-1)
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names
}

// removeChild removes a cgroup directly below, which must be empty.
func (c *cgroup) removeChild(name string) error {
	if err := c.with(func(fd int) error { return unix.Unlinkat(fd, name, unix.AT_REMOVEDIR) }); err != nil && !isGone(err) {
		return &fs.PathError{Op: "rmdir", Path: path.Join(c.path, name), Err: err}
	}
	return nil
}

// removeBelow removes the cgroups below that are empty.
func (c *cgroup) removeBelow(depth int, left *int) {
	for _, name := range c.children() {
		if *left--; *left < 0 || depth == 0 {
			return
		}
		if child, err := c.sub(name); err == nil {
			child.removeBelow(depth-1, left)
			child.close()
		}
		_ = c.removeChild(name)
	}
}
