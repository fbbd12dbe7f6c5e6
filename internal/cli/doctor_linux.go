package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/buildwatch/buildwatch/internal/doctor"
)

// diagnosis is the document of doctor --json.
type diagnosis struct {
	State  doctor.State   `json:"state"`  // the worst
	Checks []doctor.Check `json:"checks"` // never null
}

func (a *app) runDoctor(ctx context.Context, asJSON bool) error {
	exe, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	checks := doctor.Host{
		Root: "/", Version: a.Version, UID: os.Getuid(), Getenv: a.Getenv, Run: doctor.Run,
		Libexec: filepath.Join(filepath.Dir(exe), "..", "libexec", "buildwatch"),
		Daemon:  a.askDaemon(ctx),
	}.Examine(ctx)
	result := diagnosis{doctor.Worst(checks), checks}
	if asJSON {
		err = writeJSON(a.Out, result)
	} else {
		err = writeChecks(a.Out, checks)
	}
	if err != nil {
		return fail(err)
	}
	if result.State == doctor.Fail {
		return exitCode(exitUnwell)
	}
	return nil
}

// askDaemon asks for all that doctor is to know of the daemon.
func (a *app) askDaemon(ctx context.Context) doctor.Daemon {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := a.client()
	defer c.Close()
	info, err := c.Info(ctx)
	if err != nil {
		return doctor.Daemon{Err: err}
	}
	d := doctor.Daemon{Info: info}
	d.Builds, d.Err = a.builds(ctx)
	if now, err := c.Config(ctx); err == nil {
		files, err := a.configOfFiles()
		d.Differs = configDifferences(now, files, err)
	}
	return d
}

// writeChecks writes a line for each, and below it what mends it.
func writeChecks(to io.Writer, checks []doctor.Check) error {
	for _, c := range checks {
		if _, err := fmt.Fprintf(to, "%-4s  %s\n", c.State, oneLine(c.Says)); err != nil {
			return err
		}
		if c.Remedy != "" && c.State != doctor.OK {
			if _, err := fmt.Fprintf(to, "      → %s\n", oneLine(c.Remedy)); err != nil {
				return err
			}
		}
	}
	return nil
}
