// Command buildwatchd supervises the container image builds of a host, see
// buildwatchd.service(8).
package main

import (
	"os"

	"github.com/buildwatch/buildwatch/internal/daemon"
)

func main() { os.Exit(daemon.Main(os.Args[1:], os.Stdout, os.Stderr)) }
