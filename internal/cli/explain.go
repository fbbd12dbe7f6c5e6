package cli

import (
	"errors"
	"runtime"
	"strings"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
)

// explain makes an error one line that also says what to do.
func explain(err error) string {
	var refusal *api.Error
	switch {
	case errors.As(err, &refusal):
		switch refusal.Code {
		case api.CodeNotFound:
			return err.Error() + `: "buildwatchctl list --all" shows those there are, and those there were`
		case api.CodeAmbiguous:
			return err.Error() + ": give more of it"
		}
	case errors.Is(err, client.ErrNotRunning):
		return err.Error() + ": " + howToStart(runtime.GOOS)
	case errors.Is(err, client.ErrPermission):
		return err.Error() + `: the permissions of the socket keep you out, "systemctl cat buildwatchd.socket" shows them`
	case errors.Is(err, client.ErrClosed), errors.Is(err, client.ErrBusy):
		return err.Error() + `: too many may be open, or it was just stopped: try again, then "journalctl -u buildwatchd"`
	case errors.Is(err, client.ErrNoAnswer):
		return err.Error() + `: "systemctl status buildwatchd" and "journalctl -u buildwatchd" say why`
	case errors.Is(err, client.ErrNotBuildwatchd):
		return err.Error() + ": is --socket, or $" + socketVariable + ", the right one?"
	}
	return err.Error()
}

func howToStart(system string) string {
	if system != "linux" {
		return "it runs on Linux: without --socket and $" + socketVariable + " the podman machine is asked"
	}
	return `start it with "systemctl start buildwatchd.socket buildwatchd.service"`
}

// isGone tells the error for a build that is not there.
func isGone(err error) bool {
	refusal, ok := errors.AsType[*api.Error](err)
	return ok && refusal.Code == api.CodeNotFound
}

func isAmbiguous(err error) bool {
	refusal, ok := errors.AsType[*api.Error](err)
	return ok && refusal.Code == api.CodeAmbiguous
}

// alternatives lists what may be given.
func alternatives[T ~string](all []T) string {
	return strings.Join(each(all, func(one T) string { return string(one) }), ", ")
}
