package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/buildwatch/buildwatch/internal/podmanmachine"
)

// exitCode ends buildwatchctl with a code whose reason was already told.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// machineFlag says whether a podman machine is asked, and which one: "" is podman's default.
type machineFlag struct {
	given bool
	name  string
}

// machineFlagName is that of the flag, which is for this end alone.
const machineFlagName = "machine"

// nameless is what the flag is set to without a name. No machine can be called so.
const nameless = " "

func (f *machineFlag) Set(name string) error {
	if name == nameless {
		*f = machineFlag{given: true}
		return nil
	}
	if err := podmanmachine.CheckName(name); err != nil {
		return err
	}
	*f = machineFlag{true, name}
	return nil
}

func (f *machineFlag) String() string { return "" }
func (f *machineFlag) Type() string   { return "name" }

func (a *app) addMachineFlag(flags *pflag.FlagSet) {
	flags.Var(&a.machine, machineFlagName, "ask buildwatchd in the podman machine `name`, without one in podman's default machine, through podman machine ssh; its default comes from $"+machineVariable)
	flags.Lookup(machineFlagName).NoOptDefVal = nameless
}

// machineVariable names the environment variable that --machine defaults to.
const machineVariable = "BUILDWATCH_MACHINE"

// defaultMachine takes the machine's name from the environment, unless the call says which
// daemon is meant.
func (a *app) defaultMachine(flags *pflag.FlagSet) error {
	name := a.Getenv(machineVariable)
	if name == "" || a.machine.name != "" || !a.machine.given && flags.Changed(socketFlagName) {
		return nil
	}
	if err := a.machine.Set(name); err != nil {
		return fmt.Errorf("$%s %q: %w", machineVariable, name, err)
	}
	return nil
}

// isElsewhere reports whether a machine is asked, and not this host: on macOS and Windows,
// where no build can be on this one, that goes without saying.
func (a *app) isElsewhere(flags *pflag.FlagSet) bool {
	switch {
	case a.machine.given:
		return true
	case flags.Changed(socketFlagName), a.Getenv(socketVariable) != "":
		return false
	}
	return a.OS == "darwin" || a.OS == "windows"
}

// theMachine is the one that was named, or podman's default one.
func (a *app) theMachine(ctx context.Context) (podmanmachine.Machine, error) {
	podman := podmanmachine.Find(a.OS, a.Getenv)
	if a.machine.name == "" {
		return podman.Default(ctx)
	}
	return podman.Machine(a.machine.name)
}

// anywhere lets a verb run in the machine that --machine names. Its arguments
// have been read and checked here by then, and are asked for there in full.
func (a *app) anywhere(verb *cobra.Command) *cobra.Command {
	here := verb.RunE
	verb.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.defaultMachine(cmd.Flags()); err != nil {
			return err
		}
		if !a.isElsewhere(cmd.Flags()) {
			return here(cmd, args)
		}
		code := 0
		machine, err := a.theMachine(cmd.Context())
		if err == nil {
			stdio := podmanmachine.Stdio{In: a.In, Out: a.Out, Err: a.Err}
			code, err = machine.Run(cmd.Context(), stdio, program, asUnderstood(cmd, args)...)
		}
		if err != nil {
			a.complain(err.Error())
			return exitCode(exitUsage)
		}
		if code != 0 {
			return exitCode(code)
		}
		return nil
	}
	return verb
}

// program is the one that answers in the machine.
const program = "buildwatchctl"

// asUnderstood returns the arguments that mean what was understood here, but for
// --machine.
func asUnderstood(cmd *cobra.Command, args []string) []string {
	words := strings.Fields(cmd.CommandPath())[1:]
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, value := range values {
			if f.Name != machineFlagName {
				words = append(words, "--"+f.Name+"="+value)
			}
		}
	})
	if len(args) > 0 {
		words = append(append(words, "--"), args...)
	}
	return words
}

// completeMachines offers the machines of this host.
func (a *app) completeMachines(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
	defer cancel()
	names, err := podmanmachine.Find(a.OS, a.Getenv).Names(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
