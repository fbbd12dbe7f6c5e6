package scopes

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Helper is a program of ours that does one piece of work as a user.
type Helper struct {
	Name    string // of its unit, without the suffix; nobody else's may begin like it
	UID     uint32
	Program string        // its path
	In, Out *os.File      // its standard input and output; they stay the caller's
	Limit   time.Duration // after which systemd ends it
}

// StartHelper has systemd start the program as the user: with nothing of the daemon's but
// two pipes, in a cgroup of its own, bounded, and after everything else. It returns when the
// program has been executed.
func (m *Manager) StartHelper(ctx context.Context, h Helper) error {
	release, err := m.turns.toStart(ctx, m.accounts.OfUID(h.UID))
	if err != nil {
		return err
	}
	defer release()
	list := helperProperties(h, m.sliceOf(h.UID))
	helping := m.helping()
	defer helping.close()
	err = helping.callJob(ctx, StartTransientUnit, func(conn *systemd.Conn, job chan<- string) error {
		_, err := conn.StartTransientUnitContext(ctx, h.Name+".service", "fail", list, job)
		return err
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", h.Name, err)
	}
	return nil
}

// Bounds of a helper. They are those of the program and of what it starts.
const (
	helperMemory = 512 << 20
	helperTasks  = 256
	helperNice   = 19
	helperWeight = 1   // of the CPU and of disks; 100 is what everything else has
	idleIO       = 3   // IOPRIO_CLASS_IDLE, ioprio_set(2)
	helperUMask  = 077 // octal
)

// helperCapabilities are the most that the helper, or a program with more rights that it
// starts, can have: to change what is in a user's storage, to mount and unmount, and newuidmap's.
const helperCapabilities = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_FOWNER |
	1<<unix.CAP_FSETID | 1<<unix.CAP_KILL | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETPCAP | 1<<unix.CAP_SETFCAP |
	1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_MKNOD | 1<<unix.CAP_LINUX_IMMUTABLE

// capabilitiesOf are those of the helper of a user. What netavark has lent to a step of root's is
// given back in the host's network.
func capabilitiesOf(uid uint32) uint64 {
	if uid == 0 {
		return helperCapabilities | 1<<unix.CAP_NET_ADMIN
	}
	return helperCapabilities
}

// helperProperties are those of a helper's service. There is none among them that gives it a
// mount namespace (ProtectSystem=, PrivateTmp= …): what it unmounts is to be unmounted for
// the host. NoNewPrivileges= would keep rootless podman from its user namespace (newuidmap).
//
// Source: org.freedesktop.systemd1(5), systemd.exec(5), systemd.service(5).
func helperProperties(h Helper, slice string) []systemd.Property {
	property := func(name string, value any) systemd.Property {
		return systemd.Property{Name: name, Value: dbus.MakeVariant(value)}
	}
	type families struct {
		Allow bool
		Names []string
	}
	list := []systemd.Property{
		// Readable by every user: nothing of the build may stand in it.
		systemd.PropDescription("Removes what a dead container build has left"),
		systemd.PropSlice(slice),
		systemd.PropExecStart([]string{h.Program}, false),
		property("Type", "exec"),
		property("User", strconv.FormatUint(uint64(h.UID), 10)),
		property("WorkingDirectory", "/"),
		property("StandardInputFileDescriptor", dbus.UnixFD(h.In.Fd())),
		property("StandardOutputFileDescriptor", dbus.UnixFD(h.Out.Fd())),
		property("StandardError", "null"),
		property("CollectMode", "inactive-or-failed"),
		// Rootless podman leaves a cgroup that is not its user's.
		property("Delegate", true),
		property("RuntimeMaxUSec", uint64(h.Limit.Microseconds())),
		property("TimeoutStopUSec", uint64((5 * time.Second).Microseconds())),
		property("OOMPolicy", "kill"),
		property("MemoryMax", uint64(helperMemory)),
		property("TasksMax", uint64(helperTasks)),
		property("CPUWeight", uint64(helperWeight)),
		property("IOWeight", uint64(helperWeight)),
		property("Nice", int32(helperNice)),
		property("IOSchedulingClass", int32(idleIO)),
		property("UMask", uint32(helperUMask)),
		property("CapabilityBoundingSet", capabilitiesOf(h.UID)),
		property("RestrictAddressFamilies", families{true, []string{"AF_UNIX", "AF_NETLINK"}}),
		property("RestrictRealtime", true),
		property("LockPersonality", true),
		property("KeyringMode", "private"),
	}
	if h.UID != 0 {
		// Of a user who has logged out it is gone, and rootless podman does nothing without it. It is
		// there for as long as it is needed.
		runtimeDir := []string{runtimeDirUnit(h.UID)}
		list = append(list, property("Wants", runtimeDir), property("After", runtimeDir))
	}
	return list
}

// runtimeDirUnit is systemd's unit of /run/user/UID.
//
// Source: systemd 252 to 262, units/user-runtime-dir@.service.in: StopWhenUnneeded=.
func runtimeDirUnit(uid uint32) string { return fmt.Sprintf("user-runtime-dir@%d.service", uid) }
