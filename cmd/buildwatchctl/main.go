// Command buildwatchctl shows and stops the builds that buildwatchd watches.
package main

import (
	"os"

	"github.com/buildwatch/buildwatch/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], cli.System())) }
