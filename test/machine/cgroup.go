package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killTimeout is how long a killed machine's processes may take to go. They
// die within milliseconds unless the kernel holds one.
const killTimeout = 15 * time.Second

// cgroup returns the machine's own cgroup, in the root of the hierarchy: beside
// whatever manages the host's others.
func (s *slot) cgroup() (string, error) {
	root, err := cgroup2Mount()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, s.name()), nil
}

// cpuTime is what the machine's processes have used so far, 0 if that is not known.
//
// Source: cgroup-v2.rst, cpu.stat: it is there without the controller, too.
func (s *slot) cpuTime() time.Duration {
	dir, err := s.cgroup()
	if err != nil {
		return 0
	}
	text, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return 0
	}
	var usec int64
	if _, err := fmt.Sscanf(string(text), "usage_usec %d", &usec); err != nil {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// killCgroup kills every process of the machine and removes its cgroups. It is
// nil if there are none.
func (s *slot) killCgroup() error {
	dir, err := s.cgroup()
	if err != nil {
		return err
	}
	// cgroup.kill: since Linux 5.14.
	err = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := waitUnpopulated(dir, killTimeout); err != nil {
		return err
	}
	return removeCgroups(dir)
}

// waitUnpopulated waits until no process is left in a cgroup or below it. The
// kernel announces each change of cgroup.events by POLLPRI, see
// https://docs.kernel.org/admin-guide/cgroup-v2.html#un-populated-notification
func waitUnpopulated(dir string, timeout time.Duration) error {
	events, err := os.Open(filepath.Join(dir, "cgroup.events"))
	if err != nil {
		return err
	}
	defer events.Close()
	deadline := time.Now().Add(timeout)
	for {
		text := make([]byte, 256)
		n, err := events.ReadAt(text, 0)
		if n == 0 {
			return err
		}
		if slices.Contains(strings.Split(string(text[:n]), "\n"), "populated 0") {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("processes in %s did not go within %s of SIGKILL", dir, timeout)
		}
		poll := []unix.PollFd{{Fd: int32(events.Fd()), Events: unix.POLLPRI}}
		if _, err := unix.Poll(poll, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// removeCgroups removes a cgroup and those below it, the deepest first.
func removeCgroups(dir string) error {
	var all []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, path := range slices.Backward(all) {
		if err := unix.Rmdir(path); err != nil {
			return fmt.Errorf("remove cgroup %s: %w", path, err)
		}
	}
	return nil
}

// processCgroup returns the directory of the cgroup that a process is in.
func processCgroup(pid int) (string, error) {
	root, err := cgroup2Mount()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return filepath.Join(root, path), nil
		}
	}
	return "", fmt.Errorf("process %d is in no cgroup v2", pid)
}
