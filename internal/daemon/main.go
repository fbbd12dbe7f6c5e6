package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/internal/config"
	"github.com/buildwatch/buildwatch/internal/logging"
	"github.com/buildwatch/buildwatch/internal/runtimes"
	"github.com/buildwatch/buildwatch/internal/version"
)

// Main runs the program and returns its exit status.
func Main(args []string, stdout, stderr io.Writer) int {
	cmd := command(stdout)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.Execute(); err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(stderr, "buildwatchd: %s\n", strings.TrimSuffix(line, "\n"))
		}
		return 1
	}
	return 0
}

func command(stdout io.Writer) *cobra.Command {
	var check, print, printRuntimes bool
	cmd := &cobra.Command{
		Use:   "buildwatchd [--check-config | --print-config | --print-runtimes]",
		Short: "Supervise the container image builds of this host",
		Long: `buildwatchd places each RUN container of podman build and buildah into a
transient systemd scope of its build, and ends what is left of a build whose
owner is gone. It is started by systemd (buildwatchd.service) and configured by
/etc/buildwatch/buildwatchd.toml.`,
		Args:          cobra.NoArgs,
		Version:       version.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if printRuntimes {
				return writeRuntimes(stdout, cmd.ErrOrStderr())
			}
			cfg, err := config.Load("")
			switch {
			case check && err == nil:
				fmt.Fprintln(stdout, "The configuration is valid.")
				return nil
			case print && err == nil:
				return cfg.Print(stdout)
			case check || print || err != nil && !underSystemd():
				return err
			}
			return serve(cfg, err)
		},
	}
	cmd.Flags().BoolVar(&check, "check-config", false, "read the configuration, report every mistake in it, and exit")
	cmd.Flags().BoolVar(&print, "print-config", false, "print the configuration in force and where each value comes from, and exit")
	cmd.Flags().BoolVar(&printRuntimes, "print-runtimes", false, "print the rows of the drop-in for containers.conf that fit this host, and exit")
	cmd.MarkFlagsMutuallyExclusive("check-config", "print-config", "print-runtimes")
	return cmd
}

// writeRuntimes prints what make install puts into the drop-in, and what is to be said
// of the host's other rows.
func writeRuntimes(stdout, stderr io.Writer) error {
	libexec, err := libexecDir()
	if err != nil {
		return err
	}
	host := runtimes.ThisHost(libexec)
	rows, why := host.Rows()
	for _, line := range append(why, host.Bypasses()...) {
		fmt.Fprintln(stderr, line)
	}
	_, err = fmt.Fprintf(stdout, "[engine.runtimes]\n%s", rows)
	return err
}

// errLogged is returned when the log has told what is wrong.
var errLogged = errors.New("stopped by an error, see the log")

// underSystemd tells whether systemd holds the sockets, see sd_listen_fds(3).
func underSystemd() bool { return os.Getenv("LISTEN_FDS") != "" }

// serve runs the daemon, or what stands in for it where it can't work.
func serve(cfg *config.Config, problems error) error {
	if problems != nil {
		cfg = config.Default()
	}
	log, err := logging.New(cfg.Log.Level)
	if err != nil {
		return err
	}
	defer log.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if problems == nil {
		problems, err = Run(ctx, cfg, log)
	}
	if problems != nil && underSystemd() {
		err = refuse(ctx, problems, log)
	} else {
		err = errors.Join(problems, err)
	}
	if err != nil {
		log.WithError(err).Error("buildwatchd cannot go on")
		return errLogged
	}
	log.Info("buildwatchd stops; builds go on")
	return nil
}
