package cli

import (
	"os"

	"github.com/buildwatch/buildwatch/internal/runner"
)

// Start runs the program that args call, by their first: buildwatchctl, or what
// buildwatchctl run has started to become the command.
func Start(args []string, environment Environment) int {
	if args[0] == runner.ChildName {
		return runner.Child(args[1:], os.Environ())
	}
	return Main(args[1:], environment)
}
