package cli

import (
	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/runner"
)

func (a *app) runCommand(command []string, request api.RunRequest, strict bool) int {
	return runner.Run(runner.Options{Command: command, Socket: a.socket, Request: request, Strict: strict, Say: a.complain, Why: a.whyEnded})
}
