package main

import (
	"errors"
	"os"
	"path/filepath"
)

// installedDaemon is where the machine has the daemon.
const installedDaemon = "/usr/local/bin/buildwatchd"

// daemon is one of those that are compared in a run.
type daemon struct{ name, file string }

func (d daemon) suffix() string {
	if d.name == "" {
		return ""
	}
	return " (" + d.name + ")"
}

// daemonsOf are the one that is installed and, unless other is "", the one in that directory.
func daemonsOf(other string) ([]daemon, error) {
	if other == "" {
		return []daemon{{}}, nil
	}
	kept := filepath.Join(os.TempDir(), "buildwatchd-installed")
	return []daemon{{"before", filepath.Join(other, "buildwatchd")}, {"now", kept}}, command("cp", installedDaemon, kept)
}

// use has the daemon run from now on.
func (d daemon) use() error {
	if d.file == "" {
		return nil
	}
	next := installedDaemon + ".next"
	return errors.Join(
		command("systemctl", "stop", "buildwatchd.socket", "buildwatchd.service"),
		command("cp", d.file, next),
		os.Rename(next, installedDaemon),
		command("systemctl", "reset-failed"),
		command("systemctl", "start", "buildwatchd.socket", "buildwatchd.service"),
	)
}
