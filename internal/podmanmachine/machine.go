// Package podmanmachine runs commands in a podman machine from its host, through
// `podman machine ssh` alone. It owns how that is called, how arguments get there
// whole, and how a machine that does not answer is told from a command that
// failed. It knows nothing of builds, changes no machine, and reads no file of
// podman's.
package podmanmachine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// DefaultName is the name of the machine that podman takes when none is given.
// Source: podman pkg/machine/define/config.go, DefaultMachineName.
const DefaultName = "podman-machine-default"

// running is the state of a machine that can be reached.
// Source: podman pkg/machine/define, Running.
const running = "running"

// Exit codes that podman machine ssh gives for failures of its own (125 to 127),
// and ssh for its (255). A command inside may end with the same.
// Source: podman-machine-ssh(1), EXIT CODES; ssh(1), EXIT STATUS.
const (
	exitPodman   = 125
	exitNoAccess = 126
	exitNotFound = 127
	exitSSH      = 255
)

// patience is how long podman may take for what needs no waiting.
const patience = 20 * time.Second

// Scripts for the machine's sh. Installations are found in the PATH of the
// session, and else in the prefixes that dist/podman-machine/inside.sh chooses
// from.
const (
	path       = "PATH=$PATH:/usr/local/bin:/opt/buildwatch/bin; "
	runScript  = path + `command -v "$1" >/dev/null || exit 127; exec "$@"`
	findScript = path + `command -v "$1" >/dev/null || exit 1`
	notThere   = 1 // findScript's; no failure of podman or ssh
)

// nameRule is podman's rule for the names of machines. No name that it allows is
// an option or has a special meaning for a shell.
// Source: podman libpod/define/config.go, NameRegex.
var nameRule = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// A Machine is one podman machine of this host.
type Machine struct {
	podman Podman
	name   string
}

// CheckName says why no machine can have that name, or nil.
func CheckName(name string) error {
	if !nameRule.MatchString(name) {
		return errors.New("a machine's name has letters, digits and _.- only, and begins with a letter or digit")
	}
	return nil
}

// Machine returns the machine of that name. Whether there is one is not asked yet.
func (p Podman) Machine(name string) (Machine, error) {
	if err := CheckName(name); err != nil {
		return Machine{}, err
	}
	return Machine{p, name}, nil
}

// Stdio is what a command inside has for its standard input, output and error.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run runs a program in the machine, as the user that podman machine ssh logs in
// as, and returns its exit code. An error says that the machine could not be
// asked; what the program said or returned is never an error.
func (m Machine) Run(ctx context.Context, stdio Stdio, program string, args ...string) (code int, err error) {
	if err := m.isRunning(ctx); err != nil {
		return 0, err
	}
	code, err = m.podman.call(ctx, stdio, m.ssh(runScript, append([]string{program}, args...)...))
	if err != nil {
		return 0, m.unreachable(err)
	}
	switch code {
	case exitPodman, exitNoAccess, exitNotFound, exitSSH:
		// Whose code is it? Where the machine answers now, and the program is
		// there, it is the program's.
		return code, m.answers(ctx, program)
	}
	return code, nil
}

// isRunning asks podman for the machine. It must be there: what is no machine's
// name, podman machine ssh runs as a command in the default machine.
// Source: podman cmd/podman/machine/ssh.go.
func (m Machine) isRunning(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var out, complaint strings.Builder
	code, err := m.podman.call(ctx, Stdio{Out: &out, Err: &complaint}, []string{"machine", "inspect", "--format", "{{.State}}", m.name})
	switch state := strings.TrimSpace(out.String()); {
	case errors.Is(err, errNoPodman):
		return err
	case err != nil:
		return m.unreachable(err)
	case code != 0:
		said := strings.TrimPrefix(strings.TrimSpace(complaint.String()), "Error: ")
		return fmt.Errorf(`podman has no machine %q to ask (%s): "podman machine list" shows those there are`, m.name, said)
	case state != running:
		return fmt.Errorf(`the podman machine %q is not running but %s: "podman machine start %s" starts it`, m.name, state, m.name)
	}
	return nil
}

// answers asks the machine for the program once more, and returns why it can't
// be run there, or nil.
func (m Machine) answers(ctx context.Context, program string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch code, err := m.podman.call(ctx, Stdio{}, m.ssh(findScript, program)); {
	case err != nil:
		return m.unreachable(err)
	case code == notThere:
		return fmt.Errorf(`there is no %s in the podman machine %q: "dist/podman-machine/install.sh %s" of buildwatch installs it`, program, m.name, m.name)
	case code != 0:
		return m.unreachable(fmt.Errorf("exit code %d of podman machine ssh", code))
	}
	return nil
}

func (m Machine) unreachable(err error) error {
	return fmt.Errorf(`the podman machine %q can't be asked, which says nothing of its builds: %w`, m.name, err)
}

// ssh returns podman's arguments for running a script of sh in the machine, with
// its arguments. ssh joins all words with blanks, and the user's shell reads them.
func (m Machine) ssh(script string, args ...string) []string {
	words := append([]string{"sh", "-c", script, "sh"}, args...)
	return append([]string{"machine", "ssh", m.name}, quoteAll(words)...)
}
