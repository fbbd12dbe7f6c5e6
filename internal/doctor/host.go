package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/features"
)

const cgroupMount = "/sys/fs/cgroup"

// cgroups looks for version 2 in unified mode: without it there is nothing to hold
// builds by.
func (h Host) cgroups(context.Context) []Check {
	var st unix.Statfs_t
	if err := unix.Statfs(h.path(cgroupMount), &st); err != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		return one("cgroup", Fail, "cgroup v2 is not mounted at "+cgroupMount+" (unified mode)",
			"boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line")
	}
	return one("cgroup", OK, "cgroup v2 is mounted at "+cgroupMount, "")
}

func (h Host) systemd(ctx context.Context) []Check {
	if _, err := os.Stat(h.path("/run/systemd/system")); err != nil {
		return one("systemd", Fail, "systemd does not run this host", "use a host, or a machine, that systemd has booted")
	}
	version, err := h.Run(ctx, "systemctl", "--version")
	if err != nil {
		return one("systemd", Fail, "systemctl does not answer: "+err.Error(), "systemctl --version")
	}
	return one("systemd", OK, firstLine(version), "")
}

// units looks whether systemd holds the sockets and starts the daemon at boot.
func (h Host) units(ctx context.Context) []Check {
	var found []Check
	for _, unit := range []string{"buildwatchd.socket", "buildwatchd.service"} {
		out, err := h.Run(ctx, "systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", unit)
		is := map[string]string{}
		for line := range strings.Lines(out) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			is[key] = value
		}
		c := Check{"unit", OK, unit + " is active and enabled", ""}
		switch {
		case err != nil:
			c = Check{"unit", Fail, fmt.Sprintf("systemd says nothing of %s: %v", unit, err), "systemctl status " + unit}
		case is["LoadState"] != "loaded":
			c = Check{"unit", Fail, fmt.Sprintf("%s is %s", unit, is["LoadState"]), "sudo systemctl daemon-reload; is buildwatch installed?"}
		case is["ActiveState"] != "active":
			c = Check{"unit", Fail, fmt.Sprintf("%s is %s", unit, is["ActiveState"]), "sudo systemctl start " + unit + "; journalctl -u " + unit + " says why it was not running"}
		case is["UnitFileState"] != "enabled":
			c = Check{"unit", Warn, fmt.Sprintf("%s is active, and %s: it may not start at the next boot", unit, is["UnitFileState"]), "sudo systemctl enable " + unit}
		}
		found = append(found, c)
	}
	return found
}

// daemon looks at what the daemon has answered, and at its sockets.
func (h Host) daemon(context.Context) []Check {
	var found []Check
	for _, socket := range []string{"/run/buildwatch/runtime.sock", api.ControlSocket} {
		if info, err := os.Stat(h.path(socket)); err != nil || info.Mode().Type() != os.ModeSocket {
			found = append(found, Check{"socket", Fail, "there is no socket " + socket, "sudo systemctl restart buildwatchd.socket buildwatchd.service"})
		} else if info.Mode().Perm() != 0o666 {
			found = append(found, Check{"socket", Warn, fmt.Sprintf("%s has the mode %#o: not every user's builds are supervised", socket, info.Mode().Perm()), "sudo systemctl restart buildwatchd.socket"})
		}
	}
	if len(found) == 0 {
		found = one("socket", OK, "both sockets are in /run/buildwatch", "")
	}
	switch d := h.Daemon; {
	case d.Err != nil:
		found = append(found, Check{"daemon", Fail, "buildwatchd does not answer: " + d.Err.Error(), "systemctl status buildwatchd"})
	case d.Info.Version != h.Version:
		found = append(found, Check{"daemon", Warn, fmt.Sprintf("buildwatchd is %s, this is %s", d.Info.Version, h.Version), "sudo systemctl restart buildwatchd; builds go on"})
	default:
		found = append(found, Check{"daemon", OK, "buildwatchd " + d.Info.Version + " answers", ""})
	}
	return found
}

// needed are the features without which it does not work, or not well: the others
// have a way to do without.
var needed = map[api.FeatureName]State{
	api.FeaturePidfd: Fail, api.FeatureOpenat2: Fail, api.FeatureCgroupKill: Fail, api.FeatureInotify: Fail,
	api.FeatureCgroupXattr: Warn, api.FeaturePidfdGetfd: Warn, api.FeatureWchan: Warn, api.FeatureFusectl: Warn, api.FeaturePids: Warn, api.FeatureMemory: Warn,
}

// mending says what brings a feature.
func mending(name api.FeatureName) string {
	if name == api.FeaturePids || name == api.FeatureMemory {
		return "the kernel's command line has it switched off (cat /proc/cmdline; a Raspberry Pi needs cgroup_enable=memory), or this is a container that was not given it"
	}
	return "a newer kernel, or what keeps buildwatchd from it: buildwatchctl version"
}

// features takes what the daemon has tried, where it answers: it may more than others.
func (h Host) features(context.Context) []Check {
	tried := features.Kernel(h.path(cgroupMount))
	if h.Daemon.Err == nil && h.Daemon.Info.Host != nil {
		tried = h.Daemon.Info.Host.Features
	}
	var found []Check
	for _, f := range tried {
		if state := needed[f.Name]; !f.Found && state != "" {
			found = append(found, Check{"feature", state, fmt.Sprintf("%s is not there (%s); it is for: %s", strings.Replace(string(f.Name), "controller_", "the cgroup controller ", 1), f.Error, f.Name.Meaning()), mending(f.Name)})
		}
	}
	if len(found) == 0 {
		return one("feature", OK, fmt.Sprintf("what is needed of the kernel is there (%d features tried)", len(tried)), "")
	}
	return found
}

// configuration compares what is in force with the files.
func (h Host) configuration(context.Context) []Check {
	if h.Daemon.Err != nil {
		return nil
	}
	if problem := h.Daemon.Info.ConfigProblem; problem != "" {
		return one("configuration", Fail, problem, "correct it, then sudo systemctl reload buildwatchd; buildwatchd --check-config names every mistake")
	}
	var found []Check
	for _, d := range h.Daemon.Differs {
		found = append(found, Check{"configuration", Warn, d, "sudo systemctl reload buildwatchd"})
	}
	if len(found) == 0 {
		return one("configuration", OK, "the configuration in force is that of the files", "")
	}
	return found
}

// binfmt looks at the handlers that builds for other architectures need.
func (h Host) binfmt(context.Context) []Check {
	const dir = "/proc/sys/fs/binfmt_misc"
	handlers, _ := filepath.Glob(h.path(dir + "/*"))
	var found []Check
	works := 0
	for _, file := range handlers {
		name := filepath.Base(file)
		if name == "register" || name == "status" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		state, rest, _ := strings.Cut(string(text), "\n")
		interpreter, flags := "", ""
		for line := range strings.Lines(rest) {
			if after, ok := strings.CutPrefix(line, "interpreter "); ok {
				interpreter = strings.TrimSpace(after)
			}
			if after, ok := strings.CutPrefix(line, "flags: "); ok {
				flags = strings.TrimSpace(after)
			}
		}
		if !strings.Contains(name, "qemu") && !strings.Contains(interpreter, "qemu") && !strings.Contains(strings.ToLower(interpreter), "rosetta") {
			continue // Java, Python …
		}
		_, missing := os.Stat(h.path(interpreter))
		switch {
		case state != "enabled":
			found = append(found, Check{"emulation", Warn, "binfmt handler " + name + " is " + state, "echo 1 | sudo tee " + file})
		case missing != nil && !strings.Contains(flags, "F"):
			found = append(found, Check{"emulation", Warn, fmt.Sprintf("binfmt handler %s names %s, which is not there: its builds fail", name, interpreter), "install qemu-user-static, or qemu-user-binfmt; sudo systemctl restart systemd-binfmt"})
		case !strings.Contains(flags, "F"):
			found = append(found, Check{"emulation", Warn, fmt.Sprintf("binfmt handler %s has no flag F: containers do not find %s", name, interpreter), "install qemu-user-static, or qemu-user-binfmt, whose handlers have it; sudo systemctl restart systemd-binfmt"})
		default:
			works++
		}
	}
	switch {
	case len(found) > 0:
		return found
	case works == 0:
		return one("emulation", OK, "no binfmt handler of an emulator: builds are for this architecture only", "")
	}
	return one("emulation", OK, fmt.Sprintf("%d binfmt handlers of emulators", works), "")
}

// selinux looks at the label of the wrapper: systemd and podman start no program with a
// wrong one.
func (h Host) selinux(ctx context.Context) []Check {
	mode, err := os.ReadFile(h.path("/sys/fs/selinux/enforce"))
	if err != nil {
		return one("selinux", OK, "SELinux is off", "")
	}
	wrapper := filepath.Join(h.Libexec, "buildwatch-runtime")
	label := make([]byte, 256)
	n, err := unix.Getxattr(wrapper, "security.selinux", label)
	is := strings.TrimRight(string(label[:max(n, 0)]), "\x00")
	says := "SELinux is permissive"
	if strings.TrimSpace(string(mode)) == "1" {
		says = "SELinux is enforcing"
	}
	found := one("selinux", OK, says+"; the wrapper is "+is, "")
	if err != nil || strings.Contains(is, "unlabeled_t") || strings.Contains(is, "user_home_t") || strings.Contains(is, "user_tmp_t") {
		found = one("selinux", Warn, fmt.Sprintf("SELinux: %s has the label %q", wrapper, is), "sudo restorecon -R "+h.Libexec)
	}
	if denied := h.denied(ctx); denied != "" {
		found = append(found, Check{"selinux", Warn, says + ", and its policy denies " + denied,
			"what fails by that is no fault of buildwatch's: sudo restorecon -R " + h.Libexec + ", or a rule for it; sudo ausearch -m AVC has all"})
	}
	return found
}

// denial is of the audit's entry what no process has chosen, but for its own name.
var denial = regexp.MustCompile(`avc: +denied +\{ ([a-z_ ]+) \} .*comm="(buildwatch[a-z-]*)".* scontext=([\w:.,-]+) tcontext=([\w:.,-]+) tclass=(\w+)`)

// denied says what SELinux has last denied one of our programs since the boot, or nothing: to
// those programs that looks like a fault of something else.
func (h Host) denied(ctx context.Context) string {
	out, err := h.Run(ctx, "journalctl", "--quiet", "--boot", "--no-pager", "--output=cat", "--reverse", "--lines=1",
		`--grep=avc: +denied .* comm="buildwatch`, "_TRANSPORT=audit", "_TRANSPORT=kernel")
	m := denial.FindStringSubmatch(out)
	if err != nil || m == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s) to %s a %s that is %s", m[2], m[3], m[1], m[5], m[4])
}

// clock: times in the journal and in lists are the host's.
func (h Host) clock(context.Context) []Check {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil || state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0 {
		return one("clock", Warn, "the clock is not known to be synchronised: times in the history may be wrong", "sudo timedatectl set-ntp true")
	}
	return one("clock", OK, "the clock is synchronised", "")
}
