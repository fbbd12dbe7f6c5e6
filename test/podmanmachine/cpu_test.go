//go:build podmanmachine

package podmanmachine

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// consumers are the cgroups in the machine whose CPU time tells where a build's time goes. A
// RUN step's own processes are in the last one with buildwatch, in the user's without.
var consumers = []string{".", "init.scope", "system.slice", "system.slice/buildwatchd.service", "system.slice/dbus.service", "system.slice/systemd-journald.service", "user.slice", "buildwatch.slice"}

// cpuTime is what the machine and its parts have used so far.
func cpuTime(t *testing.T) map[string]time.Duration {
	t.Helper()
	out := inside(t, "cd /sys/fs/cgroup; for c in "+strings.Join(consumers, " ")+"; do [ ! -e $c/cpu.stat ] || echo $c $(grep -m1 usage_usec $c/cpu.stat); done")
	used := map[string]time.Duration{}
	for line := range strings.Lines(out) {
		var name, key string
		var usec int64
		if n, _ := fmt.Sscan(line, &name, &key, &usec); n == 3 {
			used[name] = time.Duration(usec) * time.Microsecond
		}
	}
	return used
}

// qemuTime is the CPU time that qemu has used so far.
//
// Source: proc_pid_stat(5), fields 14 and 15.
func qemuTime(t *testing.T) time.Duration {
	t.Helper()
	pid := host(t, "pgrep -u dev -x qemu-system-x86")
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat))
	var user, system int64
	if _, err := fmt.Sscan(fields[13]+" "+fields[14], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// since tells what was used between two looks.
func since(before, after map[string]time.Duration) string {
	var said []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		said = append(said, fmt.Sprintf("%s %.1f s", name, (after[name]-before[name]).Seconds()))
	}
	return strings.Join(said, ", ")
}
