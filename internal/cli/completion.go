package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completionOf prints the completions for each shell that cobra knows.
var completionOf = map[string]func(root *cobra.Command, out io.Writer) error{
	"bash":       func(root *cobra.Command, out io.Writer) error { return root.GenBashCompletionV2(out, true) },
	"fish":       func(root *cobra.Command, out io.Writer) error { return root.GenFishCompletion(out, true) },
	"powershell": func(root *cobra.Command, out io.Writer) error { return root.GenPowerShellCompletionWithDesc(out) },
	"zsh":        func(root *cobra.Command, out io.Writer) error { return root.GenZshCompletion(out) },
}

func (a *app) completion() *cobra.Command {
	shells := slices.Sorted(maps.Keys(completionOf))
	return &cobra.Command{
		Use:   "completion {" + strings.Join(shells, " | ") + "}",
		Short: "Print what has a shell complete verbs, flags and IDs",
		Long: `Print what has a shell complete verbs, flags, and the IDs of builds. A package has
installed it for bash, zsh and fish. Where it is not, this does it for the shell that
runs:

  bash  source <(buildwatchctl completion bash)
  fish  buildwatchctl completion fish | source
  zsh   source <(buildwatchctl completion zsh)`,
		Example:           "  source <(buildwatchctl completion bash)",
		ValidArgsFunction: cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || completionOf[args[0]] == nil {
				return errors.New("takes one of " + strings.Join(shells, ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return fail(completionOf[args[0]](cmd.Root(), a.Out))
		},
	}
}

// help is the command by that name: cobra's own takes any words.
func (a *app) help() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Show the help of a command",
		Args:  cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var offers []cobra.Completion
			for _, verb := range cmd.Root().Commands() {
				if len(given) == 0 && verb.IsAvailableCommand() {
					offers = append(offers, cobra.CompletionWithDesc(verb.Name(), verb.Short))
				}
			}
			return offers, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			switch {
			case err != nil || len(rest) > 0 && of == cmd.Root():
				return a.unknown(cmd.Root(), args[0])
			case len(rest) > 0:
				return fmt.Errorf("takes one command, got %q", args)
			}
			return of.Help()
		},
	}
}

// wordFlags has the flags that cobra adds to commands speak as the others do.
func wordFlags(commands ...*cobra.Command) {
	for _, cmd := range commands {
		cmd.InitDefaultHelpFlag()
		cmd.InitDefaultVersionFlag()
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			switch f.Name {
			case "help":
				f.Usage = "show this"
			case "version":
				f.Usage = "show the version of buildwatchctl"
			}
		})
	}
}

// unquoteFlags has shells show what flags are for without the quotes around a value's name, which are
// help's: cobra offers the text as it stands.
func unquoteFlags(commands ...*cobra.Command) {
	for _, cmd := range commands {
		for _, flags := range []*pflag.FlagSet{cmd.Flags(), cmd.PersistentFlags()} {
			flags.VisitAll(func(f *pflag.Flag) { _, f.Usage = pflag.UnquoteUsage(f) })
		}
	}
}
