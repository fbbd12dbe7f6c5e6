//go:build integration

package integration

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// TestListFormats: the list as people and programs read it, on a real build.
func TestListFormats(t *testing.T) {
	leakCheck(t)
	if out := sh(t, ctl+" list 2>&1"); !strings.Contains(out, "no builds") {
		t.Errorf("an empty list says %q", out)
	}
	if out := sh(t, ctl+" list --json"); out != "[]" {
		t.Errorf("an empty list is %q as JSON", out)
	}
	b := startBuild(t, family)
	view := b.supervised(familySize)
	var table []string
	eventually(t, func() (string, bool) { // what runs is looked at aside
		out := sh(t, ctl+" list")
		table = strings.Split(out, "\n")
		return "the table is\n" + out, strings.Contains(out, "aarch64")
	})
	if len(table) != 2 || !strings.HasPrefix(table[0], "ID") || !strings.Contains(table[1], view.ID) ||
		!strings.Contains(table[1], "aarch64") || !strings.Contains(table[1], strconv.Itoa(b.pid())) {
		t.Errorf("the table is\n%s", strings.Join(table, "\n"))
	}
	for args, want := range map[string]string{
		"list -q": view.ID,
		"list --format '{{.ID}} {{.State}} {{.OwnerPID}}'":     view.ID + " running " + strconv.Itoa(b.pid()),
		"list -q --filter state=stuck":                         "",
		"list -q --filter user=root --filter arch=aarch64":     view.ID,
		"list --noheading --format 'table {{.ID}}\t{{.Arch}}'": "aarch64",
		"show " + view.ID[:3]:                                  "qemu-aarch64",
		"show --json " + view.ID:                               `"wchan"`,
		"show " + view.ID:                                      "busybox",
		"stop --ignore nosuchid && echo fine":                  "fine",
		"list --json | grep -o '\"cgroup\": *\"[^\"]*\"'":      view.Cgroup,
		"version": "0.1.0",
	} {
		eventually(t, func() (string, bool) { // a process that runs waits in no function of the kernel
			out := sh(t, "%s %s 2>&1", ctl, args)
			return fmt.Sprintf("%s: %q, want %q in it", args, out, want), strings.Contains(out, want)
		})
	}
	sh(t, "%s stop %s", ctl, view.ID)
	b.wait()
}

// TestMistakesAreOneClearLine: on standard error, with a non-zero exit status.
func TestMistakesAreOneClearLine(t *testing.T) {
	leakCheck(t)
	for args, want := range map[string]string{
		"show nosuchid":          `no build with ID "nosuchid"`,
		"stop nosuchid":          `no build with ID "nosuchid"`,
		"list --filter nonsense": "nonsense",
		"nonsense":               "nonsense",
	} {
		mistake(t, args, want)
	}
	sh(t, "systemctl stop buildwatchd.socket buildwatchd.service")
	mistake(t, "list", "systemctl start buildwatchd")
}

func mistake(t *testing.T, args, want string) {
	t.Helper()
	cmd := exec.Command("bash", "-c", ctl+" "+args)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) {
		t.Errorf("%s: %v, want a non-zero exit status", args, err)
	}
	said := strings.TrimSuffix(stderr.String(), "\n")
	if stdout.Len() > 0 || strings.Contains(said, "\n") || !strings.Contains(said, want) {
		t.Errorf("%s: standard output %q, standard error %q; want one line with %q", args, stdout.String(), said, want)
	}
}

// TestUsersSeeTheirOwnBuildsOnly.
func TestUsersSeeTheirOwnBuildsOnly(t *testing.T) {
	leakCheck(t)
	b := startBuild(t, family)
	view := b.supervised(familySize)
	if out := sh(t, "runuser -u builder -- %s list --json", ctl); out != "[]" {
		t.Errorf("another user sees %s", out)
	}
	mine, _ := try("runuser -u builder -- %s stop %s", ctl, view.ID)
	none, _ := try("runuser -u builder -- %s stop nosuchid", ctl)
	if strings.ReplaceAll(mine, view.ID, "ID") != strings.ReplaceAll(none, "nosuchid", "ID") {
		t.Errorf("another's build: %q; none: %q", mine, none)
	}
	if b.supervised(familySize).ID != view.ID {
		t.Error("the build is not what it was")
	}
	sh(t, "%s stop %s", ctl, view.ID)
	b.wait()
}

// TestMetricsTellOfAnEndedBuild: what a scrape shows after a cancel.
func TestMetricsTellOfAnEndedBuild(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	counters := []string{
		`buildwatch_builds_started_total{mode="local"}`,
		`buildwatch_builds_ended_total{reason="owner_exited"}`,
		`buildwatch_cancel_duration_seconds_count{reason="owner_exited"}`,
		`buildwatch_ladder_rung_duration_seconds_count{rung="kill"}`,
		`buildwatch_ladder_rung_duration_seconds_count{rung="stop"}`,
		`buildwatch_placements_total`,
	}
	const needed = `buildwatch_ladder_rung_duration_seconds_count{rung="cgroup_kill"}`
	before := map[string]string{needed: metric(t, needed)}
	for _, series := range counters {
		before[series] = metric(t, series)
	}
	b := startBuild(t, family)
	b.supervised(familySize)
	if got := metric(t, `buildwatch_builds{placement="scope",state="running"}`); got != "1" {
		t.Errorf("%s builds run", got)
	}
	_ = b.cmd.Process.Kill()
	for _, series := range counters {
		was, err := strconv.Atoi(before[series])
		if err != nil {
			t.Errorf("%s was %q", series, before[series])
		}
		eventually(t, func() (string, bool) {
			now := metric(t, series)
			return series + " is " + now, now == strconv.Itoa(was+1)
		})
	}
	if got := metric(t, needed); got != before[needed] {
		t.Errorf("cgroup.kill was needed: %s times before, %s after", before[needed], got)
	}
}

// TestConfigurationIsChecked by the installed program, with file, line, key and
// reason; and shown with where each value comes from.
func TestConfigurationIsChecked(t *testing.T) {
	leakCheck(t)
	const dir = "/etc/buildwatch/buildwatchd.toml.d"
	must(t, os.MkdirAll(dir, 0o755))
	file := dir + "/90-test.toml"
	defer os.Remove(file)
	must(t, os.WriteFile(file, []byte("[ladder]\nkill_timeout = \"2s\"\n"), 0o644))
	if out := sh(t, "buildwatchd --check-config"); !strings.Contains(out, "valid") {
		t.Errorf("--check-config says %q", out)
	}
	if out := sh(t, "buildwatchd --print-config"); !strings.Contains(out, `kill_timeout = "2s"`) || !strings.Contains(out, file+":2") {
		t.Errorf("--print-config says\n%s", out)
	}
	must(t, os.WriteFile(file, []byte("[ladder]\nkill_timeout = \"-2s\"\nstop_timeoutt = \"1s\"\n"), 0o644))
	out, err := try("buildwatchd --check-config")
	if err == nil || !strings.Contains(out, file+":2: ladder.kill_timeout") || !strings.Contains(out, file+":3: ladder.stop_timeoutt") {
		t.Errorf("--check-config: %v\n%s", err, out)
	}
}

// TestStatusOfTheScopeShowsTheEndInTheJournal, as systemctl does for a unit.
func TestStatusOfTheScopeShowsTheEndInTheJournal(t *testing.T) {
	leakCheck(t)
	b := startBuild(t, family)
	view := b.supervised(familySize)
	sh(t, "%s stop %s", ctl, view.ID)
	b.wait()
	eventually(t, func() (string, bool) {
		out := sh(t, "journalctl --sync; journalctl -q --no-pager -o cat -u %s", view.Scope)
		return out, strings.Contains(out, "Build "+view.ID+" is gone (stopped)")
	})
}

// TestIdleDaemonDoesNothing: with no build on the host it does not wake up but
// for systemd's watchdog.
func TestIdleDaemonDoesNothing(t *testing.T) {
	leakCheck(t)
	pid := sh(t, "systemctl show -P MainPID buildwatchd.service")
	time.Sleep(8 * time.Second) // what earlier tests have left to do: in storage, and the garbage collector's rest
	count := func() int {
		n, err := strconv.Atoi(sh(t, "cat /proc/%s/task/*/status | awk '/ctxt_switches/ {n += $2} END {print n}'", pid))
		must(t, err)
		return n
	}
	// Of a program that nobody knows, as earlier tests have run it, the daemon looks for steps for half a minute.
	var woken []int
	for range 5 {
		before := count()
		time.Sleep(10 * time.Second)
		woken = append(woken, count()-before)
		if woken[len(woken)-1] <= 100 {
			t.Logf("context switches in each 10 s: %v", woken)
			return
		}
	}
	t.Errorf("the idle daemon was switched to so often in each 10 s: %v", woken)
}

// TestMetricsForAnotherHost by buildwatchd-metrics.socket, with a password: the daemon itself
// may not speak to other hosts. The loopback address stays.
func TestMetricsForAnotherHost(t *testing.T) {
	leakCheck(t)
	const web, dropIn, unit = "/etc/buildwatch/web.yml", "/etc/buildwatch/buildwatchd.toml.d/60-metrics.toml", "/etc/systemd/system/buildwatchd-metrics.socket.d"
	must(t, os.MkdirAll(filepath.Dir(dropIn), 0o755))
	must(t, os.MkdirAll(unit, 0o755))
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	must(t, err)
	must(t, os.WriteFile(web, fmt.Appendf(nil, "basic_auth_users: {prometheus: %q}\n", hash), 0o600))
	must(t, os.WriteFile(dropIn, []byte("[metrics]\nweb_config = \""+web+"\"\n"), 0o644))
	must(t, os.WriteFile(unit+"/address.conf", []byte("[Socket]\nListenStream=\nListenStream=192.0.2.1:16787\nFreeBind=yes\n"), 0o644))
	sh(t, "ip address add 192.0.2.1/32 dev lo")
	defer func() {
		sh(t, "systemctl disable --now buildwatchd-metrics.socket; rm -r %s %s %s; ip address del 192.0.2.1/32 dev lo; systemctl daemon-reload; systemctl restart buildwatchd.service", web, dropIn, unit)
		startDaemon(t)
	}()
	sh(t, "systemctl daemon-reload; systemctl enable buildwatchd-metrics.socket; systemctl restart buildwatchd.service")
	answers := func(address, password string, want int) {
		t.Helper()
		eventually(t, func() (string, bool) {
			request, err := http.NewRequest(http.MethodGet, "http://"+address+"/metrics", nil)
			must(t, err)
			if password != "" {
				request.SetBasicAuth("prometheus", password)
			}
			response, err := (&http.Client{Timeout: long, Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
			if err != nil {
				return err.Error(), false
			}
			defer response.Body.Close()
			return response.Status, response.StatusCode == want
		})
	}
	for _, address := range []string{"192.0.2.1:16787", "127.0.0.1:16786"} {
		answers(address, "secret", http.StatusOK)
		answers(address, "", http.StatusUnauthorized)
		answers(address, "wrong", http.StatusUnauthorized)
	}
	sh(t, "systemctl reload buildwatchd.service; systemctl restart buildwatchd.service")
	answers("192.0.2.1:16787", "secret", http.StatusOK)
	must(t, os.Chmod(web, 0o666))
	sh(t, "systemctl restart buildwatchd.service")
	eventually(t, func() (string, bool) {
		said := sh(t, "journalctl --sync; journalctl --unit buildwatchd.service --invocation=0 --output cat 2>/dev/null || journalctl --unit buildwatchd.service --output cat -n 20")
		return said, strings.Contains(said, "can be written by group or others")
	})
	must(t, os.Chmod(web, 0o600))
	answers("127.0.0.1:16786", "secret", http.StatusOK)
}
