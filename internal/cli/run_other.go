//go:build !linux

package cli

import (
	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/runner"
)

func (a *app) runCommand([]string, api.RunRequest, bool) int {
	a.complain("run: builds run in the podman machine, and each is watched there without it: podman build; for its limits, use it there")
	return runner.ExitOwn
}
