// Package cli is buildwatchctl: its verbs, flags, output and exit codes. It
// formats what package client returns, and reaches neither processes, cgroups
// nor systemd by itself. It starts no pager, no other program but podman for
// --machine, and keeps no state. Colour it uses for builds in trouble alone, on a
// terminal.
//
// Each verb has a file of its own. What comes from builds (commands, names) may
// hold anything, and passes through quote on its way to a terminal.
package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/term"

	"github.com/buildwatch/buildwatch/client"
	"github.com/buildwatch/buildwatch/internal/history"
	"github.com/buildwatch/buildwatch/internal/version"
)

// Exit codes, as podman has them.
const (
	exitFailure = 1
	exitUsage   = 125
)

// Environment is what the commands need of the world around them.
type Environment struct {
	In       io.Reader // nil is empty
	Out, Err io.Writer
	Getenv   func(string) string
	Now      func() time.Time
	Version  string // of buildwatchctl itself
	Colour   bool   // Out is a terminal that is to show colour
	Columns  int    // how wide Out is, where it is a terminal; 0 where it is none
	UID      uint32 // who asks
	OS       string // the system of this host, as Go names it
	Past     Past   // may be nil: no build has ended
	Pruner   pruner // of who asks; nil where no build runs
	PrunerOf func(user string) (pruner, error)
	Builders func() ([]string, error) // users that can build
}

// System is the process's own environment.
func System() Environment {
	return Environment{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Now: time.Now, Version: version.Version,
		Colour:  term.IsTerminal(int(os.Stdout.Fd())) && wantsColour(os.Getenv),
		Columns: terminalWidth(os.Stdout), UID: uint32(max(0, os.Geteuid())), Past: history.Read,
		Pruner: systemPruner(), PrunerOf: systemPrunerOf, Builders: builders, OS: runtime.GOOS,
	}
}

// terminalWidth is 0 for what is no terminal.
func terminalWidth(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// width is how wide a page may be.
func (a *app) width() int { return max(a.Columns, columnsOfPage) }

// wantsColour reports whether the user's terminal is to show colour.
//
// Source: https://no-color.org; terminfo(5) on TERM=dumb.
func wantsColour(getenv func(string) string) bool {
	return getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

// app is one run of buildwatchctl.
type app struct {
	Environment
	socket  string
	machine machineFlag
}

// client returns a client for the daemon that the flags name.
func (a *app) client() *client.Client { return client.New(a.socket) }

// Main runs buildwatchctl with the arguments that follow its name, and returns
// its exit code.
func Main(args []string, environment Environment) int {
	a := &app{Environment: environment}
	root := a.root(args)
	pages := &outcome{to: a.Out}
	root.SetOut(pages)
	root.SetArgs(args)
	command, err := root.ExecuteC()
	if pages.err != nil {
		err = fail(pages.err)
	}
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	if failed, ok := errors.AsType[failure](err); ok {
		for _, err := range failed.errs {
			a.complain(explain(err))
		}
		return exitFailure
	}
	// All that is no failure is about how the command was called.
	a.complain(fmt.Sprintf("%s: see %q", inOurWords(command, err), command.CommandPath()+" --help"))
	return exitUsage
}

// outcome remembers that what cobra prints, such as help, was not taken: cobra itself does not look.
type outcome struct {
	to  io.Writer
	err error
}

func (o *outcome) Write(text []byte) (int, error) {
	n, err := o.to.Write(text)
	o.err = cmp.Or(o.err, err)
	return n, err
}

// complain prints one line to stderr.
func (a *app) complain(message string) {
	fmt.Fprintf(a.Err, "buildwatchctl: %s\n", oneLine(message))
}

// failure is why a command that was called rightly did not do what it was asked
// for: one error, one line.
type failure struct{ errs []error }

func (f failure) Error() string { return errors.Join(f.errs...).Error() }

// fail returns a failure of the errors, or nil if there are none.
func fail(errs ...error) error {
	var failed failure
	for _, err := range errs {
		if err != nil {
			failed.errs = append(failed.errs, err)
		}
	}
	if len(failed.errs) == 0 {
		return nil
	}
	return failed
}
