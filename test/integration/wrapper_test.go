//go:build integration

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// probe is what the tests put in the place of the real runtime: it tells all
// that execve(2) hands on, but for what differs between any two processes.
const probe = `#!/bin/bash
echo "args: $0 $*"
echo "stdin: $(readlink /proc/$$/fd/0)"
for fd in /proc/$$/fd/*; do case ${fd##*/} in 255) ;; *) echo "fd ${fd##*/}: $(readlink $fd | sed 's/:.*//')";; esac; done
echo "cwd: $(readlink /proc/$$/cwd)"
env -0 | tr '\0' '\n' | grep -v '^_=\|^SHLVL=\|^PWD=' | sort
grep -E '^(Umask|Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Cpus_allowed)' /proc/$$/status
grep -E '^Sig(Blk|Ign)' /proc/self/status # a child's: bash blocks SIGCHLD now and then
cat /proc/$$/limits /proc/$$/cgroup /proc/$$/oom_score_adj
awk '{print "nice", $19, "session", $6 != 0, "tty", $7}' /proc/$$/stat
exit 7
`

// withProbe replaces the real runtime by the probe for one test.
func withProbe(t *testing.T, real string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "probe")
	write(t, path, probe)
	sh(t, "mount --bind %s %s", path, real)
	t.Cleanup(func() { sh(t, "umount %s", real) })
}

// TestRuntimeFindsWhatItWouldFindWithoutTheWrapper compares what the runtime is
// given with the wrapper and without, from a caller that has set everything to
// something unusual.
func TestRuntimeFindsWhatItWouldFindWithoutTheWrapper(t *testing.T) {
	leakCheck(t)
	bundle := t.TempDir()
	write(t, filepath.Join(bundle, "config.json"), `{"linux":{}}`)
	broken := t.TempDir()
	write(t, filepath.Join(broken, "config.json"), `{"linux":`)
	for _, runtime := range []string{"crun", "runc"} {
		withProbe(t, "/usr/bin/"+runtime)
		for name, args := range map[string]string{
			"pass through":             "state buildah-buildah1",
			"no build's":               "--systemd-cgroup create --bundle " + bundle + " 0123456789abcdef",
			"unknown arguments":        "--unheard of 'two words' '' $'new\\nline'",
			"no arguments":             "",
			"refused: no builder":      "--systemd-cgroup create --bundle " + bundle + " --pid-file /p buildah-buildah1",
			"unreadable configuration": "--systemd-cgroup create --bundle " + broken + " --pid-file /p buildah-buildah1",
			"no bundle":                "--systemd-cgroup create --bundle /none --pid-file /p buildah-buildah1",
		} {
			t.Run(runtime+", "+name, func(t *testing.T) {
				without, with := strange(t, "/usr/bin/"+runtime, args), strange(t, filepath.Join(libexec, runtime), args)
				if without != with {
					t.Errorf("without:\n%s\nwith:\n%s", without, with)
				}
				if !strings.Contains(with, "exited with 7") || !strings.Contains(with, "FROM_CALLER=yes") ||
					!strings.Contains(with, "Umask:\t0027") || !strings.Contains(with, "fd 9: pipe") {
					t.Errorf("the probe saw nothing of the caller:\n%s", with)
				}
			})
		}
	}
}

// strange calls a runtime from a shell with odd limits, ignored and blocked
// signals, umask, descriptors, directory and priority.
func strange(t *testing.T, runtime, args string) string {
	t.Helper()
	script := `
cd /var/log
umask 027
ulimit -S -n 777; ulimit -S -c 0; ulimit -S -s 4096
trap '' PIPE TERM USR1 HUP
exec 9< <(sleep 1) 8> /dev/null
export FROM_CALLER=yes ODD=$'a\tb' EMPTY=
nice -n 5 env --block-signal=USR2,WINCH ` + runtime + " " + args + `
echo "exited with $?"`
	out, err := exec.Command("bash", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// TestParentDeathSignalReachesTheRuntime: buildah asks the kernel to end the
// runtime when its monitor dies. The wrapper must hand that on.
func TestParentDeathSignalReachesTheRuntime(t *testing.T) {
	leakCheck(t)
	path := filepath.Join(t.TempDir(), "probe")
	write(t, path, "#!/bin/bash\nexec sleep 1005\n")
	sh(t, "mount --bind %s /usr/bin/crun", path)
	defer sh(t, "umount /usr/bin/crun")
	// setpriv sets the signal in the process that then becomes the wrapper.
	cmd := exec.Command("bash", "-c", "setpriv --pdeathsig KILL "+libexec+"/crun state x & sleep 1006")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() (string, bool) {
		out, err := try("pgrep -f 'sleep 1005'")
		return "the runtime does not run: " + out, err == nil
	})
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	eventually(t, func() (string, bool) {
		out, err := try("pgrep -f 'sleep 1005'")
		return "the runtime outlived its parent: " + out, err != nil
	})
	_, _ = try("pkill -f 'sleep 1006'")
}

// TestBuildGoesOnWhateverTheDaemonDoes: the wrapper without its daemon, with one
// that hangs, and with one that refuses.
func TestBuildGoesOnWhateverTheDaemonDoes(t *testing.T) {
	const instructions = "RUN echo done > /done\nRUN true\n"
	for _, test := range []struct{ name, break_, mend string }{
		{"stopped", "systemctl stop buildwatchd.socket buildwatchd.service", "true"},
		{"hangs", "systemctl kill --signal=STOP buildwatchd.service", "systemctl kill --signal=CONT buildwatchd.service"},
		{"its keeper is missing", "mv " + libexec + "/buildwatch-keeper{,.away}", "mv " + libexec + "/buildwatch-keeper{.away,}"},
		{"the wrapper is missing", "mv " + libexec + "/buildwatch-runtime{,.away}", "mv " + libexec + "/buildwatch-runtime{.away,}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			leakCheck(t)
			sh(t, "%s", test.break_)
			started := time.Now()
			b := startBuild(t, instructions, "--tag", "open")
			code := b.wait()
			took := time.Since(started)
			sh(t, "%s", test.mend)
			if code != 0 {
				t.Fatalf("podman build exited with %d:\n%s", code, b.out.String())
			}
			if got := fileInImage(t, "open", "done"); got != "done\n" {
				t.Errorf("the image has %q", got)
			}
			t.Logf("took %v", took)
		})
	}
}

// TestHungDaemonCostsAStepAtMostASecond, which is what the wrapper waits.
func TestHungDaemonCostsAStepAtMostASecond(t *testing.T) {
	leakCheck(t)
	path := filepath.Join(t.TempDir(), "probe")
	write(t, path, "#!/bin/bash\ndate +%s.%N\n")
	sh(t, "mount --bind %s /usr/bin/crun", path)
	defer sh(t, "umount /usr/bin/crun")
	bundle := t.TempDir()
	write(t, filepath.Join(bundle, "config.json"), `{"linux":{}}`)
	sh(t, "systemctl kill --signal=STOP buildwatchd.service")
	defer sh(t, "systemctl kill --signal=CONT buildwatchd.service")
	waited := sh(t, "s=$(date +%%s.%%N); e=$(%s/crun create --bundle %s buildah-buildah1); echo \"$e - $s < 1.5\" | awk '{print ($1-$3 < $5) ? \"ok\" : $1-$3}'", libexec, bundle)
	if waited != "ok" {
		t.Errorf("the runtime started after %s s", waited)
	}
}

// TestRuntimeIsChosenAsWithoutBuildwatch on hosts with crun only, runc only and
// both; and what is said of a runtime that is missing.
func TestRuntimeIsChosenAsWithoutBuildwatch(t *testing.T) {
	leakCheck(t)
	crunFails := rootCrunFails(t)
	for _, missing := range []string{"nothing", "crun", "runc"} {
		t.Run("without "+missing, func(t *testing.T) {
			for _, path := range podman.RuntimePaths()[missing] {
				if err := os.Rename(path, path+".away"); err == nil {
					defer func() { must(t, os.Rename(path+".away", path)) }()
				}
			}
			const ask = "podman info --format '{{.Host.OCIRuntime.Name}}'"
			with, withErr := try(ask)
			must(t, os.Rename(dropIn, dropIn+".away"))
			without, withoutErr := try(ask)
			must(t, os.Rename(dropIn+".away", dropIn))
			var flags []string
			if withErr != nil && withoutErr != nil {
				// The one that is missing is the one that containers.conf wants, as on
				// bookworm: podman does not take another by itself.
				flags = []string{"--runtime", map[string]string{"crun": "runc", "runc": "crun"}[missing]}
			} else if with != without {
				t.Errorf("podman takes %s with buildwatch, %s without", with, without)
			}
			if missing == "nothing" {
				return
			}
			b := startBuild(t, "RUN true\n", flags...) // by the runtime that is there
			if missing == "runc" && crunFails {
				b.failWithoutMemlock()
			} else {
				b.succeed()
			}
			b = startBuild(t, "RUN true\n", "--runtime", missing)
			if code := b.wait(); code == 0 {
				t.Errorf("a build with %s, which is missing, succeeds", missing)
			}
			if out := b.out.String(); !strings.Contains(out, missing) || !strings.Contains(out, "no valid executable found for OCI runtime") {
				t.Errorf("the error does not say what is missing:\n%s", out)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestWrapperNeverCallsItself: a link in a runtime's place that leads back.
func TestWrapperNeverCallsItself(t *testing.T) {
	leakCheck(t)
	must(t, os.Rename("/usr/bin/crun", "/usr/bin/crun.away"))
	defer func() { must(t, os.Rename("/usr/bin/crun.away", "/usr/bin/crun")) }()
	must(t, os.Symlink(filepath.Join(libexec, "buildwatch-runtime"), "/usr/bin/crun"))
	defer os.Remove("/usr/bin/crun")
	out, err := try("timeout 5 %s/crun --version", libexec)
	if err == nil || !strings.Contains(out, "no valid executable found for OCI runtime") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestCallsThatPassThroughDoNotStartGo: they become the real runtime before that, unless
// podman's configuration has rows of runtimes. Go's runtime tells of its start, when asked.
func TestCallsThatPassThroughDoNotStartGo(t *testing.T) {
	leakCheck(t)
	path := filepath.Join(t.TempDir(), "probe")
	write(t, path, "#!/bin/sh\necho called as $0\n")
	sh(t, "mount --bind %s /usr/bin/crun", path)
	defer sh(t, "umount /usr/bin/crun")
	call := func(as, args string) (out string, started bool) {
		t.Helper()
		out = sh(t, "runuser -u %s -- env GODEBUG=inittrace=1 %s/crun %s 2>&1", as, libexec, args)
		return out, strings.Contains(out, "init runtime @")
	}
	for _, user := range []string{"root", "builder"} {
		for args, want := range map[string]bool{
			"--version":                              false,
			"state buildah-buildah1":                 false,
			"create --bundle /none 123abc":           false,
			"create --bundle /none buildah-buildah1": true,
		} {
			if out, started := call(user, args); started != want || !strings.Contains(out, "called as /usr/bin/crun") {
				t.Errorf("%s, %s: Go's runtime starts: %v\n%s", user, args, started, out)
			}
		}
	}
	own := filepath.Join(t.TempDir(), "crun")
	write(t, own, "#!/bin/sh\necho called as $0\n")
	writeRow(t, "10-acme.conf", "crun", own)
	if out, _ := call("root", "state x"); !strings.Contains(out, "called as "+own) {
		t.Errorf("with a row of the administrator's:\n%s", out)
	}
	must(t, os.Remove(confD+"10-acme.conf"))
	if out, started := call("root", "state x"); started {
		t.Errorf("after the row was removed:\n%s", out)
	}
}
