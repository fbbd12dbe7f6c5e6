package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
)

type runFlags struct {
	name, timeout string
	properties    []string
}

func (a *app) run() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run [flags] [--] command [argument...]",
		Short: "Run a build, all of it in a scope of its own",
		Long: `Run a command, as a rule "podman build" or "buildah build", that is in its
build's scope from its first instruction, together with its RUN containers. When
it ends, or is ended, nothing of it is left, not even with --isolation chroot.

Terminal, signals, standard streams and exit status are as if the command were run
directly. Only Ctrl+C, SIGTERM and SIGHUP end the build cleanly: its RUN containers
are ended first, so that podman removes its working containers, mounts and bundle;
what has not ended after 1.5 s is told to. A second one ends all at once. The exit
status is then 130, 143 or 129.

If the daemon can't be reached the command runs unwatched, with a warning; with
--property or --timeout it does not run. Within another run it is part of that one,
and can't have limits, a deadline or a name of its own.

Exit status: the command's; 128 and the number of the signal that ended it; 125 for
a failure of buildwatchctl itself, 126 for a command that can't be invoked, 127 for
one that is not there.

--property takes NAME=VALUE, with these names and values as in
systemd.resource-control(5): ` + joinNames(limits.Names()) + `.
Times are written as in systemd.time(7).`,
		Example: `  buildwatchctl run -- podman build --platform linux/arm64 .
  buildwatchctl run --timeout 30min -p MemoryMax=4G -- podman build .`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("needs a command")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.machine.given {
				return errors.New("runs a build on this host only: for one in a podman machine, use it there")
			}
			request, err := flags.request(cmd.Flags().Changed("name"))
			if err != nil {
				return err
			}
			strict := len(request.Properties) > 0 || request.Timeout > 0
			if code := a.runCommand(args, request, strict); code != 0 {
				return exitCode(code)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // what follows the command is the command's
	f.StringVar(&flags.name, "name", "", "a `name` to find the build by: up to 64 letters, digits, _ - . +")
	f.StringVar(&flags.timeout, "timeout", "", "end the build after this `time`")
	f.StringArrayVarP(&flags.properties, "property", "p", nil, "limit the build: `NAME=VALUE`; may be given several times")
	_ = cmd.RegisterFlagCompletionFunc("name", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("timeout", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("property", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		offer := func(name string) cobra.Completion { return name + "=" }
		return each(limits.Names(), offer), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
	return cmd
}

// request checks the flags, as the daemon will again.
func (f runFlags) request(named bool) (api.RunRequest, error) {
	if named {
		if err := limits.CheckName(f.name); err != nil {
			return api.RunRequest{}, fmt.Errorf("--name: %w", err)
		}
	}
	read, err := limits.Parse(f.properties)
	if err != nil {
		return api.RunRequest{}, fmt.Errorf("--property: %w", err)
	}
	var timeout time.Duration
	if f.timeout != "" {
		if timeout, err = limits.ParseTimespan(f.timeout); err != nil {
			return api.RunRequest{}, fmt.Errorf("--timeout %q: %w", f.timeout, err)
		}
	}
	if timeout > 0 && read.RuntimeMax > 0 {
		return api.RunRequest{}, errors.New("--timeout and --property RuntimeMaxSec are the same: give one")
	}
	return api.RunRequest{Name: f.name, Properties: f.properties, Timeout: api.Seconds(timeout)}, nil
}
