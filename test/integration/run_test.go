//go:build integration

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// asUser runs a test as root and as the rootless user.
func asUser(t *testing.T, test func(t *testing.T, who user)) {
	for _, who := range []user{root, builder} {
		t.Run(string(who), func(t *testing.T) {
			leakCheck(t)
			if who != root {
				noStorageLeft(t, who)
			}
			test(t, who)
		})
	}
}

// noStorageLeft looks at what leakCheck sees of root only. The images that the test
// has made are removed first.
func noStorageLeft(t *testing.T, who user) {
	t.Helper()
	podman := func(args string) string { return who.sh(t, "podman %s 2>&1", args) }
	podman("rmi --all --force")
	t.Cleanup(func() {
		if left := podman("ps --all --external --quiet"); left != "" && !t.Failed() {
			t.Errorf("working containers of %s are left: %s", who, left)
		}
		podman("rm --all --force --time 0")
		podman("rmi --all --force")
	})
}

// command is what runs the arguments as the user. The machine's systemd starts it:
// a process from outside shows a line for a cgroup v1 hierarchy in its
// /proc/self/cgroup by which rootless podman believes that it does not own its
// cgroup, see docs/run.md.
func command(who user, args ...string) *exec.Cmd {
	if who == root {
		return exec.Command(args[0], args[1:]...)
	}
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = strings.ReplaceAll(quoted(arg), "$", "$$") // as systemd has it
	}
	return exec.Command("systemd-run", "--quiet", "--pipe", "--wait", "--collect", "runuser", "--login", string(who), "--session-command", "exec "+strings.Join(words, " "))
}

func runArgs(args ...string) []string { return append([]string{ctl, "run"}, args...) }

// result runs a command to its end.
func result(t *testing.T, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), complaint.String()
}

// TestRunHasTheExitStatusOfItsCommand, or one of its own.
func TestRunHasTheExitStatusOfItsCommand(t *testing.T) {
	asUser(t, func(t *testing.T, who user) {
		for _, row := range []struct {
			want int
			args []string
		}{
			{0, []string{"true"}},
			{1, []string{"--", "false"}},
			{42, []string{"--", "sh", "-c", "exit 42"}},
			{137, []string{"--", "sh", "-c", "kill -KILL $$"}},
			{143, []string{"--", "sh", "-c", "kill -TERM $$"}},
			{125, nil},
			{125, []string{"--nonsense", "true"}},
			{125, []string{"--property", "Conflicts=sshd.service", "true"}},
			{125, []string{"--property", "MemoryMax=lots", "true"}},
			{125, []string{"--name", "../x", "true"}},
			{125, []string{"--timeout", "0", "true"}},
			{126, []string{"/etc/passwd"}},
			{126, []string{"/etc"}},
			{127, []string{"no-such-command"}},
			{127, []string{"/no/such/command"}},
		} {
			if code, out, complaint := result(t, command(who, runArgs(row.args...)...)); code != row.want || out != "" || row.want >= 125 && row.want < 128 && strings.Count(complaint, "\n") != 1 {
				t.Errorf("%q: exit status %d, want %d; stdout %q, stderr %q", row.args, code, row.want, out, complaint)
			}
		}
	})
}

// TestRunPassesStreamsArgumentsAndDescriptors, byte for byte.
func TestRunPassesStreamsArgumentsAndDescriptors(t *testing.T) {
	asUser(t, func(t *testing.T, who user) {
		data := make([]byte, 1<<20)
		for i := range data {
			data[i] = byte(rand.Uint32())
		}
		cmd := command(who, runArgs("--", "sh", "-c", "cat; echo complaint >&2")...)
		cmd.Stdin = bytes.NewReader(data)
		code, out, complaint := result(t, cmd)
		if code != 0 || out != string(data) || complaint != "complaint\n" {
			t.Errorf("exit status %d, %d bytes of %d, same %v, stderr %q", code, len(out), len(data), out == string(data), complaint)
		}
	})
	leakCheck(t)
	args := []string{"printf", "%s|", "", " a\tb\n", "\xff", "--property=x", "--"}
	_, direct, _ := result(t, exec.Command(args[0], args[1:]...))
	if _, out, _ := result(t, exec.Command(ctl, runArgs(args...)[1:]...)); out != direct {
		t.Errorf("arguments are %q, want %q", out, direct)
	}
	look := []string{"sh", "-c", "ls -l /proc/self/fd | sed 's/.*[0-9][0-9]:[0-9][0-9] //' | grep -v /proc/; ulimit -a; umask; pwd; env | grep -v ^_=; grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status; cat <&5"}
	var outs []string
	for _, prefix := range [][]string{nil, runArgs("--")} {
		line := append(append([]string{}, prefix...), look...)
		cmd := exec.Command(line[0], line[1:]...)
		file, err := os.Open("/etc/passwd")
		must(t, err)
		cmd.ExtraFiles = []*os.File{file, file, file}
		cmd.Dir = "/usr"
		_, out, complaint := result(t, cmd)
		file.Close()
		outs = append(outs, out+complaint)
	}
	pipes := func(s string) string { // their numbers differ
		lines := strings.Split(s, "\n")
		for i, line := range lines {
			if before, _, ok := strings.Cut(line, "pipe:"); ok {
				lines[i] = before + "pipe"
			}
		}
		return strings.Join(lines, "\n")
	}
	if pipes(outs[0]) != pipes(outs[1]) {
		t.Errorf("directly the command finds\n%s\nunder buildwatchctl run\n%s", outs[0], outs[1])
	}
}

// runBuild is a build under buildwatchctl run.
type runBuild struct {
	t    *testing.T
	who  user
	cmd  *exec.Cmd
	out  lockedBuffer
	pty  *os.File // nil for none
	done chan struct{}
	read <-chan struct{} // closed when all that was said is in out; nil without a terminal
}

// startRun runs podman build under buildwatchctl run; with a terminal of its own
// where the test wants to press keys. flags are those of run.
func startRun(t *testing.T, who user, instructions string, terminal bool, flags []string, podman ...string) *runBuild {
	t.Helper()
	dir := contextDir(t, instructions)
	sh(t, "chmod -R a+rX %s %s", filepath.Dir(dir), dir)
	network := "none"
	if slices.Contains(podman, "chroot") {
		network = "host" // podman takes no other
	}
	args := runArgs(append(append(flags, "--", "podman", "build", "--no-cache", "--network="+network, "--platform", arch64), append(podman, dir)...)...)
	b := &runBuild{t: t, who: who, cmd: command(who, args...), done: make(chan struct{})}
	if terminal {
		if who != root {
			b.cmd.Args[2] = "--pty"
		}
		master, err := pty.Start(b.cmd)
		must(t, err)
		fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		must(t, err)
		must(t, unix.SetNonblock(fd, true)) // or Close would wait for the reader
		b.pty = os.NewFile(uintptr(fd), "pty")
		must(t, master.Close())
		t.Cleanup(func() { b.pty.Close() })
		read := make(chan struct{})
		b.read = read
		go func() {
			defer close(read)
			_, _ = io.Copy(&b.out, b.pty)
		}()
	} else {
		b.cmd.Stdout, b.cmd.Stderr = &b.out, &b.out
		b.cmd.WaitDelay = long
		must(t, b.cmd.Start())
	}
	go func() {
		_ = b.cmd.Wait()
		close(b.done)
	}()
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		<-b.done
	})
	return b
}

// supervised waits until the build's RUN step runs.
func (b *runBuild) supervised(n int) api.Build {
	b.t.Helper()
	var found api.Build
	eventually(b.t, func() (string, bool) {
		var began bool
		found, began = b.began(n)
		return fmt.Sprintf("%+v: %s", found, b.out.String()), began
	})
	return found
}

func (b *runBuild) began(n int) (api.Build, bool) {
	var found api.Build
	for _, view := range listed(b.t) {
		if view.Mode == api.ModeRun {
			found = view
		}
	}
	return found, found.ID != "" && len(found.Arch) > 0 && b.inSteps(found) >= n
}

// startLimited starts a run that has so many seconds, by flags of that, and the time to begin its
// step: how long that takes is the host's load to say.
func startLimited(t *testing.T, terminal bool, flags func(seconds int) []string) (b *runBuild, view api.Build) {
	t.Helper()
	for limit, began := 10, false; !began; limit *= 2 {
		b = startRun(t, root, family, terminal, flags(limit))
		eventually(t, func() (string, bool) {
			view, began = b.began(familySize)
			select {
			case <-b.done:
				return "", true
			default:
				return fmt.Sprintf("%+v: %s", view, b.out.String()), began
			}
		})
	}
	return b, view
}

// waiterOf is the buildwatchctl that waits for the owner of a run, its command.
func waiterOf(t *testing.T, view api.Build) int {
	t.Helper()
	owner, err := proc.Look(view.Owner.PID)
	must(t, err)
	waiter, err := proc.Look(owner.PPID)
	must(t, err)
	if waiter.Comm != "buildwatchctl" {
		t.Fatalf("%q waits for %q", waiter.Comm, owner.Comm)
	}
	return waiter.PID
}

// inSteps counts the emulated processes.
func (b *runBuild) inSteps(view api.Build) int {
	return strings.Count(sh(b.t, "%s show %s --format '{{range .ProcessTree}}{{if .Arch}}x{{end}}{{end}}' 2>/dev/null || true", ctl, view.ID), "x")
}

// wait waits for the end and returns the exit status and how long it took.
func (b *runBuild) wait() (int, time.Duration) {
	b.t.Helper()
	started := time.Now()
	select {
	case <-b.done:
	case <-time.After(2 * long):
		b.t.Fatalf("buildwatchctl run hangs:\n%s\n%s", b.out.String(), sh(b.t, "ps -ef --forest"))
	}
	took := time.Since(started)
	if b.read != nil {
		select { // what was said last is still on its way
		case <-b.read:
		case <-time.After(5 * time.Second): // something that was left has the terminal
		}
	}
	return b.cmd.ProcessState.ExitCode(), took
}

// storage is what podman has of builds that are under way.
func (b *runBuild) storage() string {
	if b.who == root {
		return sh(b.t, "podman ps --all --external --quiet; ls -d /var/tmp/buildah* 2>/dev/null || true; grep -c /var/lib/containers/storage/overlay/ /proc/self/mountinfo || true")
	}
	return b.who.sh(b.t, "podman ps --all --external --quiet; ls -d /var/tmp/buildah* 2>/dev/null || true")
}

// TestCtrlCAtRunIsACleanCancel: no process, working container, mount or bundle is
// left, though podman itself would leave all of them; the exit status is 130 and the
// prompt is back within 2 s. The terminal is what it was.
func TestCtrlCAtRunIsACleanCancel(t *testing.T) {
	asUser(t, func(t *testing.T, who user) {
		before := (&runBuild{t: t, who: who}).storage()
		b := startRun(t, who, family, true, nil)
		view := b.supervised(familySize)
		held := hold(t, view)
		_, err := b.pty.Write([]byte{3})
		must(t, err)
		code, took := b.wait()
		t.Logf("%s: exit status %d after %v", who, code, took)
		if code != 130 || took > soon(2*time.Second) {
			t.Errorf("exit status %d after %v:\n%s", code, took, b.out.String())
		}
		for _, h := range held {
			if h.Alive() {
				t.Errorf("process %d lives, and the prompt is back", h.PID)
			}
		}
		if after := b.storage(); after != before {
			t.Errorf("storage before:\n%s\nafter:\n%s", before, after)
		}
		if len(listed(t)) != 0 {
			t.Errorf("still listed: %+v", listed(t))
		}
	})
}

// atTerminal is a shell at a terminal of its own, as of a person.
type atTerminal struct {
	t     *testing.T
	shell *exec.Cmd
	tty   *os.File
	shown lockedBuffer
}

func startAtTerminal(t *testing.T, size pty.Winsize, script string) *atTerminal {
	t.Helper()
	a := &atTerminal{t: t, shell: exec.Command("bash", "-c", script)}
	tty, err := pty.StartWithSize(a.shell, &size)
	must(t, err)
	t.Cleanup(func() { tty.Close() })
	a.tty = tty
	go func() { _, _ = io.Copy(&a.shown, tty) }()
	return a
}

func (a *atTerminal) see(text string) {
	a.t.Helper()
	eventually(a.t, func() (string, bool) { return a.shown.String(), strings.Contains(a.shown.String(), text) })
}

func (a *atTerminal) press(keys string) {
	a.t.Helper()
	_, err := a.tty.WriteString(keys)
	must(a.t, err)
}

// TestTerminalIsWhatItWas after a cancel, and after Ctrl+Z.
func TestTerminalIsWhatItWas(t *testing.T) {
	leakCheck(t)
	a := startAtTerminal(t, pty.Winsize{Rows: 33, Cols: 77}, `set -m; stty -a > /tmp/before; `+ctl+` run -- sh -c 'echo ready; stty size; read line; echo got:$line; sleep 1000'; echo status:$?; stty -a > /tmp/stopped; fg; echo status:$?; stty -a > /tmp/after`)
	a.see("ready")
	a.see("33 77")
	a.press("hello\n")
	a.see("got:hello")
	a.press("\x1a") // Ctrl+Z
	a.see("status:148")
	time.Sleep(200 * time.Millisecond)
	a.press("\x03")
	a.see("status:130")
	_ = a.shell.Wait()
	for _, file := range []string{"/tmp/stopped", "/tmp/after"} {
		if diff, err := try("diff /tmp/before %s", file); err != nil {
			t.Errorf("%s: %s", file, diff)
		}
	}
}

// TestClosedTerminalEndsTheBuild, as cleanly as the user's own Ctrl+C.
func TestClosedTerminalEndsTheBuild(t *testing.T) {
	leakCheck(t)
	b := startRun(t, root, family, true, nil)
	view := b.supervised(familySize)
	held := hold(t, view)
	before := time.Now()
	must(t, b.pty.Close())
	if code, _ := b.wait(); code != 129 {
		t.Errorf("exit status %d", code)
	}
	if took := time.Since(before); took > soon(2*time.Second) {
		t.Errorf("it took %v", took)
	}
	allGone(t, held)
}

// TestSecondCtrlCEndsAllAtOnce, whatever the first has not ended yet.
func TestSecondCtrlCEndsAllAtOnce(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	b := startRun(t, root, family, true, nil)
	view := b.supervised(familySize)
	held := hold(t, view)
	sh(t, "pkill -STOP -x podman") // it does not tidy up
	_, _ = b.pty.Write([]byte{3})
	time.Sleep(300 * time.Millisecond)
	_, _ = b.pty.Write([]byte{3})
	code, took := b.wait()
	if code != 130 || took > soon(time.Second) {
		t.Errorf("exit status %d after %v:\n%s", code, took, b.out.String())
	}
	allGone(t, held)
}

// TestSignalsAtRunAreACleanCancel, without a terminal.
func TestSignalsAtRunAreACleanCancel(t *testing.T) {
	for signal, want := range map[syscall.Signal]int{unix.SIGINT: 130, unix.SIGTERM: 143, unix.SIGHUP: 129} {
		t.Run(signal.String(), func(t *testing.T) {
			asUser(t, func(t *testing.T, who user) {
				before := (&runBuild{t: t, who: who}).storage()
				b := startRun(t, who, family, false, nil)
				view := b.supervised(familySize)
				held := hold(t, view)
				if who == root { // all of the group, as a terminal's SIGINT
					must(t, unix.Kill(waiterOf(t, view), signal))
				} else {
					sh(t, "kill -%d %d", signal, waiterOf(t, view))
				}
				code, took := b.wait()
				if code != want || took > soon(2*time.Second) {
					t.Errorf("exit status %d after %v:\n%s", code, took, b.out.String())
				}
				allGone(t, held)
				if after := b.storage(); after != before {
					t.Errorf("storage before:\n%s\nafter:\n%s", before, after)
				}
			})
		})
	}
}

// TestRunKilledEndsItsBuild: who waits for it is gone, so nobody wants it.
func TestRunKilledEndsItsBuild(t *testing.T) {
	asUser(t, func(t *testing.T, who user) {
		b := startRun(t, who, family, false, nil)
		view := b.supervised(familySize)
		held := hold(t, view)
		must(t, unix.Kill(waiterOf(t, view), unix.SIGKILL))
		allGone(t, held)
		eventually(t, func() (string, bool) { return fmt.Sprint(listed(t)), len(listed(t)) == 0 })
	})
}

// TestRunHasADeadline, with and without the daemon.
func TestRunHasADeadline(t *testing.T) {
	t.Run("with the daemon", func(t *testing.T) {
		leakCheck(t)
		before := metric(t, `buildwatch_builds_ended_total{reason="deadline"}`)
		b, view := startLimited(t, true, func(seconds int) []string { return []string{"--timeout", strconv.Itoa(seconds)} })
		held := hold(t, view)
		code, _ := b.wait()
		allGone(t, held)
		if out := b.out.String(); code == 0 || !strings.Contains(out, `its time was over; "buildwatchctl show `+view.ID+`" says more`) || strings.Contains(out, `\r`) {
			t.Errorf("exit status %d:\n%s", code, out)
		}
		eventually(t, func() (string, bool) { // journald writes when it can
			said, _ := try("%s show %s", ctl, view.ID)
			return said, strings.Contains(said, "gone (deadline)")
		})
		eventually(t, func() (string, bool) {
			now := metric(t, `buildwatch_builds_ended_total{reason="deadline"}`)
			return now, now != before
		})
	})
	t.Run("without", func(t *testing.T) {
		leakCheck(t)
		mayLeaveStorage(t)
		b, view := startLimited(t, false, func(seconds int) []string { return []string{"--property", fmt.Sprint("RuntimeMaxSec=", seconds)} })
		held := hold(t, view)
		sh(t, "systemctl stop buildwatchd.socket buildwatchd.service")
		if code, _ := b.wait(); code == 0 {
			t.Error("podman build reports success")
		}
		allGone(t, held)
	})
}

// TestRunWithinARunIsWatchedWithIt, and is not said to be unwatched; it can't have a
// deadline of its own.
func TestRunWithinARunIsWatchedWithIt(t *testing.T) {
	asUser(t, func(t *testing.T, who user) {
		code, _, stderr := result(t, command(who, runArgs("--", ctl, "run", "--", "true")...))
		if code != 0 || stderr != "" {
			t.Errorf("exit status %d: %s", code, stderr)
		}
		code, _, stderr = result(t, command(who, runArgs("--", ctl, "run", "--timeout", "1h", "--", "true")...))
		if code != 125 || !strings.Contains(stderr, "a part of a build can't have") {
			t.Errorf("with a deadline: exit status %d: %s", code, stderr)
		}
	})
}

// TestChrootIsolationIsContained: the only case in which a step's processes can be
// told from nothing else once their parents are gone.
func TestChrootIsolationIsContained(t *testing.T) {
	const escape = `RUN /bin/busybox setsid /bin/sh -c '(echo kworker/7:1 > /proc/self/comm; exec /bin/busybox sleep 1007) &' </dev/null >/dev/null 2>&1; /bin/busybox setsid /bin/sh -c '(echo kworker/7:2 > /proc/self/comm; while :; do /bin/busybox sleep 1008; done) &' </dev/null >/dev/null 2>&1; `
	asUser(t, func(t *testing.T, who user) {
		b := startRun(t, who, escape+"true\n", false, nil, "--isolation", "chroot")
		if code, _ := b.wait(); code != 0 {
			t.Fatalf("exit status %d:\n%s", code, b.out.String())
		}
		eventually(t, func() (string, bool) {
			left := strings.Join(buildProcesses(t), "\n")
			return left, !strings.Contains(left, "sleep")
		})
		before := b.storage()
		b = startRun(t, who, escape+"/bin/busybox sleep 1009\n", true, nil, "--isolation", "chroot")
		b.supervised(4)
		_, _ = b.pty.Write([]byte{3})
		if code, took := b.wait(); code != 130 || took > soon(2*time.Second) {
			t.Errorf("exit status %d after %v:\n%s", code, took, b.out.String())
		}
		if left := strings.Join(buildProcesses(t), "\n"); strings.Contains(left, "sleep") {
			t.Errorf("left:\n%s", left)
		}
		if after := b.storage(); after != before {
			t.Errorf("storage before:\n%s\nafter:\n%s", before, after)
		}
	})
}

// TestPropertiesAreInForce, as far as systemd shows them.
func TestPropertiesAreInForce(t *testing.T) {
	asUser(t, func(t *testing.T, who user) {
		var flags []string
		for _, property := range []string{"MemoryMax=1G", "MemoryHigh=900M", "CPUQuota=150%", "CPUWeight=50", "TasksMax=333", "IOWeight=20", "RuntimeMaxSec=1h", "AllowedCPUs=0-1"} {
			flags = append(flags, "--property", property)
		}
		b := startRun(t, who, family, false, append(flags, "--name", "nightly-1"))
		view := b.supervised(familySize)
		if view.Name != "nightly-1" || view.Owner.Command != "podman build" {
			t.Errorf("listed as %+v", view)
		}
		for property, want := range map[string]string{
			"MemoryMax": "1073741824", "MemoryHigh": "943718400", "CPUQuotaPerSecUSec": "1.500000s", "CPUWeight": "50",
			"TasksMax": "333", "IOWeight": "20", "RuntimeMaxUSec": "1h 4s", "AllowedCPUs": "0-1",
		} {
			if got := sh(t, "systemctl show -P %s %s", property, view.Scope); got != want {
				t.Errorf("%s is %q, want %q", property, got, want)
			}
		}
		if out := sh(t, "systemctl list-units --all --plain --no-legend | awk '{print $1}' | grep -c nightly || true"); out != "0" {
			t.Errorf("the name is in %s units", out)
		}
		sh(t, "%s stop %s", ctl, view.ID)
		b.wait()
	})
}

// TestRunWithoutTheDaemon: builds go on as if buildwatch were not installed, unless
// limits were asked for.
func TestRunWithoutTheDaemon(t *testing.T) {
	leakCheck(t)
	sh(t, "systemctl stop buildwatchd.socket buildwatchd.service")
	code, out, complaint := result(t, exec.Command(ctl, "run", "--", "echo", "hello"))
	if code != 0 || out != "hello\n" || strings.Count(complaint, "\n") != 1 || !strings.Contains(complaint, "unwatched") {
		t.Errorf("exit status %d, stdout %q, stderr %q", code, out, complaint)
	}
	for _, flags := range [][]string{{"--timeout", "1h"}, {"--property", "TasksMax=100"}} {
		args := append(append([]string{"run"}, flags...), "echo", "hello")
		if code, out, complaint := result(t, exec.Command(ctl, args...)); code != 125 || out != "" || strings.Count(complaint, "\n") != 1 {
			t.Errorf("%q: exit status %d, stdout %q, stderr %q", flags, code, out, complaint)
		}
	}
	cmd := exec.Command(ctl, "run", "--", "sleep", "1000")
	must(t, cmd.Start())
	time.Sleep(300 * time.Millisecond)
	must(t, cmd.Process.Signal(unix.SIGTERM))
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 143 {
		t.Errorf("exit status %d after SIGTERM", code)
	}
}

// TestCtrlCAtRunWithoutTheDaemonIsPodmansCleanCancel: podman gets SIGHUP, and so leaves neither
// processes nor storage, which it would by Ctrl+C.
func TestCtrlCAtRunWithoutTheDaemonIsPodmansCleanCancel(t *testing.T) {
	leakCheck(t)
	sh(t, "systemctl stop buildwatchd.socket buildwatchd.service")
	before := storageOf(t, root)
	b := startRun(t, root, family, true, nil)
	eventually(t, func() (string, bool) {
		steps, _ := try("pgrep -fc 'busybox sleep 100[1-4]$'")
		return steps + b.out.String(), steps == "4"
	})
	_, err := b.pty.Write([]byte{3})
	must(t, err)
	if code, took := b.wait(); code != 1 && code != 130 {
		t.Errorf("exit status %d after %v:\n%s", code, took, b.out.String())
	}
	eventually(t, func() (string, bool) {
		left := buildProcesses(t)
		return strings.Join(left, "\n"), len(left) == 0
	})
	noNews(t, root, before)
}

// TestDaemonRestartedThenCtrlC: the build is adopted, and the cancel as clean.
func TestDaemonRestartedThenCtrlC(t *testing.T) {
	leakCheck(t)
	b := startRun(t, root, family, true, []string{"--name", "kept"})
	before := b.supervised(familySize)
	held := hold(t, before)
	sh(t, "systemctl kill --signal=KILL buildwatchd.service")
	startDaemon(t)
	after := b.supervised(familySize)
	if after.ID != before.ID || after.Name != "kept" {
		t.Errorf("before %+v, after %+v", before, after)
	}
	eventually(t, func() (string, bool) {
		command := b.supervised(0).Owner.Command
		return command, command == "podman build"
	})
	_, _ = b.pty.Write([]byte{3})
	if code, took := b.wait(); code != 130 || took > soon(2*time.Second) {
		t.Errorf("exit status %d after %v:\n%s", code, took, b.out.String())
	}
	allGone(t, held)
}

// TestRunBuildsTheSameContent: a wanted build is whole, and so are several of one
// script, which share a scope.
func TestRunBuildsTheSameContent(t *testing.T) {
	asUser(t, func(t *testing.T, who user) {
		var want strings.Builder
		for i := range 6 {
			fmt.Fprintln(&want, i)
		}
		b := startRun(t, who, "RUN for i in 0 1 2 3 4 5; do echo $i; /bin/busybox sleep 0.1; done > /out\n", false, nil, "--tag", "content")
		if code, _ := b.wait(); code != 0 {
			t.Fatalf("exit status %d:\n%s", code, b.out.String())
		}
		code, out, complaint := result(t, command(who, "podman", "run", "--rm", "--network=none", "--pids-limit=0", "--platform", arch64, "content", "/bin/busybox", "cat", "/out"))
		if code != 0 || out != want.String() {
			t.Errorf("exit status %d, content %q, want %q; %s", code, out, want.String(), complaint)
		}
	})
	leakCheck(t)
	dir := contextDir(t, "RUN /bin/busybox sleep 1\n")
	build := "podman build --no-cache --network=none --platform " + arch64 + " " + dir
	started, err := strconv.Atoi(metric(t, `buildwatch_builds_started_total{mode="local"}`))
	must(t, err)
	sh(t, "%s run -- sh -c '%s & %s & wait'", ctl, build, build)
	if now := metric(t, `buildwatch_builds_started_total{mode="local"}`); now != strconv.Itoa(started) {
		t.Errorf("%s local builds were started, %d before", now, started)
	}
	sh(t, "podman rmi --all --force")
}

// lockedBuffer is written by one and read by another at once.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}
