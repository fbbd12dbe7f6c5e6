// Package peer tells who is at the other end of a unix socket, by the kernel's
// word alone: nothing that the peer can choose (bytes that it sends, the path
// that it bound its own end to, its name) has any part in the answer. It also
// bounds how many connections each user may hold.
//
// It reads sockets and /proc/PID/ns, and keeps no list of peers. What a peer may
// do is for the caller to decide. It works on sockets that have a path, stream
// and seqpacket alike; abstract ones are reachable from other containers and not
// to be used with it.
package peer

import (
	"fmt"
	"math"
	"os"
)

const (
	// NoID is what UID and GID are where the kernel has told none.
	//
	// Source: chown(2), setreuid(2): -1 is never anybody's ID.
	NoID uint32 = math.MaxUint32
	// OverflowID stands for everybody whose ID our user namespace has no number
	// for, and here for a uid 0 of another user or PID namespace. It is also the
	// number of the user nobody. So it names nobody.
	//
	// Source: user_namespaces(7), /proc/sys/kernel/overflowuid.
	OverflowID uint32 = 65534
)

// Credentials is who connected, as of the moment of connect(2). The zero value
// is nobody, and may do nothing.
type Credentials struct {
	// PID is the peer's process ID in our PID namespace. The number alone may be
	// another process's by now.
	PID int
	// Pidfd holds the process. It is nil where it was not asked for. Who has the
	// credentials from FromConn closes it.
	Pidfd *os.File
	// Exact tells that the kernel took Pidfd from the socket (Linux 6.5). If it is
	// false, Pidfd was opened by number, and the process that had the number at
	// connect(2) may already have been gone: check that the process is one that
	// the peer could have been (its user, its program), and after each wait that
	// it still lives, before anything is done with it.
	Exact bool

	known    bool // uid and gid were told by the kernel
	uid, gid uint32
}

// Of makes the credentials of a user that the caller knows by other means, such
// as a test. There is no pidfd in them.
func Of(pid int, uid, gid uint32) Credentials {
	return Credentials{PID: pid, known: true, uid: uid, gid: gid}
}

// UID is the peer's effective user ID at connect(2), in our user namespace, or
// NoID. Ask IsRoot and IsUser before comparing it with anything.
func (c Credentials) UID() uint32 {
	if !c.known {
		return NoID
	}
	return c.uid
}

// GID is the peer's effective group ID at connect(2), or NoID.
func (c Credentials) GID() uint32 {
	if !c.known {
		return NoID
	}
	return c.gid
}

// IsRoot reports whether the peer was uid 0 of our own user and PID namespace:
// root in a container is not root here.
func (c Credentials) IsRoot() bool { return c.known && c.uid == 0 }

// IsUser reports whether the peer's UID stands for one user other than root.
func (c Credentials) IsUser() bool {
	return c.known && c.uid != 0 && c.uid != OverflowID && c.uid != NoID
}

// Owns reports whether the peer is the user that has the UID, root among them.
func (c Credentials) Owns(uid uint32) bool {
	return (c.IsRoot() || c.IsUser()) && c.uid == uid
}

// String is for logs. It is made of numbers only, and not to be parsed.
func (c Credentials) String() string {
	if !c.known {
		return "unknown peer"
	}
	return fmt.Sprintf("pid %d uid %d", c.PID, c.uid)
}

// Close closes Pidfd.
func (c Credentials) Close() error {
	if c.Pidfd == nil {
		return nil
	}
	return c.Pidfd.Close()
}
