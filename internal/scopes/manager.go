// Package scopes holds one build's processes: it makes the transient scope that
// they are born in, moves them there, and ends them. It is the only package
// that speaks to systemd and writes cgroup files, and it decides nothing: when
// a build is over, and why, is package watch's.
//
// What a scope of ours looks like below the cgroup mount:
//
//	system.slice/buildwatch-ID.scope   the unit; stays root's; its xattr holds the record
//	    supervisor/                    one process, keeps the unit in being (buildwatch-keeper)
//	    command/                       only under buildwatchctl run: the build's command; the user's own
//	    payload/                       the containers; a user's own, bounded, for a rootless build
//	        leaf/                      the wrapper, until the OCI runtime has made …
//	        run-CONTAINER/             … the container's own cgroup
//
// It never moves a process that is already in a container's cgroup (the runtime
// would take the container for stopped, and buildah would commit a layer that
// is half done), never reads what a user can write as if it were its own, and
// touches no unit but those whose names it makes.
package scopes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/failpoint"
	"github.com/buildwatch/buildwatch/internal/limits"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/wire"
)

// CgroupMount is where the unified hierarchy is mounted on a systemd host.
const CgroupMount = "/sys/fs/cgroup"

// Manager makes and finds scopes. It is safe for concurrent use.
type Manager struct {
	root     *cgroup
	keeper   string // path of the keeper's program
	accounts *proc.Accounts

	life       context.Context
	end        context.CancelFunc
	background sync.WaitGroup
	discarding sync.Map // names of units that are to be stopped, see discard: whether systemd has answered

	// Two connections, so that a call that hangs while a build is placed can't
	// hold back the end of another.
	placing, ending *bus
	helping         func() *bus // a connection for one call that passes descriptors
	turns           turns
	lateStarts      []time.Duration

	// plainScopes is set when this systemd has refused the optional properties.
	plainScopes atomic.Bool
}

// Open prepares a manager. keeper is the path of buildwatch-keeper. It fails if the host is not
// in unified cgroup mode. Whether systemd answers, each call finds out anew. The connections are
// made in the background, so that the first cancelled build does not wait for one.
func Open(keeper string, accounts *proc.Accounts, metrics Metrics) (*Manager, error) {
	root, err := openRoot(CgroupMount)
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.Background())
	connection := func(dial func(context.Context, string) (*systemd.Conn, error)) *bus {
		return &bus{dial: func(ctx context.Context) (*systemd.Conn, error) { return dial(ctx, privateSocket) }, metrics: metrics, life: life}
	}
	m := &Manager{root: root, keeper: keeper, accounts: accounts, turns: newTurns(), life: life, end: end, placing: connection(dial), ending: connection(dial), lateStarts: lateStarts}
	m.helping = func() *bus { return connection(dialForDescriptors) }
	for _, b := range []*bus{m.placing, m.ending} {
		m.background.Go(func() { _, _ = b.get(life) })
	}
	return m, nil
}

// Close ends the connections to systemd. Scopes live on.
func (m *Manager) Close() {
	m.end()
	m.background.Wait()
	m.placing.close()
	m.ending.close()
	m.root.close()
}

// Spec says what scope is to be made.
type Spec struct {
	ID     string   // the build's; becomes part of the unit's name
	UID    uint32   // whose build it is
	GID    uint32   //
	Owner  *os.File // pidfd of the build's owner, for the keeper; not kept
	Record []byte   // what Find is to give back, see MaxRecord
	// Beside is the cgroup in or below which the build's processes would be without us:
	// the limits that would hold there hold for the scope, too. Empty for none.
	Beside string
	// InUnit: without us systemd would make a unit for each of the containers, which
	// DefaultTasksMax= bounds. It bounds the scope of such a build alone.
	InUnit bool

	// Command: the scope is to hold the build's command too, see EnterCommand.
	Command    bool
	Granted    []limits.Value // by the administrator, on the scope as a whole
	Limits     []limits.Value // by the build's user, likewise: of a number the smaller one holds
	RuntimeMax time.Duration  // after which systemd itself stops the scope; 0 for never
}

// systemSlice is where root's scopes are, and those of users who have no slice.
const systemSlice = "system.slice"

// sliceOf is the slice that a user's scopes belong in: the user's own, if there
// is one. None is made for who never logged in, such as the user of a service.
func (m *Manager) sliceOf(uid uint32) string {
	if uid == 0 {
		return systemSlice
	}
	slice := fmt.Sprintf("user-%d.slice", uid)
	dir, err := m.root.sub("user.slice/" + slice)
	if err != nil {
		return systemSlice
	}
	dir.close()
	return slice
}

// sliceFor is the slice of a build's scope: that of its user, unless it runs in a
// service of the system's.
func (m *Manager) sliceFor(spec Spec) string {
	if strings.HasPrefix(spec.Beside, "/"+systemSlice+"/") {
		return systemSlice
	}
	return m.sliceOf(spec.UID)
}

// Start makes the scope of a build, with nothing in it but its keeper.
//
// The error is ErrUnitExists where a scope of that name has not quite gone yet;
// ErrGone if the new scope vanished while it was set up; ErrBusy where the user has many
// made at the same time; ErrNoSystemd, or the context's cause, where systemd could not be asked. In
// every case of failure nothing is left behind; where systemd was too slow to
// say whether it made the unit, it is stopped later.
func (m *Manager) Start(ctx context.Context, spec Spec) (*Scope, error) {
	unit := UnitName(spec.ID)
	release, err := m.turns.toStart(ctx, m.accounts.OfUID(spec.UID))
	if err != nil {
		return nil, err
	}
	defer release()
	if err := m.nameFree(unit); err != nil {
		return nil, err
	}
	slice := m.sliceFor(spec)
	carried, err := m.boundsOf(ctx, slice, spec.Beside)
	if err != nil {
		return nil, err
	}
	host := m.host()
	spec.Granted, spec.Limits = host.Absolute(spec.Granted), host.Absolute(spec.Limits)
	bounded := carried.describe(spec.Granted, spec.Limits)
	spec.Limits = carried.with(spec.Granted).with(spec.Limits).values
	k, err := startKeeper(m.keeper, spec.Owner)
	if err != nil {
		return nil, err
	}
	s := &Scope{manager: m, unit: unit, uid: spec.UID, gid: spec.GID, keeper: k, bounded: bounded}
	err = failpoint.At(failpoint.Start)
	if err == nil {
		err = m.startUnit(ctx, spec, slice, uint32(k.pid))
	}
	if err != nil {
		k.kill()
		if isUnitExists(err) {
			return nil, fmt.Errorf("%s: %w", s.unit, ErrUnitExists)
		}
		m.discard(s, isAnswer(err))
		return nil, fmt.Errorf("start %s: %w", s.unit, err)
	}
	err = failpoint.At(failpoint.Started)
	if err == nil {
		err = s.arrange(spec)
	}
	if err != nil {
		k.kill()
		m.discard(s, true)
		if isGone(err) || errors.Is(err, errUnplaced) {
			return nil, fmt.Errorf("arrange %s: %w: %w", s.unit, ErrGone, err)
		}
		return nil, fmt.Errorf("arrange %s: %w", s.unit, err)
	}
	k.placed()
	return s, nil
}

// lateStarts are the pauses after which a unit is stopped once more whose start systemd
// has not answered.
var lateStarts = []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, time.Second, 3 * time.Second, 8 * time.Second}

// discard stops the unit, in the background. An order to start it that systemd has not answered
// may be carried out late, when it has said already that there is no such unit: the
// order to stop it comes by another connection.
func (m *Manager) discard(s *Scope, answered bool) {
	m.discarding.Store(s.unit, answered)
	m.background.Go(func() {
		s.Discard(m.life)
		if !answered {
			for _, pause := range m.lateStarts {
				select {
				case <-time.After(pause):
					s.Discard(m.life)
				case <-m.life.Done():
				}
			}
		}
		m.discarding.Delete(s.unit)
		s.Close()
	})
}

// nameFree returns an error for a unit that discard is about to stop: what is meant
// for the earlier one would stop the new.
func (m *Manager) nameFree(unit string) error {
	switch answered, busy := m.discarding.Load(unit); {
	case busy && !answered.(bool):
		return fmt.Errorf("%s: %w: an earlier order was not answered", unit, ErrNoSystemd)
	case busy:
		return fmt.Errorf("%s: %w", unit, ErrUnitExists)
	}
	return nil
}

// startUnit asks for the scope, and once more with less where this systemd does
// not know all of it.
func (m *Manager) startUnit(ctx context.Context, spec Spec, slice string, pids ...uint32) error {
	unit := UnitName(spec.ID)
	for {
		plain := m.plainScopes.Load()
		err := m.placing.callJob(ctx, StartTransientUnit, func(conn *systemd.Conn, job chan<- string) error {
			_, err := conn.StartTransientUnitContext(ctx, unit, "fail", properties(spec, slice, pids, plain), job)
			return err
		})
		if isUnknownProperty(err) && !plain {
			// Probed, not compared by version: distributions backport them.
			m.plainScopes.Store(true)
			continue
		}
		return err
	}
}

// stopTimeoutUSec is how long systemd itself waits between its two SIGKILLs when
// it stops a scope.
const stopTimeoutUSec = 1_000_000

// description is that of each build's scope. Every user can read it: nothing of the build may
// stand in it.
const description = "Container build supervised by buildwatch"

// properties are those of a build's scope.
//
// Source: org.freedesktop.systemd1(5), systemd.scope(5), systemd.kill(5); systemd-system.conf(5),
// DefaultTasksMax=.
func properties(spec Spec, slice string, pids []uint32, plain bool) []systemd.Property {
	property := func(name string, value any) systemd.Property {
		return systemd.Property{Name: name, Value: dbus.MakeVariant(value)}
	}
	list := []systemd.Property{
		systemd.PropDescription(description),
		systemd.PropSlice(slice),
		systemd.PropPids(pids...),
		property("Delegate", true),
		property("CollectMode", "inactive-or-failed"),
		// What systemd sends first when it stops the scope by itself: `systemctl
		// stop`, shutdown, RuntimeMaxSec. RUN containers end at once, and podman,
		// which is elsewhere, tidies up; their init ignores SIGTERM, and the default
		// is to wait 90 s for it.
		//
		// Where the command is inside too, SIGKILL leaves podman no word. SIGTERM is
		// worse: it ends what the step's shell has started, the shell goes on as if
		// that were done, and podman commits (measured: podman 4.3.1, exit status 0).
		property("KillSignal", int32(unix.SIGKILL)),
		property("TimeoutStopUSec", uint64(stopTimeoutUSec)),
	}
	if spec.RuntimeMax > 0 {
		list = append(list, property("RuntimeMaxUSec", uint64(spec.RuntimeMax.Microseconds())))
	}
	for _, limit := range spec.Limits {
		list = append(list, property(limit.Name, limit.Value))
	}
	if !spec.InUnit && !slices.ContainsFunc(spec.Limits, func(v limits.Value) bool { return v.Name == "TasksMax" }) {
		list = append(list, property("TasksMax", limits.Infinity))
	}
	if !plain {
		// One process that runs out of memory fails its step; it must not take
		// the build's other containers with it. Since 253, in many 252 too.
		list = append(list, property("OOMPolicy", "continue"))
	}
	return list
}

// Find returns the scopes that are there, those of an earlier daemon, each with
// its record. It looks for cgroups, not for units: a container can outlive its
// unit (systemd#36781).
func (m *Manager) Find() []*Scope {
	parents := []string{systemSlice}
	if users, err := m.root.sub("user.slice"); err == nil {
		for _, name := range users.children() {
			if strings.HasPrefix(name, "user-") && strings.HasSuffix(name, ".slice") {
				parents = append(parents, "user.slice/"+name)
			}
		}
		users.close()
	}
	var found []*Scope
	for _, name := range parents {
		slice, err := m.root.sub(name)
		if err != nil {
			continue
		}
		for _, unit := range slice.children() {
			if _, ok := ParseUnitName(unit); !ok {
				continue
			}
			dir, err := slice.sub(unit)
			if err != nil {
				continue
			}
			s := &Scope{manager: m, unit: unit, dir: dir}
			s.uid, s.gid = dir.ownerOf(payloadDir)
			s.gathered = !slices.Contains(dir.children(), payloadDir)
			found = append(found, s)
		}
		slice.close()
	}
	return found
}

// unitPrefix and unitSuffix surround a build's ID in its scope's name.
const unitPrefix, unitSuffix = "buildwatch-", ".scope"

// UnitName is the name of the scope of the build called id.
func UnitName(id string) string { return unitPrefix + id + unitSuffix }

// ParseUnitName is the reverse of UnitName.
func ParseUnitName(unit string) (id string, ok bool) {
	id, hasPrefix := strings.CutPrefix(unit, unitPrefix)
	id, hasSuffix := strings.CutSuffix(id, unitSuffix)
	return id, hasPrefix && hasSuffix && id != ""
}

// Holds reports whether a cgroup, below the mount, is that of one of our scopes or lies in
// one. There is nothing but slices above a scope: what is called so below another unit
// was made by somebody for whom the hierarchy begins there.
func Holds(cgroup string) bool {
	for part := range strings.SplitSeq(strings.TrimPrefix(cgroup, "/"), "/") {
		if _, ok := ParseUnitName(part); ok {
			return true
		}
		if !strings.HasSuffix(part, ".slice") {
			return false
		}
	}
	return false
}

// Passing reports whether a cgroup is a scope's leaf, see the package comment.
func Passing(cgroup string) bool { return path.Base(cgroup) == wire.Leaf && Holds(cgroup) }

// errUnplaced is what arrange finds when systemd reports success, and the
// keeper is somewhere else.
var errUnplaced = errors.New("systemd did not move the keeper into the scope")

// remove removes a cgroup that is empty. One that has gone is removed.
func (m *Manager) remove(c *cgroup) error {
	parent, err := m.root.sub(path.Join(".", path.Dir(c.path)))
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.close()
	// The kernel removes no cgroup that has a process or another cgroup in it. One
	// that has come to have the name in this moment would be a new, empty one.
	return parent.removeChild(path.Base(c.path))
}
