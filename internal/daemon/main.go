package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
	"github.com/buildwatch/buildwatch/internal/config"
	"github.com/buildwatch/buildwatch/internal/logging"
	"github.com/buildwatch/buildwatch/internal/runtimes"
	"github.com/buildwatch/buildwatch/internal/version"
)

const usage = `Usage: buildwatchd [FLAG]

buildwatchd places each RUN container of podman build and buildah into a
transient systemd scope of its build, and ends what is left of a build whose
owner is gone. It is started by systemd (buildwatchd.service) and configured by
/etc/buildwatch/buildwatchd.toml.

  --check-config     read the configuration, report every mistake in it, and
                     exit
  --print-config     print the configuration as the files have it and where each
                     value comes from, and exit; that of the running daemon is
                     shown by "buildwatchctl config"
  --print-runtimes   print the rows of the drop-in for containers.conf that fit
                     this host, and exit
  --reload           have the daemon of the unit read its files, report every
                     mistake in them, and exit: what ExecReload= calls
  -h, --help         show this
  -v, --version      show the version
`

// Main runs the program and returns its exit status.
func Main(args []string, stdout, stderr io.Writer) int {
	if err := run(args, stdout, stderr); err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(stderr, "buildwatchd: %s\n", strings.TrimSuffix(line, "\n"))
		}
		return 1
	}
	return 0
}

func run(args []string, stdout, stderr io.Writer) (err error) {
	if len(args) == 0 {
		if !underSystemd() { // there a bad configuration is no reason not to serve
			if _, err := config.Load(""); err != nil {
				return err
			}
		}
		return serve()
	}
	switch strings.Join(args, " ") {
	case "--check-config":
		if _, err = config.Load(""); err == nil {
			_, err = fmt.Fprintln(stdout, "The configuration is valid.")
		}
	case "--print-config":
		var cfg *config.Config
		if cfg, err = config.Load(""); err == nil {
			err = cfg.Print(stdout)
		}
	case "--print-runtimes":
		err = writeRuntimes(stdout, stderr)
	case "--reload":
		err = requestReload(context.Background(), os.Getenv("MAINPID"), "", client.New(api.ControlSocket))
	case "--help", "-h":
		_, err = io.WriteString(stdout, usage)
	case "--version", "-v":
		_, err = fmt.Fprintf(stdout, "buildwatchd %s\n", version.Version)
	default:
		err = fmt.Errorf("%q is not one of its flags, of which it takes one: see \"buildwatchd --help\"", args)
	}
	return err
}

// writeRuntimes prints what make install puts into the drop-in, and what is to be said
// of the host's other rows.
func writeRuntimes(stdout, stderr io.Writer) error {
	libexec, err := libexecDir()
	if err != nil {
		return err
	}
	host := runtimes.ThisHost(asCalled(libexec, os.Args[0]))
	host.Registering = true
	rows, why := host.Rows()
	for _, line := range append(why, host.Bypasses()...) {
		fmt.Fprintln(stderr, line)
	}
	_, err = fmt.Fprintf(stdout, "[engine.runtimes]\n%s", rows)
	return err
}

// asCalled is the directory by the path that the daemon's program was called by, where that
// leads to the same one: on an image whose /usr/local is a link into /var, podman is told
// of /usr/local, as people are.
func asCalled(libexec, program string) string {
	if !filepath.IsAbs(program) {
		return libexec
	}
	called := filepath.Join(filepath.Dir(filepath.Dir(program)), "libexec", "buildwatch")
	a, errA := os.Stat(called)
	b, errB := os.Stat(libexec)
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		return libexec
	}
	return called
}

// errLogged is returned when the log has told what is wrong.
var errLogged = errors.New("stopped by an error, see the log")

// underSystemd reports whether systemd has passed sockets, see sd_listen_fds(3). Only
// until they are taken: that removes the variable.
func underSystemd() bool { return os.Getenv("LISTEN_FDS") != "" }

// serve runs the daemon, or what stands in for it where it can't work.
func serve() error {
	log, err := logging.New(config.Default().Log.Level)
	if err != nil {
		return err
	}
	defer log.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	settings := choose("", os.Getenv("STATE_DIRECTORY"), log) // see systemd.exec(5), StateDirectory=
	sockets, err := openSockets()
	if err != nil {
		log.WithError(err).Error("buildwatchd cannot go on")
		return errLogged
	}
	defer sockets.close()
	if err := runAll(ctx, hangup, settings, sockets, log); err != nil {
		log.WithError(err).Error("buildwatchd cannot go on")
		return errLogged
	}
	log.Info("buildwatchd stops; builds go on")
	return nil
}

// runAll runs the daemon again and again, each time with another configuration. Builds
// and their scopes live on in between, and a wrapper that asks then is answered by the
// next.
func runAll(ctx context.Context, hangup <-chan os.Signal, settings *settings, all sockets, log *logging.Log) error {
	for {
		own, err := all.dup()
		if err != nil {
			return err
		}
		run, end := context.WithCancelCause(ctx)
		var reloading sync.WaitGroup
		reloading.Go(func() { settings.reloading(run, hangup, end) })
		cannot, err := Run(run, settings, own, log)
		if cannot != nil && all.passed {
			own, err = all.dup()
			if err == nil {
				err = refuse(run, cannot, own, log)
			}
		} else {
			err = errors.Join(cannot, err)
		}
		again := err == nil && errors.Is(context.Cause(run), errReload)
		end(nil)
		reloading.Wait()
		if !again {
			return err
		}
		log.Info("The configuration is loaded anew; builds go on")
	}
}
