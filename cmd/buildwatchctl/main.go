// Command buildwatchctl runs builds, and shows and stops those that buildwatchd watches.
package main

import (
	"os"

	"github.com/buildwatch/buildwatch/internal/cli"
)

func main() { os.Exit(cli.Start(os.Args, cli.System())) }
