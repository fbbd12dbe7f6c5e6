//go:build integration

package integration

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// One user against all others: what they share has bounds for each. The figures are in
// docs/security.md.

// roles starts a role as a UID, n times, each with these arguments, and waits until each
// has said a line.
func roles(t *testing.T, uid uint32, n int, role string, args ...string) {
	t.Helper()
	for range n {
		cmd := exec.Command("/proc/self/exe", args...)
		cmd.Env, cmd.Dir = append(os.Environ(), roleEnv+"="+role), "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("%s says %q: %v", role, line, err)
		}
	}
}

// watchers is a role: it reads events by as many connections as it is told, and keeps
// them.
func watchers(number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	var held []net.Conn
	for range n {
		conn, err := net.Dial("unix", api.ControlSocket)
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		_, _ = conn.Write([]byte("GET /v1/events HTTP/1.1\r\nHost: d\r\n\r\n"))
		held = append(held, conn)
	}
	fmt.Println("ready")
	time.Sleep(time.Hour)
	for _, conn := range held {
		conn.Close()
	}
	return nil
}

// TestManyUsersThatReadEventsShutNobodyOut: forty UIDs with 64 readers each.
func TestManyUsersThatReadEventsShutNobodyOut(t *testing.T) {
	leakCheck(t)
	for uid := uint32(30000); uid < 30040; uid++ {
		roles(t, uid, 1, "watchers", "64")
	}
	for range 5 {
		for _, who := range []user{root, builder, core} {
			if out, err := who.try("%s list", ctl); err != nil {
				t.Errorf("%s: %v: %s", who, err, out)
			}
		}
	}
	startBuild(t, "RUN true\n").succeed()
}

// startMany has a user start as many builds at once, of which each says what is wrong
// with it.
func startMany(t *testing.T, who user, n int) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "many-")
	must(t, err)
	must(t, os.Chmod(dir, 0o777))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	script := fmt.Sprintf("for i in $(seq %d); do %s run -- /bin/sleep 1000 </dev/null >%s/$i 2>&1 & done; wait", n, ctl, dir)
	cmd := exec.Command("bash", "-c", script)
	id := uint32(userIDs[who])
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}, Setpgid: true}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return dir
}

// runsOf counts a user's builds.
func runsOf(t *testing.T, who user) (n int) {
	t.Helper()
	for _, b := range listed(t) {
		if b.User.Name == string(who) && b.Mode == api.ModeRun {
			n++
		}
	}
	return n
}

// TestOneUserStartsSixtyBuildsAtOnce: another's nine, started right after, are all
// supervised.
func TestOneUserStartsSixtyBuildsAtOnce(t *testing.T) {
	unharmed := underAttack(t)
	startMany(t, builder, 60)
	time.Sleep(50 * time.Millisecond)
	said := startMany(t, core, 9)
	eventually(t, func() (string, bool) {
		n := runsOf(t, core)
		return fmt.Sprintf("%d of 9 are supervised: %s", n, sh(t, "cat %s/* 2>&1 || true", said)), n == 9
	})
	unharmed()
}

// manyBuilds is how many builds of root's are run at once by
// TestHundredsOfBuildsCostNoThread: a thousand take minutes.
var manyBuilds = flag.Int("many.builds", 300, "how many builds TestHundredsOfBuildsCostNoThread has at once")

// TestHundredsOfBuildsCostNoThread of the daemon's. At one for each it died at 247.
func TestHundredsOfBuildsCostNoThread(t *testing.T) {
	unharmed := underAttack(t)
	daemon := sh(t, "systemctl show -P MainPID buildwatchd.service")
	// Those of a host that is too busy just then go unwatched: others are started.
	for begun := 0; runsOf(t, root) < *manyBuilds; {
		if begun > 2**manyBuilds {
			t.Fatalf("%d of %d are supervised", runsOf(t, root), begun)
		}
		startMany(t, root, 20)
		begun += 20
		eventually(t, func() (string, bool) { // each has become its command
			n := sh(t, "pgrep -cx sleep || true")
			return fmt.Sprintf("%s of %d have begun", n, begun), n == strconv.Itoa(begun)
		})
	}
	if again := sh(t, "systemctl show -P MainPID buildwatchd.service"); again != daemon {
		t.Fatal("the daemon has died")
	}
	threads, err := strconv.Atoi(sh(t, "ls /proc/%s/task | wc -l", daemon))
	must(t, err)
	t.Logf("%d builds, %d threads, %d MiB", runsOf(t, root), threads, resident(t, daemon)>>20)
	if threads > 40 {
		t.Errorf("%d threads with %d builds", threads, runsOf(t, root))
	}
	unharmed()
}

// TestBuildsOfSubordinateUIDsAreTheirLendersOwn: of all that one login user starts by the
// UIDs that they are lent 128 are supervised, and no more; another user's four are.
func TestBuildsOfSubordinateUIDsAreTheirLendersOwn(t *testing.T) {
	unharmed := underAttack(t)
	first := sh(t, "grep ^builder: /etc/subuid | cut -d: -f2 | head -1")
	lent, err := strconv.Atoi(first)
	must(t, err)
	count := func() (n int) {
		for _, b := range listed(t) {
			if int(b.User.UID) > lent && b.Mode == api.ModeRun {
				n++
			}
		}
		return n
	}
	next := lent
	// Those of a host that is too busy just then go unwatched: others are started until
	// all that may be supervised are. Each has become its command when it was decided.
	startTwenty := func() {
		var started []int
		for range 20 {
			next++
			cmd := exec.Command(ctl, "run", "--", "/bin/sleep", "1000")
			cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(next), Gid: uint32(next)}}
			must(t, cmd.Start())
			started = append(started, cmd.Process.Pid)
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
		}
		before := count()
		for _, pid := range started {
			eventually(t, func() (string, bool) {
				comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
				waits := sh(t, "ps -o comm= --ppid %d || true", pid)
				return fmt.Sprintf("%d is %s (%v), over %q; %d were supervised", pid, comm, err, waits, before),
					string(comm) == "sleep\n" || strings.Contains(waits, "sleep")
			})
		}
	}
	for next < lent+600 && count() < 128 {
		startTwenty()
	}
	if n := count(); n < 128 {
		t.Fatalf("%d of %d are supervised", n, next-lent)
	}
	startTwenty()
	startMany(t, core, 4)
	eventually(t, func() (string, bool) {
		return fmt.Sprintf("another user has %d of 4", runsOf(t, core)), runsOf(t, core) == 4
	})
	if n := count(); n > 128 {
		t.Errorf("%d builds by subordinate UIDs of one user", n)
	}
	unharmed()
}
