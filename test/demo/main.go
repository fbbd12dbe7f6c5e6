// Command demo shows the problem that buildwatch solves, and that it is solved:
// it cancels the same emulated build twice in a test machine, without
// buildwatch and with it, and tells what was left. See buildah issue #6786.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

func main() {
	var opts options
	flag.StringVar(&opts.suite, "suite", "trixie", "the Debian `release` of the test machine")
	flag.BoolVar(&opts.withoutOnly, "without-only", false, "show only the first half, without buildwatch")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if err := demo(ctx, opts); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}
