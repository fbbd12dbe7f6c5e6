// Command buildwatch-runtime is the OCI runtime wrapper. It is called through
// links that bear the names of the runtimes that it stands in front of (crun,
// runc), and becomes the runtime that it was called as. Most calls never come to main: see
// package early.
package main

import (
	"os"
	"runtime"

	"github.com/buildwatch/buildwatch/internal/early"
	"github.com/buildwatch/buildwatch/internal/wrapper"
)

// init pins main to the process's first thread. execve(2) from another thread
// would give the runtime that thread's signal mask, and lose the parent-death
// signal that buildah sets on the runtime: both belong to a thread.
func init() { runtime.LockOSThread() } //nolint:gochecknoinits // only here is the thread the first

func main() { os.Exit(wrapper.Main(os.Args, early.Ignored())) }
