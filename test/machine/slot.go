package machine

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// runDir holds a lock for each slot and a directory for each machine.
const runDir = "/run/buildwatch-test"

// slots is how many machines a host can have at once.
const slots = 16

// A slot is the right to have one machine, and all the names on the host that
// go with it. Names come from the slot's number alone, so that whoever takes
// the slot next knows what a machine that was killed may have left.
type slot struct {
	n    int
	lock *os.File
}

// takeSlot takes the first free slot, and removes what machines that were
// killed left in any of them.
func takeSlot(say func(string, ...any)) (*slot, error) {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return nil, err
	}
	var taken *slot
	for n := range slots {
		lock, err := tryLockFile(filepath.Join(runDir, strconv.Itoa(n)+".lock"))
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue // a live machine's
		}
		if err != nil {
			return nil, err
		}
		s := &slot{n: n, lock: lock}
		if s.used() {
			say("removing what a killed run left of %s", s.name())
			if err := s.clean(); err != nil {
				say("%v", err)
				lock.Close()
				continue
			}
		}
		if taken != nil {
			s.release()
			continue
		}
		taken = s
	}
	if taken == nil {
		return nil, fmt.Errorf("%d test machines run already", slots)
	}
	if err := os.Mkdir(taken.dir(), 0o755); err != nil {
		taken.release()
		return nil, err
	}
	return taken, nil
}

// name is the machine's, its cgroup's, and its binfmt handlers' prefix.
func (s *slot) name() string { return "buildwatch-test-" + strconv.Itoa(s.n) }

// dir holds the machine's console, notification socket and mount points. It
// is there as long as anything of the machine may be.
func (s *slot) dir() string { return filepath.Join(runDir, strconv.Itoa(s.n)) }

// veth is the host's end of the machine's network.
func (s *slot) veth() string { return "bwtest" + strconv.Itoa(s.n) }

// addrs are the two ends of the machine's network: one /30 for each slot, out
// of the block that RFC 2544 sets aside for tests of network devices, which
// no host can have in use otherwise.
func (s *slot) addrs() (host, guest netip.Prefix) {
	base := netip.AddrFrom4([4]byte{198, 18, 0, byte(4 * s.n)})
	return netip.PrefixFrom(base.Next(), 30), netip.PrefixFrom(base.Next().Next(), 30)
}

func (s *slot) used() bool {
	cgroup, err := s.cgroup()
	return isDir(s.dir()) || err == nil && isDir(cgroup)
}

// clean removes everything of the slot's machine from the host: processes
// first, the directory, which marks the slot as used, last.
func (s *slot) clean() error {
	err := errors.Join(s.killCgroup(), s.unregisterBinfmt(), s.removeVeth())
	if err == nil {
		err = errors.Join(removeTree(s.podmanHome()), removeTree(s.dir()))
	}
	if err != nil {
		return fmt.Errorf("clean up %s: %w", s.name(), err)
	}
	return nil
}

// release gives the slot back. The lock's file is removed by nobody: another
// process may be opening it.
func (s *slot) release() { s.lock.Close() }
