package proc

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrOtherHost is returned for a user namespace that is not below ours.
var ErrOtherHost = errors.New("a user namespace that is not below ours")

// UserNamespace describes the user namespace directly below ours that a process lives in
// or below.
type UserNamespace struct {
	Owner uint32 // UID, as we see it, of who has made it
	Inode uint64 // its number
}

// UserNamespaceOf returns that of the process that has the PID now; false for a
// process in our own.
//
// Source: ioctl_ns(2), NS_GET_PARENT and NS_GET_OWNER_UID, Linux 4.9 and 4.11.
func UserNamespaceOf(pid int) (ns UserNamespace, nested bool, err error) {
	own := Namespace(unix.Getpid(), "user")
	if Namespace(pid, "user") == own {
		return UserNamespace{}, false, nil
	}
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return UserNamespace{}, false, err
	}
	defer func() { unix.Close(fd) }()
	var ours, this unix.Stat_t
	if err := unix.Stat("/proc/self/ns/user", &ours); err != nil {
		return UserNamespace{}, false, err
	}
	const deepest = 32 // Source: user_namespaces(7)
	for range deepest {
		if err := unix.Fstat(fd, &this); err != nil {
			return UserNamespace{}, false, err
		}
		parent, err := unix.IoctlRetInt(fd, unix.NS_GET_PARENT)
		if err != nil {
			return UserNamespace{}, false, errors.Join(ErrOtherHost, err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(parent, &st); err != nil {
			unix.Close(parent)
			return UserNamespace{}, false, err
		}
		if st.Ino == ours.Ino {
			unix.Close(parent)
			owner, err := unix.IoctlGetUint32(fd, unix.NS_GET_OWNER_UID)
			return UserNamespace{Owner: owner, Inode: this.Ino}, true, err
		}
		unix.Close(fd)
		fd = parent
	}
	return UserNamespace{}, false, ErrOtherHost
}
