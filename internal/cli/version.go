package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/client"
)

func (a *app) version() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the versions of buildwatchctl and the daemon",
		Long: `Show the versions of buildwatchctl and of the daemon, and which features of the
kernel and of systemd the daemon uses, and which it has to do without. Each was
tried when the daemon started.`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return fail(a.versionJSON(cmd.Context()))
			}
			return fail(a.runVersion(cmd.Context()))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what the daemon says of itself and of its host")
	return cmd
}

// versionJSON is for scripts, to whom a daemon that is not running is an error.
func (a *app) versionJSON(ctx context.Context) error {
	info, err := asked(ctx, a, (*client.Client).Info)
	if err != nil {
		return err
	}
	return writeJSON(a.Out, info)
}

// runVersion takes a daemon that is not running for an answer too.
func (a *app) runVersion(ctx context.Context) error {
	if _, err := fmt.Fprintf(a.Out, "buildwatchctl %s\n", a.Version); err != nil {
		return err
	}
	info, err := asked(ctx, a, (*client.Client).Info)
	switch {
	case errors.Is(err, client.ErrNotRunning):
		_, err = fmt.Fprintln(a.Out, "buildwatchd   not running")
	case err == nil:
		_, err = fmt.Fprintf(a.Out, "buildwatchd   %s, up %s\n", quote(info.Version), humanDuration(a.Now().Sub(info.StartedAt)))
		for _, line := range describeHost(info.Host) {
			if err == nil {
				const label = len("missing       ")
				_, err = fmt.Fprintln(a.Out, line[:label]+wrap(line[label:], label, a.Columns))
			}
		}
	}
	return err
}
