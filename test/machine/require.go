package machine

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Require says in one line why this host can't have a test machine, or nil.
// Whether there is a network is seen when one is needed.
func Require() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("a test machine needs Linux, this is %s", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return errors.New("a test machine needs root (mounts, cgroups, namespaces): try again with sudo")
	}
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("a test machine emulates arm64 on amd64, this host is %s", runtime.GOARCH)
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("a test machine needs Debian 12 or 13: apt-get is missing")
	}
	if _, err := os.Stat(keyring); err != nil {
		return fmt.Errorf("a test machine needs Debian 12 or 13: %s is missing", keyring)
	}
	if _, err := cgroup2Mount(); err != nil {
		return err
	}
	return nil
}

// osRelease returns the host's os-release(5), empty if there is none.
func osRelease() map[string]string {
	values := make(map[string]string)
	file, err := os.Open("/etc/os-release")
	if err != nil {
		return values
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			values[key] = strings.Trim(value, `"'`)
		}
	}
	return values
}
