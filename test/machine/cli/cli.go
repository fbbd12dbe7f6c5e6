// Package cli is testmachine's command line. It decides nothing that package
// machine does not offer; it connects a terminal, signals and exit codes.
package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/test/machine"
)

// An ExitError ends testmachine with the exit code of the command that it ran.
type ExitError int

func (e ExitError) Error() string { return fmt.Sprintf("the command exited with %d", int(e)) }

// Run runs testmachine with the arguments args. An ExitError needs no message.
func Run(args []string) error {
	// Signals end what is being done, never this process: it has to clean up.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwarded...)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)

	root := &cobra.Command{
		Use:           "testmachine",
		Short:         "Run commands in a throwaway Debian with a real systemd",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	var suite string
	root.PersistentFlags().StringVar(&suite, "suite", "trixie",
		"the Debian release: "+strings.Join(machine.Suites(), ", "))
	s := &session{suite: &suite, signals: signals, cancel: cancel}
	root.PersistentFlags().BoolVar(&s.vm, "vm", false, "not a container: a virtual machine with a kernel of its own, emulated on one core")
	root.PersistentFlags().StringVar(&s.kernel, "kernel", "", "with --vm: the suite that the kernel is from, such as trixie-backports; \"\" for the release's own")
	root.PersistentFlags().BoolVar(&s.selinux, "selinux", false, "with --vm: SELinux in the place of AppArmor, permissive")
	root.PersistentFlags().BoolVar(&s.podmanMachine, "podman-machine", false, "a machine that can be the host of a podman machine: see docs/testing.md")
	root.PersistentFlags().StringVar(&s.with, "with", "", "a machine that has more than all have: "+strings.Join(machine.Withs(), ", "))
	root.AddCommand(newRootfs(s), newVersions(s), newPins(s), newRun(s), newShell(s))
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

func newRootfs(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "rootfs",
		Short: "Build and cache a root file system, or with --vm or --podman-machine an image, and print where it is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stop := s.cancelOnSignal()
			defer stop()
			root, err := s.rootfs(cmd.Context())
			if err != nil {
				return cause(cmd.Context(), err)
			}
			_, err = fmt.Println(root)
			return err
		},
	}
}

func (s *session) rootfs(ctx context.Context) (string, error) {
	switch {
	case s.vm:
		return machine.VMImage(ctx, s.options(""))
	case s.podmanMachine:
		return machine.PodmanImage(ctx, *s.suite, say)
	case s.with != "":
		return machine.RootWith(ctx, *s.suite, s.with, say)
	}
	return machine.Rootfs(ctx, *s.suite, say)
}

func newVersions(s *session) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "versions",
		Short: "Print the versions that a machine is made of",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stop := s.cancelOnSignal()
			defer stop()
			if all {
				return cause(cmd.Context(), machine.VersionTable(cmd.Context(), os.Stdout, say))
			}
			versions, err := machine.Versions(cmd.Context(), *s.suite, say)
			if err != nil {
				return cause(cmd.Context(), err)
			}
			for _, v := range versions {
				fmt.Println(v)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "print a table of those of all suites")
	return cmd
}

func newPins(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "pins",
		Short: "Print the versions of a suite that moves, in the form of test/machine/SUITE.pins",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stop := s.cancelOnSignal()
			defer stop()
			pins, err := machine.Pins(cmd.Context(), *s.suite, say)
			if err != nil {
				return cause(cmd.Context(), err)
			}
			_, err = fmt.Print(pins)
			return err
		},
	}
}

func newRun(s *session) *cobra.Command {
	var noInstall bool
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARG…]",
		Short: "Boot a machine, install the project in it, run a command, tear all down",
		Long: `Boot a machine, install the project in it from what "make build" has built,
run a command in it as root, and tear all down.

The command's input, output, signals and exit code are its caller's. A path
that does not exist inside is taken for a program of the host and copied in:
go test -exec "testmachine run --" works. In a checkout of the project the
command's working directory is the same one, read-only, under /src.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.run(cmd.Context(), args, !noInstall)
		},
	}
	cmd.Flags().BoolVar(&noInstall, "no-install", false, "do not install the project")
	// Flags after the command are the command's.
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func newShell(s *session) *cobra.Command {
	var noInstall bool
	cmd := &cobra.Command{
		Use:   "shell",
		Short: "Boot a machine and open a shell in it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.run(cmd.Context(), []string{"bash", "--login"}, !noInstall)
		},
	}
	cmd.Flags().BoolVar(&noInstall, "no-install", false, "do not install the project")
	return cmd
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "testmachine: "+format+"\n", args...)
}

// forwarded are the signals that a command inside gets in our place.
var forwarded = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2}
