package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// keyring verifies Debian's archive; it comes with every Debian.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// mirror returns where the host gets Debian from. Every suite is at the same
// place; security updates are elsewhere and of no use to a throwaway machine.
func mirror(ctx context.Context) (string, error) {
	out, err := output(ctx, "apt-get", "indextargets",
		"--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
	if err != nil {
		return "", fmt.Errorf("ask apt for its sources: %w", err)
	}
	site := chooseSite(out, osRelease()["VERSION_CODENAME"])
	if site == "" {
		return "", fmt.Errorf("apt has no source of Debian packages configured")
	}
	return site, nil
}

// chooseSite picks the mirror from lines of "SITE RELEASE COMPONENT": the one
// that serves the host's own release, else the first that could.
func chooseSite(lines, codename string) string {
	var first string
	for line := range strings.Lines(lines) {
		field := strings.Fields(line)
		if len(field) != 3 || field[2] != "main" || strings.HasSuffix(field[1], "-security") {
			continue
		}
		if field[1] == codename {
			return field[0]
		}
		if first == "" {
			first = field[0]
		}
	}
	return first
}

// acquireSettings returns the host's Acquire settings (proxies, relaxed checks
// of dates) in apt's own syntax, for the apt of a root file system. Index
// targets are left out: they belong to packages that only the host has.
func acquireSettings(ctx context.Context) (string, error) {
	out, err := output(ctx, "apt-config", "dump", "--no-empty", "--format", "%F \"%v\";\n", "Acquire")
	if err != nil {
		return "", fmt.Errorf("ask apt for its settings: %w", err)
	}
	var kept strings.Builder
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "Acquire::") && !strings.HasPrefix(line, "Acquire::IndexTargets") {
			kept.WriteString(line)
		}
	}
	return kept.String(), nil
}

// proxyEnv gives debootstrap, which does not read apt's configuration, the
// proxies that apt would use.
func proxyEnv(ctx context.Context) []string {
	env := os.Environ()
	for _, scheme := range []string{"http", "https"} {
		name := scheme + "_proxy"
		out, err := output(ctx, "apt-config", "dump", "--format", "%v", "Acquire::"+scheme+"::Proxy")
		if proxy := strings.TrimSpace(out); err == nil && proxy != "" && proxy != "DIRECT" {
			env = append(env, name+"="+proxy)
		}
	}
	return env
}

// checkNetwork fetches a suite's small Release file with apt's own downloader,
// proxies and all, so that "no network" is said before anything is begun.
func checkNetwork(ctx context.Context, site, suite, dir string) error {
	url := strings.TrimSuffix(site, "/") + "/dists/" + suite + "/Release"
	target := filepath.Join(dir, "Release")
	defer os.Remove(target)
	if _, err := output(ctx, "/usr/lib/apt/apt-helper", "-o", "Acquire::Retries=1",
		"-o", "APT::Sandbox::User=root", "download-file", url, target); err != nil {
		return fmt.Errorf("no network for packages: %s cannot be fetched", url)
	}
	return nil
}

// installMissing installs the packages of those programs that the host lacks.
func installMissing(ctx context.Context, say func(string, ...any)) error {
	var missing []string
	for _, need := range []struct{ program, pkg string }{
		{"debootstrap", "debootstrap"},
		{"systemd-nspawn", "systemd-container"},
		{"ip", "iproute2"},
	} {
		if _, err := exec.LookPath(need.program); err != nil {
			missing = append(missing, need.pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	say("installing on this host with apt-get: %s", strings.Join(missing, " "))
	if _, err := output(ctx, "apt-get", "-q", "update"); err != nil {
		return fmt.Errorf("no network for packages: %w", err)
	}
	args := append([]string{"DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "install",
		"--no-install-recommends"}, missing...)
	if _, err := output(ctx, "env", args...); err != nil {
		return fmt.Errorf("install %s: %w", strings.Join(missing, " "), err)
	}
	return nil
}
