package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/buildwatch/buildwatch/api"
)

// socketVariable names the environment variable that --socket defaults to.
const (
	socketFlagName = "socket"
	socketVariable = "BUILDWATCH_SOCKET"
)

// maxMistyped is how many letters may be wrong in what is still taken for a mistyped name:
// Levenshtein's distance. Cobra's own default is set on a path not taken here.
const maxMistyped = 2

func (a *app) root(args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "buildwatchctl",
		Short: "Run, show and stop the container image builds that buildwatchd watches",
		Long: `Run, show and stop the container image builds that buildwatchd watches.

Root sees all builds, everybody else their own.`,
		Version:           a.Version,
		SilenceErrors:     true, // Main prints them
		SilenceUsage:      true,
		Args:              cobra.ArbitraryArgs, // or cobra words the error for an unknown command, in several lines
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return noEmptyValue(cmd) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("missing command")
			}
			return a.unknown(cmd, args[0])
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if !cmd.HasParent() && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			return a.unknown(cmd, args[0]) // the flags are of a command that there is not
		}
		return err
	})
	root.SetErr(a.Err)
	root.SetVersionTemplate("buildwatchctl {{.Version}}\n")
	root.SuggestionsMinimumDistance = maxMistyped
	root.CompletionOptions.DisableDefaultCmd = true // it has words of its own
	help := a.help()
	root.SetHelpCommand(help)

	fitHelp(root)

	socket := a.Getenv(socketVariable)
	if socket == "" {
		socket = api.ControlSocket
	}
	root.PersistentFlags().StringVar(&a.socket, socketFlagName, socket, "`path` of buildwatchd's control socket; its default comes from $"+socketVariable)

	a.addMachineFlag(root.PersistentFlags())
	_ = root.RegisterFlagCompletionFunc(machineFlagName, a.completeMachines)

	for _, verb := range []*cobra.Command{a.list(), a.show(), a.history(), a.watch(), a.check(), a.doctor(), a.stop(), a.wait(), a.prune(), a.config(), a.version()} {
		root.AddCommand(a.anywhere(verb))
	}
	root.AddCommand(a.run(), a.top(), a.completion())
	all := append(root.Commands(), root, help)
	wordFlags(all...)
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		unquoteFlags(all...)
	}
	return root
}

// unknown is the error for a command that there is not.
func (a *app) unknown(root *cobra.Command, command string) error {
	if like := slices.Compact(root.SuggestionsFor(command)); len(like) > 0 && command != "" { // which all begin with
		return fmt.Errorf("unknown command %q, did you mean %s", command, strings.Join(like, " or "))
	}
	if a.machine.given {
		return fmt.Errorf("unknown command %q, a machine is named by --machine=NAME", command)
	}
	return fmt.Errorf("unknown command %q", command)
}

// noEmptyValue refuses flags with a value that is empty, as that of a script's variable without one is:
// a build without the time that was meant, or a look at all that there is, is not what was asked for.
func noEmptyValue(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" {
			name, _ := pflag.UnquoteUsage(f)
			err = fmt.Errorf("--%s needs a %s", f.Name, name)
		}
	})
	return err
}

// noArguments refuses arguments in one line.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("takes no arguments, got %q", args[0])
	}
	return nil
}
