package podmanmachine

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// Podman is the program podman of this host. The zero value is a host without one.
type Podman struct {
	path string
}

var errNoPodman = errors.New("podman is not installed here, neither in the PATH nor where its installers put it")

// Find looks for podman in the PATH, and else where it is put on such a system: what was
// started by a click, from an editor or by launchd has a PATH without these.
func Find(system string, getenv func(string) string) Podman {
	for _, program := range append([]string{"podman"}, places(system, getenv)...) {
		if path, err := exec.LookPath(program); err == nil {
			return Podman{path}
		}
	}
	return Podman{}
}

// places are where the installers put podman.
//
// Source: on macOS podman contrib/pkginstaller (/opt/podman), docs.brew.sh/Installation
// (/opt/homebrew, /usr/local), guide.macports.org (/opt/local); on Windows podman
// contrib/win-installer/wix/podman-main.wxs, and podman.wxs before podman 5.7 (RedHat).
func places(system string, getenv func(string) string) []string {
	switch system {
	case "darwin":
		dirs := []string{"/opt/podman/bin", "/opt/homebrew/bin", "/usr/local/bin", "/opt/local/bin"}
		if brew := getenv("HOMEBREW_PREFIX"); brew != "" {
			dirs = append([]string{brew + "/bin"}, dirs...)
		}
		for i := range dirs {
			dirs[i] += "/podman"
		}
		return dirs
	case "windows":
		var found []string
		for _, below := range []struct{ variable, dir string }{
			{"LOCALAPPDATA", `\Programs\Podman`}, {"ProgramFiles", `\Podman`}, {"ProgramFiles", `\RedHat\Podman`},
		} {
			if dir := getenv(below.variable); dir != "" {
				found = append(found, dir+below.dir+`\podman.exe`)
			}
		}
		return found
	}
	return nil
}

// Names returns the names of this host's machines.
func (p Podman) Names(ctx context.Context) ([]string, error) {
	names, _, err := p.list(ctx)
	return names, err
}

// Default returns the machine that podman itself speaks to when no other is named: that of
// its default connection, else the only one there is, else the one that is called as
// podman calls them. dist/podman-machine/common.sh chooses alike.
func (p Podman) Default(ctx context.Context) (Machine, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	names, chosen, err := p.list(ctx)
	if chosen == "" && len(names) > 1 {
		chosen = p.rootful(ctx, names)
	}
	switch {
	case err != nil:
		return Machine{}, err
	case len(names) == 0:
		return Machine{}, errors.New(`podman has no machine here, and builds are in one: "podman machine init --now" makes it`)
	case chosen != "":
	case len(names) == 1:
		chosen = names[0]
	case slices.Contains(names, DefaultName):
		chosen = DefaultName
	default:
		return Machine{}, fmt.Errorf("podman has the machines %s, and none by default: name one by --machine=NAME", strings.Join(names, ", "))
	}
	return p.Machine(chosen)
}

// list returns the names of the machines, and that of the default connection's, which
// podman marks by an asterisk, unless the connection is root's in the machine.
// Source: podman cmd/podman/machine/list.go, toHumanFormat.
func (p Podman) list(ctx context.Context) (names []string, marked string, err error) {
	var out, complaint strings.Builder
	code, err := p.call(ctx, Stdio{Out: &out, Err: &complaint}, []string{"machine", "list", "--format", "{{.Name}}"})
	if err == nil && code != 0 {
		err = fmt.Errorf("list podman's machines: exit code %d: %s", code, strings.TrimPrefix(firstLine(complaint.String()), "Error: "))
	}
	for field := range strings.FieldsSeq(out.String()) {
		name, isDefault := strings.CutSuffix(field, "*")
		names = append(names, name)
		if isDefault {
			marked = name
		}
	}
	return names, marked, err
}

// rootful returns the machine whose root the default connection is for, or "".
// Source: podman pkg/machine/connection, AddSSHConnectionsToPodmanSocket: it is called NAME-root.
func (p Podman) rootful(ctx context.Context, names []string) string {
	var out strings.Builder
	code, err := p.call(ctx, Stdio{Out: &out}, []string{"system", "connection", "list", "--format", "{{.Name}} {{.Default}}"})
	if err != nil || code != 0 {
		return "" // no default one is known
	}
	for line := range strings.Lines(out.String()) {
		if name, isDefault := strings.CutSuffix(strings.TrimSpace(line), "-root true"); isDefault && slices.Contains(names, name) {
			return name
		}
	}
	return ""
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
