//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// shim stands in for podman on the host of a podman machine. Its ssh is a real
// one, called as podman calls it: the words of the command as they are, for ssh
// to join; standard input passed; the exit code ssh's. What is no machine's name
// is the first word of a command for the default machine.
// Source: podman cmd/podman/machine/ssh.go, pkg/machine/ssh.go.
const shim = `#!/bin/sh
cd "$(dirname "$0")"
fail() { echo "Error: $1" >&2; exit 125; }
case "$1 $2" in
'machine inspect')
	[ "$3" = --format ] && [ "$4" = '{{.State}}' ] || fail "unexpected: $*"
	case $5 in vm | podman-machine-default) cat state ;; *) fail "$5: VM does not exist" ;; esac
	exit ;;
'machine ssh') ;;
'machine list') echo 'podman-machine-default*'; exit ;;
*) fail "unexpected: $*" ;;
esac
shift 2
user=core
if [ "$1" = --username ]; then user=$2; shift 2; fi
case $1 in vm | podman-machine-default) shift ;; esac
[ "$(cat state)" = running ] || fail 'vm "vm" is not running'
[ $# -gt 0 ] || fail 'no command'
exec ssh -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o CheckHostIP=no \
	-o LogLevel=ERROR -o SetEnv=LC_ALL= -i "$PWD/key" -p 22 "$user@localhost" "$@"
`

// podmanMachine is this machine, seen from its host: a user without rights who
// has nothing but the stand-in for podman, and a release of the project.
type podmanMachine struct {
	t       *testing.T
	dir     string // the stand-in, its key and its state
	release string
	runtime string // podman's default one without buildwatch
}

// startPodmanMachine takes the project out of this machine and makes it one that
// podman has made: ssh for core and root, and the sockets of both. The ordinary
// installation is there again after the test.
func startPodmanMachine(t *testing.T) *podmanMachine {
	t.Helper()
	m := &podmanMachine{t: t, dir: "/tmp/podman-machine/bin", release: "/tmp/podman-machine/release"}
	t.Cleanup(func() {
		sh(t, "systemctl stop ssh.service podman.socket podman.service")
		_, _ = try("pkill -KILL -u core -x 'podman|catatonit'; pkill -KILL -u builder -x 'podman|catatonit'")
		sh(t, "systemctl --user -M core@ stop podman.socket podman.service; rm -rf /root/.ssh /home/core/.ssh /tmp/podman-machine")
		sh(t, "make -C /src uninstall UNITDIR=/etc/systemd/system; make -C /src install; systemctl daemon-reload; systemctl enable --now buildwatchd.socket buildwatchd.service")
	})
	sh(t, "make -C /src uninstall; systemctl daemon-reload")
	m.runtime = sh(t, "podman info --format '{{.Host.OCIRuntime.Name}}'")
	sh(t, "mkdir -p %s %s/build/linux-amd64 /root/.ssh /home/core/.ssh", m.dir, m.release)
	sh(t, "cp -r /src/dist /src/man %[1]s; cp /src/build/buildwatch[dcrk]* /src/build/buildwatch-* %[1]s/build/linux-amd64", m.release)
	write(t, filepath.Join(m.dir, "podman"), shim)
	m.state("running")
	sh(t, "ssh-keygen -q -t ed25519 -N '' -f %[1]s/key; cp %[1]s/key.pub /root/.ssh/authorized_keys; cp %[1]s/key.pub /home/core/.ssh/authorized_keys", m.dir)
	sh(t, "chown -R builder: %s; chown -R core: /home/core/.ssh; chmod 700 /root/.ssh /home/core/.ssh", m.dir)
	sh(t, "systemctl start ssh.service podman.socket; systemctl --user -M core@ start podman.socket")
	return m
}

// state is what podman says of the machine.
func (m *podmanMachine) state(state string) {
	m.t.Helper()
	write(m.t, filepath.Join(m.dir, "state"), state+"\n")
}

// host returns a command of the host's user.
func (m *podmanMachine) host(format string, args ...any) *exec.Cmd {
	cmd := exec.Command("runuser", "-u", "builder", "--", "sh", "-c", fmt.Sprintf(format, args...))
	cmd.Env = []string{"PATH=" + m.dir + ":/usr/bin:/bin", "HOME=/home/builder", "LANG=C.UTF-8"}
	cmd.Dir = "/"
	return cmd
}

// ask runs a command of the host's user and returns what it said and its exit code.
func (m *podmanMachine) ask(format string, args ...any) (out, errs string, code int) {
	m.t.Helper()
	cmd := m.host(format, args...)
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); cmd.ProcessState == nil {
		m.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// script runs install.sh or uninstall.sh, by a shell, and returns all it says.
func (m *podmanMachine) script(shell, name string) string {
	m.t.Helper()
	out, errs, code := m.ask("%s %s/dist/podman-machine/%s.sh vm", shell, m.release, name)
	if code != 0 {
		m.t.Fatalf("%s.sh: exit code %d\n%s%s", name, code, out, errs)
	}
	return out + errs
}

// verified is what install.sh says of a user whose podman has the same runtime
// as before, by the wrapper.
func (m *podmanMachine) verified(user, libexec string) string {
	return "podman of " + user + ": " + m.runtime + ", by " + libexec + "/" + m.runtime + "\n"
}

// ctl is buildwatchctl on the host: the one program that a host needs.
func (m *podmanMachine) ctl() string { return m.release + "/build/linux-amd64/buildwatchctl" }

// files lists all that an installation could leave.
func files(t *testing.T) []string {
	t.Helper()
	return strings.Split(sh(t, "find /etc /usr /opt /var /var/tmp -xdev '(' -path /var/log -o -path /var/lib/systemd -o -path /var/cache ')' -prune -o -print | sort -u"), "\n")
}

func added(before, after []string) []string {
	return slices.DeleteFunc(slices.Clone(after), func(path string) bool { return slices.Contains(before, path) })
}

// TestPodmanMachineFromInstallToUninstall is a machine's whole life with it.
func TestPodmanMachineFromInstallToUninstall(t *testing.T) {
	leakCheck(t)
	m := startPodmanMachine(t)
	before := files(t)

	out := m.script("dash", "install")
	for _, want := range []string{
		"==> Asking", "==> Copying the programs for amd64", "/usr/local\n", "==> Installing in /usr/local", "==> Starting the daemon",
		"buildwatchd   ", m.verified("root", libexec), m.verified("core", libexec), "==> Done",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("install.sh does not say %q:\n%s", want, out)
		}
	}
	installed := files(t)
	if again := m.script("bash", "install"); strings.Contains(again, ".new") {
		t.Errorf("install.sh, again, says\n%s", again)
	}
	if more := added(installed, files(t)); len(more) > 0 {
		t.Errorf("the second install.sh has added %q", more)
	}
	if got := sh(t, "systemctl is-enabled buildwatchd.socket buildwatchd.service"); got != "enabled\nenabled" {
		t.Errorf("the units are %q", got)
	}

	t.Run("cancelled builds", m.cancelledBuilds)
	t.Run("buildwatchctl", m.askedFromTheHost)

	// Builds go on while it is taken out.
	b := startBuild(t, ticks, "--tag", "ticks")
	b.supervised(1)
	m.script("bash", "uninstall")
	b.succeed()
	if got := fileInImage(t, "ticks", "ticks"); got != allTicks {
		t.Errorf("the image has the ticks %q", got)
	}
	sh(t, "podman rmi --force ticks")
	m.script("dash", "uninstall") // now that no podman needs the wrapper's path
	left := slices.DeleteFunc(added(before, files(t)), func(path string) bool {
		return slices.Contains([]string{"/usr/local/libexec", "/etc/tmpfiles.d"}, path) // directories of everybody's
	})
	if len(left) > 0 {
		t.Errorf("uninstall.sh has left\n%s", strings.Join(left, "\n"))
	}
	out, errs, code := m.ask("%s --machine=vm list", m.ctl())
	if want := `there is no buildwatchctl in the podman machine "vm"`; code != 125 || out != "" || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
		t.Errorf("list without it: %d\n%s%s", code, out, errs)
	}
}

// cancelledBuilds: root's and core's, in the machine and from its host.
func (m *podmanMachine) cancelledBuilds(t *testing.T) {
	mayLeaveStorage(t)
	dir := contextDir(t, family)
	sh(t, "chmod -R a+rX %s; chmod a+x %s %s", dir, filepath.Dir(dir), filepath.Dir(filepath.Dir(dir)))
	flags := "--no-cache --network=none --platform " + arch64 + " " + dir
	remote := "podman --identity " + m.dir + "/key --url ssh://%s@localhost:22%s build " + flags
	// Not by the stand-in's PATH: podman's own client speaks ssh itself.
	fromHost := func(user, socket string) *exec.Cmd {
		cmd := m.host("exec "+remote, user, socket)
		cmd.Env[0] = "PATH=/usr/bin:/bin"
		return cmd
	}
	for name, c := range map[string]struct {
		user string
		cmd  *exec.Cmd
	}{
		"root":                {"root", exec.Command("podman", strings.Fields("build "+flags)...)},
		"core":                {"core", exec.Command("runuser", "--login", "core", "--command", "exec podman build "+flags)},
		"root, from the host": {"root", fromHost("root", "/run/podman/podman.sock")},
		"core, from the host": {"core", fromHost("core", "/run/user/501/podman/podman.sock")},
	} {
		t.Run(name, func(t *testing.T) {
			var said strings.Builder
			c.cmd.Stdout, c.cmd.Stderr = &said, &said
			must(t, c.cmd.Start())
			defer func() { _ = c.cmd.Wait() }()
			var view api.Build
			eventually(t, func() (string, bool) {
				for _, view = range listed(t) {
					if view.User.Name == c.user && view.Processes >= familySize {
						return "", true
					}
				}
				return fmt.Sprintf("listed: %+v\n%s", listed(t), said.String()), false
			})
			held := hold(t, view)
			// runuser is not the client, but the parent of it.
			sh(t, "pkill -KILL -P %[1]d -x podman || kill -KILL %[1]d", c.cmd.Process.Pid)
			started := time.Now()
			allGone(t, held)
			t.Logf("gone after %v", time.Since(started))
		})
	}
}

// askedFromTheHost: buildwatchctl --machine is buildwatchctl in the machine.
func (m *podmanMachine) askedFromTheHost(t *testing.T) {
	mayLeaveStorage(t)
	dir := contextDir(t, family)
	sh(t, "chmod -R a+rX %s; chmod a+x %s %s", dir, filepath.Dir(dir), filepath.Dir(filepath.Dir(dir)))
	if out, _, code := m.ask("%s --machine=vm list --json", m.ctl()); code != 0 || out != "[]\n" {
		t.Errorf("an empty list: %d %q", code, out)
	}
	client := exec.Command("runuser", "--login", "core", "--command", "exec podman build --no-cache --network=none --platform "+arch64+" "+dir)
	must(t, client.Start())
	defer func() { _ = client.Wait() }()
	var builds []api.Build
	eventually(t, func() (string, bool) {
		out, errs, code := m.ask("%s --machine list --json", m.ctl())
		if code != 0 {
			t.Fatalf("list: %d\n%s", code, errs)
		}
		must(t, json.Unmarshal([]byte(out), &builds))
		return out, len(builds) == 1 && builds[0].Processes >= familySize && builds[0].User.UID == 501
	})
	id := builds[0].ID
	for _, c := range []struct {
		args, out, errs string
		code            int
	}{
		{"show " + id[:3], "qemu-aarch64", "", 0},
		{`list --format '{{.ID}} it'"'"'s "$HOME"'`, id + ` it's "$HOME"` + "\n", "", 0},
		{"list -q --filter 'user=no one'", "", "", 0},
		{"version", "buildwatchd   ", "", 0},
		{"show nosuchid", "", `no build with ID "nosuchid"`, 1},
		{"list --filter nonsense", "", `see "buildwatchctl list --help"`, 125},
		{"--socket /nowhere list", "", "buildwatchd is not running (there is no /nowhere", 1},
		{"stop " + id, id + "\n", "", 0},
		{"stop " + id, "", "no build with ID", 1},
	} {
		out, errs, code := m.ask("%s --machine=vm %s", m.ctl(), c.args)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) || c.errs == "" && errs != "" || c.code != 0 && (out != "" || strings.Count(errs, "\n") != 1) {
			t.Errorf("%s: exit code %d, want %d\n%s\n%s", c.args, code, c.code, out, errs)
		}
	}

	// The machine, not the build.
	m.state("stopped")
	defer m.state("running")
	for args, want := range map[string]string{
		"--machine=vm list":   `the podman machine "vm" is not running but stopped: "podman machine start vm" starts it`,
		"--machine=halt list": `podman has no machine "halt" to ask`,
	} {
		if out, errs, code := m.ask("%s %s", m.ctl(), args); code != 125 || out != "" || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: exit code %d\n%s%s", args, code, out, errs)
		}
	}
	m.state("running")
	sh(t, "systemctl stop ssh.service")
	defer sh(t, "systemctl start ssh.service")
	if out, errs, code := m.ask("%s --machine=vm list", m.ctl()); code != 125 || out != "" || !strings.Contains(errs, `buildwatchctl: the podman machine "vm" can't be asked, which says nothing of its builds`) {
		t.Errorf("without ssh: exit code %d\n%s%s", code, out, errs)
	}
}
