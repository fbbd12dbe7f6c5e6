// Package doctor looks at a host one by one for what a working buildwatch needs, and says
// what mends that which is not there. It changes nothing, and knows no build: what the
// daemon says is handed to it.
package doctor

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/runtimes"
)

// A State is how a check has come out.
type State string

// Fail is for what keeps builds from being supervised, or ended; Warn for what is worse
// than it could be.
const (
	OK   State = "ok"
	Warn State = "warn"
	Fail State = "fail"
)

// A Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`  // a stable word
	State  State  `json:"state"` //
	Says   string `json:"message"`
	Remedy string `json:"remedy,omitempty"` // what to type, or to do
}

// Daemon is what the daemon has said, and how it failed to.
type Daemon struct {
	Info   api.Info
	Err    error
	Builds []api.Build
	// Differs is in what the files differ from the configuration in force.
	Differs []string
}

// Host is what is looked at.
type Host struct {
	Root    string // of the file system; "/" but in tests
	Version string // of this program
	Libexec string // the directory of the wrapper
	UID     int
	Getenv  func(string) string
	// Run runs a program and returns what it prints.
	Run    func(ctx context.Context, program string, args ...string) (string, error)
	Daemon Daemon
}

// runLimit is how long each program that is asked may take.
const runLimit = 10 * time.Second

// errNotThere is returned for a program that this host does not have, or not where the caller looks.
var errNotThere = errors.New("it is not in $PATH")

// Run runs a program of this host.
func Run(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
		err = errors.New(firstLine(string(exit.Stderr)))
	} else if errors.Is(err, exec.ErrNotFound) {
		err = errNotThere
	}
	return strings.TrimSpace(string(out)), err
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// Examine makes every check, in an order in which the first that fails is the one to
// mend first.
func (h Host) Examine(ctx context.Context) []Check {
	var found []Check
	for _, look := range []func(context.Context) []Check{
		h.cgroups, h.systemd, h.units, h.daemon, h.features, h.configuration,
		h.registered, h.realRuntimes, h.older, h.builders, h.binfmt, h.selinux, h.leftovers, h.clock,
	} {
		found = append(found, look(ctx)...)
	}
	return found
}

// Worst is the worst state of all.
func Worst(checks []Check) State {
	worst := OK
	for _, c := range checks {
		if c.State == Fail || c.State == Warn && worst == OK {
			worst = c.State
		}
	}
	return worst
}

func (h Host) path(name string) string { return filepath.Join(h.Root, name) }

func (h Host) runtimes() runtimes.Host {
	return runtimes.Host{Root: h.Root, Libexec: h.Libexec, LookPath: exec.LookPath}
}

func one(name string, state State, says, remedy string) []Check {
	return []Check{{name, state, says, remedy}}
}
