package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/internal/client"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Show the versions of buildwatchctl and of the daemon",
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fail(a.runVersion(cmd.Context()))
		},
	}
}

// runVersion takes a daemon that is not running for an answer too.
func (a *app) runVersion(ctx context.Context) error {
	if _, err := fmt.Fprintf(a.Out, "buildwatchctl %s\n", a.Version); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := a.client()
	defer c.Close()
	info, err := c.Info(ctx)
	switch {
	case errors.Is(err, client.ErrNotRunning):
		_, err = fmt.Fprintln(a.Out, "buildwatchd   not running")
	case err == nil:
		_, err = fmt.Fprintf(a.Out, "buildwatchd   %s, up %s\n", quote(info.Version), humanDuration(a.Now().Sub(info.StartedAt)))
	}
	return err
}
