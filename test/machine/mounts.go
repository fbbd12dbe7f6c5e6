package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A mount is one line of /proc/PID/mountinfo, see proc_pid_mountinfo(5).
type mount struct {
	Point string
	Type  string
}

func mounts() ([]mount, error) {
	// Not /proc/self: the first thread may be one that has entered a machine for good.
	file, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parseMountinfo(file)
}

func parseMountinfo(r io.Reader) ([]mount, error) {
	var all []mount
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		// ID parent major:minor root POINT options [optional…] - TYPE source options
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 1 {
			return nil, fmt.Errorf("not a line of mountinfo: %q", lines.Text())
		}
		all = append(all, mount{Point: unescapeMount(left[4]), Type: right[0]})
	}
	return all, lines.Err()
}

// unescapeMount undoes the kernel's octal escapes (\040 for a space).
func unescapeMount(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// cgroup2Mount returns where the unified cgroup hierarchy is mounted: not
// always /sys/fs/cgroup, a hybrid host has it below.
func cgroup2Mount() (string, error) {
	all, err := mounts()
	if err != nil {
		return "", err
	}
	for _, m := range all {
		if m.Type == "cgroup2" {
			return m.Point, nil
		}
	}
	return "", errors.New("a test machine needs cgroup v2, which is not mounted here")
}

// removeTree removes dir and all below it. What is mounted below is unmounted
// first: removal must never reach into another file system.
func removeTree(dir string) error {
	all, err := mounts()
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(all) {
		if m.Point != dir && !strings.HasPrefix(m.Point, dir+"/") {
			continue
		}
		if err := unix.Unmount(m.Point, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", m.Point, err)
		}
	}
	return os.RemoveAll(dir)
}
