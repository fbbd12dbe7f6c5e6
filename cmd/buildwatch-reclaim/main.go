// Command buildwatch-reclaim removes what a dead build has left in storage. The daemon has
// systemd start it as the user whose build it was, with a job on its standard input, and
// reads what it has done from its standard output.
package main

import (
	"os"

	"github.com/buildwatch/buildwatch/internal/leases"
	"github.com/buildwatch/buildwatch/internal/reclaim"
)

func main() {
	if status, asked := leases.Asked(os.Args); asked {
		os.Exit(status)
	}
	os.Exit(reclaim.Tidy(os.Stdin, os.Stdout, leases.GiveBack))
}
