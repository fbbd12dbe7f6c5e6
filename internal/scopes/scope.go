package scopes

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/failpoint"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/wire"
)

// Names of the cgroups in a scope, see the package comment.
const (
	supervisorDir = "supervisor"
	commandDir    = "command"
	payloadDir    = "payload"
	runPrefix     = "run-"
)

// Bounds on what a user may make below the containers' cgroup that is theirs.
const (
	userMaxDepth       = "16"
	userMaxDescendants = "512"
)

// recordXattr holds a build's record on its scope's cgroup. user.* of a cgroup
// that stays root's can be written by root alone; of one that is chowned, by
// its owner too.
const recordXattr = "user.buildwatch.build"

// MaxRecord is the size of the largest record, in bytes.
const MaxRecord = 4096

// Scope is the transient scope of one build. It is safe for concurrent use. Once its cgroup is
// gone, its methods fail as isGone recognises.
type Scope struct {
	manager  *Manager
	unit     string
	uid, gid uint32
	dir      *cgroup     // the unit's cgroup; nil until it is known
	keeper   *keeper     // nil for a scope that was found
	gathered bool        // made by Gather: the processes are in dir itself
	bounded  *api.Limits // see Bounded

	entering sync.Mutex // lock order: 3
}

// Unit is the unit's name.
func (s *Scope) Unit() string { return s.unit }

// Bounded says which limits the scope has, and by whom; nil for none, and of a scope that
// was found.
func (s *Scope) Bounded() *api.Limits { return s.bounded }

// Cgroup is the unit's cgroup below the mount, with a leading slash.
func (s *Scope) Cgroup() string { return s.dir.path }

// Close lets go of the scope, which lives on.
func (s *Scope) Close() {
	if s.dir != nil {
		s.dir.close()
	}
}

// arrange finds the unit's cgroup by the kernel's word on where the keeper is,
// and makes the cgroups in it. The record comes last: a scope that has one is whole, and one
// without has never had a container (see DiscardUnfinished).
func (s *Scope) arrange(spec Spec) error {
	where, err := proc.CgroupOf(s.keeper.pid)
	if err != nil {
		return err
	}
	if path.Base(where) != s.unit {
		return fmt.Errorf("%w: it is in %s", errUnplaced, where)
	}
	if s.dir, err = s.manager.root.sub(strings.TrimPrefix(where, "/")); err != nil {
		return err
	}
	sleeping, err := s.dir.ensure(supervisorDir)
	if err != nil {
		return err
	}
	defer sleeping.close()
	if err := sleeping.attach(s.keeper.pid); err != nil {
		return err
	}
	containers, err := s.dir.ensure(payloadDir)
	if err != nil {
		return err
	}
	defer containers.close()
	if err := errors.Join(s.dir.delegateControllers(), containers.delegateControllers()); err != nil {
		return err
	}
	if err := s.delegate(containers); err != nil {
		return err
	}
	if spec.Command {
		command, err := s.dir.ensure(commandDir)
		if err != nil {
			return err
		}
		defer command.close()
		if err := s.delegate(command); err != nil {
			return err
		}
	}
	return s.SetRecord(spec.Record)
}

// delegate makes a cgroup in the scope its build's user's, within bounds. Root's
// stays as it is.
func (s *Scope) delegate(c *cgroup) error {
	if s.uid == 0 {
		return nil
	}
	if err := errors.Join(
		c.write("cgroup.max.depth", userMaxDepth),
		c.write("cgroup.max.descendants", userMaxDescendants),
	); err != nil {
		return err
	}
	return c.giveTo(s.uid, s.gid)
}

// giveTo makes the cgroup a user's, as far as delegation asks for.
//
// Source: cgroup-v2.rst, "Delegation", Model.
func (c *cgroup) giveTo(uid, gid uint32) error {
	return c.with(func(fd int) error {
		err := errors.Join(unix.Fchown(fd, int(uid), int(gid)), failpoint.At(failpoint.Delegate))
		for _, name := range []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} {
			err = errors.Join(err, unix.Fchownat(fd, name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW))
		}
		return err
	})
}

// ownerOf tells whose a cgroup below is: root's, where it is not there.
func (c *cgroup) ownerOf(name string) (uid, gid uint32) {
	var st unix.Stat_t
	if c.with(func(fd int) error { return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }) != nil {
		return 0, 0
	}
	return st.Uid, st.Gid
}

// CgroupsPath is where the container's processes are to live: what the OCI
// runtime is told. container has passed wire.CheckContainerID.
func (s *Scope) CgroupsPath(container string) string {
	return path.Join(s.dir.path, payloadDir, runPrefix+container)
}

// Joinable reports whether a container may still be placed here. A scope whose
// keeper is gone may be collected at any moment.
func (s *Scope) Joinable() bool {
	populated, err := s.dir.hasAny(supervisorDir)
	return err == nil && populated
}

// Enter moves the process into the leaf, from where the OCI runtime makes the
// container's cgroup. act is called immediately before, and decides: an error
// from it is returned and nothing is done. The process must be held by the
// caller through a pidfd, and alive is asked again after the move.
//
// The error is ErrLeft where the process ended meanwhile. Who had its PID by then, and
// so was moved, is moved back.
func (s *Scope) Enter(pid int, act func() error, alive func() bool) error {
	s.entering.Lock()
	defer s.entering.Unlock()
	containers, err := s.dir.sub(payloadDir)
	if err != nil {
		return err
	}
	defer containers.close()
	leaf, err := containers.ensureDomain(wire.Leaf) // a user may have removed it
	if err != nil {
		return err
	}
	defer leaf.close()
	if s.uid != 0 {
		if err := leaf.giveTo(s.uid, s.gid); err != nil {
			return err
		}
	}
	return s.manager.enter(leaf, pid, act, alive)
}

// enter moves a process into a cgroup, see Scope.Enter.
func (m *Manager) enter(c *cgroup, pid int, act func() error, alive func() bool) error {
	if err := act(); err != nil {
		return err
	}
	if err := failpoint.At(failpoint.Claimed); err != nil {
		return err
	}
	if err := c.attach(pid); err != nil {
		return err
	}
	if err := failpoint.At(failpoint.Moved); err != nil {
		return err
	}
	if !alive() {
		// Somebody else may have its PID.
		return errors.Join(ErrLeft, m.putBack(pid, c.path))
	}
	if where, err := proc.CgroupOf(pid); err != nil || where != c.path {
		return fmt.Errorf("the kernel says that the caller is in %q, not in %s: %w", where, c.path, err)
	}
	return nil
}

// Busy reports whether any process of the build is there.
func (s *Scope) Busy() (bool, error) {
	for _, name := range s.buildDirs() {
		if busy, err := s.dir.hasAny(name); busy || err != nil {
			return busy, err
		}
	}
	return false, nil
}

// buildDirs are the cgroups that hold processes of the build. Where the scope
// holds no command, there is no commandDir; one of orphans has them as they came.
func (s *Scope) buildDirs() []string {
	if s.gathered {
		return []string{"."}
	}
	return []string{commandDir, payloadDir}
}

// Starting reports whether a container is being made: the OCI runtime is at it, or
// has made it and was not yet told to start it. crun and runc keep the container's
// first process without execve(2) until then.
func (s *Scope) Starting() bool {
	containers := map[string]bool{} // by cgroup: whether anything in it was started
	for _, m := range s.membersOf(payloadDir) {
		inside := strings.TrimPrefix(m.Cgroup, path.Join(s.dir.path, payloadDir)+"/")
		container, _, _ := strings.Cut(inside, "/")
		if container == wire.Leaf {
			return true
		}
		containers[container] = containers[container] || proc.HasExeced(m.PID)
	}
	for _, started := range containers {
		if !started {
			return true
		}
	}
	return false
}

// WaitEmpty returns nil once no process is left in the scope, not even its
// keeper; or the context's error.
func (s *Scope) WaitEmpty(ctx context.Context) error { return s.dir.waitEmpty(ctx) }

// Members lists the build's processes: its containers', and under
// buildwatchctl run its command's.
func (s *Scope) Members() []Member {
	var found []Member
	for _, name := range s.buildDirs() {
		found = append(found, s.membersOf(name)...)
	}
	return found
}

// Keepers lists what is in the scope and is no process of the build: its keeper.
func (s *Scope) Keepers() []Member {
	if s.gathered {
		return nil
	}
	return s.membersOf(supervisorDir)
}

func (s *Scope) membersOf(name string) (all []Member) {
	_ = s.dir.in(name, func(c *cgroup) error {
		all = c.members()
		return nil
	})
	return all
}

// CPUTime is what those processes have used so far, those that ended included; 0
// when the scope is gone.
func (s *Scope) CPUTime() (total time.Duration) {
	for _, name := range s.buildDirs() {
		total += s.cpuTimeOf(name)
	}
	return total
}

func (s *Scope) cpuTimeOf(name string) (used time.Duration) {
	_ = s.dir.in(name, func(c *cgroup) (err error) {
		used, err = c.cpuTime()
		return err
	})
	return used
}

// Steps lists the processes of the build's RUN containers alone.
func (s *Scope) Steps() []Member { return s.membersOf(s.stepsDir()) }

// StepsCPUTime is CPUTime of those containers alone.
func (s *Scope) StepsCPUTime() time.Duration { return s.cpuTimeOf(s.stepsDir()) }

// stepsDir is the cgroup that holds those, whatever else the scope holds.
func (s *Scope) stepsDir() string {
	if s.gathered {
		return "."
	}
	return payloadDir
}

// SetRecord keeps what Find is to give back.
func (s *Scope) SetRecord(record []byte) error {
	if err := failpoint.At(failpoint.Record); err != nil {
		return err
	}
	if err := s.dir.with(func(fd int) error { return unix.Fsetxattr(fd, recordXattr, record, 0) }); err != nil {
		return fmt.Errorf("keep the record of %s: %w", s.unit, err)
	}
	return nil
}

// Record returns what the scope was started with, or was given since.
func (s *Scope) Record() ([]byte, error) {
	record := make([]byte, MaxRecord)
	n := 0
	err := s.dir.with(func(fd int) (err error) {
		n, err = unix.Fgetxattr(fd, recordXattr, record)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the record of %s: %w", s.unit, err)
	}
	return record[:n], nil
}

// Discard stops the unit however long systemd takes to hear of it, or until the
// context ends. It is for what must not stay behind when nobody waits any more:
// a scope whose start was not confirmed, or whose only process was so
// short-lived that systemd missed its end.
func (s *Scope) Discard(ctx context.Context) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		attempt, done := context.WithTimeout(ctx, 5*time.Second)
		err := s.stopInTurn(attempt)
		done()
		if err == nil {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// DiscardEmpty stops the unit, in the background, if there is no process in its cgroup, and tells
// whether that is so. The scope is then not to be used any more.
func (s *Scope) DiscardEmpty() bool {
	if populated, err := s.dir.populated(); populated || err != nil {
		return false
	}
	s.manager.discard(s, true)
	return true
}

// DiscardUnfinished stops the unit, in the background, if the daemon that made it ended before it had
// written the record, and tells whether that is so. Nobody wants what is in there: no
// container has been, or it is a dead build's orphans. The scope is then not to be used any more.
func (s *Scope) DiscardUnfinished(ctx context.Context) bool {
	if _, err := s.Record(); !errors.Is(err, unix.ENODATA) || !s.isOurs(ctx) {
		return false
	}
	s.manager.discard(s, true)
	return true
}

// isOurs asks systemd whether a daemon has made the unit: anybody's may be called like one.
func (s *Scope) isOurs(ctx context.Context) bool {
	var properties map[string]any
	err := s.manager.ending.call(ctx, GetProperties, func(conn *systemd.Conn) (err error) {
		properties, err = conn.GetUnitTypePropertiesContext(ctx, s.unit, "Unit")
		return err
	})
	return err == nil && properties["Description"] == description
}
