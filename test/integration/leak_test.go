//go:build integration

package integration

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// traces is everything that a build, or the daemon, could leave behind.
type traces struct {
	things map[string][]string // by kind
	daemon string              // its PID
	counts map[string]int      // of what it holds
}

// startUpNoise is by how much two daemons that have done nothing may differ in
// what they hold. One and the same daemon may hold no more than before.
const startUpNoise = 4

// leakCheck compares what is there after a test with what was there before.
// Every test begins with it. What podman itself leaves of a build that it was
// not allowed to finish (working containers, their mounts, bundles) is podman's,
// and removed with podman's own means: mayLeaveStorage.
func leakCheck(t *testing.T) {
	t.Helper()
	startDaemon(t)
	before := lookAround(t)
	var more []string
	t.Cleanup(func() { // the last, so that it tells of what was left behind, too
		if t.Failed() {
			t.Logf("scopes:\n%s", sh(t, "systemctl show --property=Id,LoadState,ActiveState,SubState,Result,Job,ControlGroup,StateChangeTimestampMonotonic,Transient,CollectMode '"+scopeGlob+"'"))
			t.Logf("journal:\n%s", sh(t, "journalctl -q --no-pager -o short-precise -n 200 -t buildwatchd -t buildwatch-runtime -t systemd | grep -E 'buildwatch(d|-runtime)[[]|buildwatch-[a-z0-9]{8}.scope' | tail -n 40"))
			if strings.Contains(strings.Join(more, " "), "goroutines of") {
				t.Logf("the daemon's goroutines:\n%s", goroutines(t, before.daemon))
			}
			// The tests that follow in this machine are not to fail for what this one has left.
			sh(t, "for exe in $(ls -l /proc/[0-9]*/exe 2>/dev/null | grep qemu- | sed 's/ -> .*//; s/.* //'); do kill -KILL $(basename $(dirname $exe)); done || true")
		}
	})
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		startDaemon(t)
		eventually(t, func() (string, bool) {
			more = before.whatIsNew(lookAround(t))
			return "left behind:\n" + strings.Join(more, "\n"), len(more) == 0
		})
	})
}

// goroutines has the daemon that a test has begun with tell what they do, which ends it,
// and systemd starts another.
func goroutines(t *testing.T, daemon string) string {
	t.Helper()
	if sh(t, "systemctl show -P MainPID buildwatchd.service") != daemon {
		return "it is another daemon now"
	}
	sh(t, "systemctl kill --kill-whom=main --signal=QUIT buildwatchd.service; sleep 1")
	startDaemon(t)
	return sh(t, "journalctl -q --no-pager -o cat -n 2000 _PID=%s | sed -n '/^SIGQUIT/,$p' | grep -A3 '^goroutine '", daemon)
}

// whatIsNew lists what is there after, and was not before.
func (before traces) whatIsNew(after traces) []string {
	var more []string
	for kind, now := range after.things {
		for _, one := range now {
			if !slices.Contains(before.things[kind], one) {
				more = append(more, kind+" "+one)
			}
		}
	}
	noise := 0
	if after.daemon != before.daemon {
		noise = startUpNoise
	}
	for kind, now := range after.counts {
		allowed := before.counts[kind] + noise
		if now > allowed {
			more = append(more, fmt.Sprintf("%d %s of the daemon, %d before", now, kind, before.counts[kind]))
		}
	}
	return more
}

// mayLeaveStorage says that the test ends podman without letting it tidy up.
func mayLeaveStorage(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		removeWorking(t)
		sh(t, "rm -rf /var/tmp/buildah* /run/crun/buildah-*")
	})
}

// removeWorking removes root's containers, those of builds as well. `buildah rm --all` removes
// nothing if meanwhile somebody else, the daemon, removes one of them.
//
// Source: containers/buildah 1.39, buildah.go, OpenAllBuilders.
func removeWorking(t *testing.T) {
	t.Helper()
	eventually(t, func() (string, bool) {
		said := sh(t, "{ podman rm --all --force --time 0; buildah rm --all; } 2>&1 || true")
		left := sh(t, "podman ps --all --external --quiet")
		return said + left, left == ""
	})
}

// startDaemon makes sure that the daemon runs, and that it has made the
// connections to systemd that it makes when it first needs them: so that what one
// daemon holds can be compared with what another does.
func startDaemon(t *testing.T) {
	t.Helper()
	sh(t, "systemctl reset-failed buildwatchd.service 2>/dev/null; systemctl start buildwatchd.socket buildwatchd.service")
	sh(t, ctl+" list -q")
	if connects := metric(t, "buildwatch_dbus_connects_total"); connects == "0" || connects == "1" {
		startCommand(t, "podman", "build", "--no-cache", "--network=none", native(t, "RUN true\n")).succeed()
		eventually(t, func() (string, bool) {
			connects := metric(t, "buildwatch_dbus_connects_total")
			return connects + " connections to systemd", connects != "0" && connects != "1"
		})
	}
}

func lookAround(t *testing.T) traces {
	t.Helper()
	found := map[string][]string{}
	add := func(kind string, lines string) {
		for line := range strings.Lines(lines) {
			found[kind] = append(found[kind], strings.TrimSpace(line))
		}
	}
	add("unit", sh(t, "systemctl list-units --all --plain --no-legend '"+scopeGlob+"' | awk '{print $1, $2, $3, $4}'"))
	add("working container", sh(t, "podman ps --all --external --quiet"))
	// Not the storage driver's own, which is no build's: each podman that is the first
	// mounts it, and the last unmounts it if it ends in order.
	// Source: containers/storage, drivers/overlay, Init and Cleanup.
	add("mount", sh(t, "grep -o '/var/lib/containers/[^ ]*' /proc/self/mountinfo | grep -vx /var/lib/containers/storage/overlay || true"))
	found["bundle"], _ = filepath.Glob("/var/tmp/buildah*")
	found["process"] = buildProcesses(t)
	ours := regexp.MustCompile(`buildwatch-[^d]|buildah-`)
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && ours.MatchString(path) {
			found["cgroup"] = append(found["cgroup"], path)
		}
		return nil
	})
	must(t, err)
	pid := sh(t, "systemctl show -P MainPID buildwatchd.service")
	return traces{found, pid, daemonCounts(t, pid)}
}

// buildProcesses lists the processes that only builds have: emulated ones, and
// those of buildwatch, podman and buildah themselves.
func buildProcesses(t *testing.T) []string {
	t.Helper()
	var found []string
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		exe, _ := os.Readlink(filepath.Join(dir, "exe"))
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		name := filepath.Base(exe)
		// A container that runc has made and not yet started runs a copy of it.
		if proc.EmulatedArch(exe) != "" || strings.Contains(string(cmdline), "runc\x00init\x00") || slices.Contains([]string{"podman", "buildah", "crun", "runc", "buildwatch-keeper", "buildwatch-reclaim", "buildwatch-runtime"}, name) {
			found = append(found, fmt.Sprintf("%s %s %q", filepath.Base(dir), name, cmdline))
		}
	}
	return found
}

// daemonCounts counts the daemon's open descriptors by kind, and its goroutines.
func daemonCounts(t *testing.T, pid string) map[string]int {
	t.Helper()
	fds, err := os.ReadDir("/proc/" + pid + "/fd")
	must(t, err)
	counts := map[string]int{}
	for _, fd := range fds {
		if target, err := os.Readlink("/proc/" + pid + "/fd/" + fd.Name()); err == nil {
			kind, _, _ := strings.Cut(target, ":[")
			counts[kind+" descriptors"]++
		}
	}
	counts["goroutines"] = countGoroutines(t)
	return counts
}

// countGoroutines counts those of the daemon that last. The exposition is gathered by
// several at once, and says now and then up to two more of them, or fewer, so the median
// of some scrapes is taken.
func countGoroutines(t *testing.T) int {
	t.Helper()
	counts := make([]int, 9)
	for i := range counts {
		n, err := strconv.Atoi(metric(t, "go_goroutines"))
		must(t, err)
		counts[i] = n
	}
	slices.Sort(counts)
	return counts[len(counts)/2]
}

// metric returns the value of a series in the daemon's exposition, or "".
func metric(t *testing.T, series string) string {
	t.Helper()
	for line := range strings.Lines(scrape(t)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func scrape(t *testing.T) string {
	t.Helper()
	// A connection that is kept would be one of the daemon's descriptors.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var response *http.Response
	eventually(t, func() (string, bool) { // a daemon that was just started
		var err error
		response, err = client.Get("http://127.0.0.1:16786/metrics")
		return fmt.Sprint(err), err == nil
	})
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", response.Status, err)
	}
	return string(body)
}
