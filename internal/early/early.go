// Package early is what the wrapper does before Go's runtime starts. podman and buildah
// call the OCI runtime ten times a second for each RUN step, and nearly all of these calls
// only have to become the real runtime. Go's start would cost each of them a millisecond,
// more than all else.
//
// So the program has an entry point of its own, a few lines of assembly, which the linker
// is told of (-E). It calls passThrough. Where that is sure, it becomes the real runtime by
// execve(2): of a call that does not create a RUN container, on a host where no file of
// podman's configuration has rows of runtimes but our own drop-in. All else is left to the
// program, package wrapper, and so is whatever here is not plain: both find the same
// runtime, and a test compares them.
//
// Then the entry point notes which signals the program was started with as ignored. A Go
// program forgets them: its runtime installs a handler for each but SIGHUP and SIGINT
// before any Go code runs, and execve(2) makes of a handler the default action. conmon
// calls the OCI runtime with SIGPIPE ignored, and so it must stay.
//
// Source: go/src/runtime/signal_unix.go, initsig and sigInstallGoHandler.
//
// The rules for Go code that runs without its runtime: nothing is allocated, and nothing
// panics; no map is read, and no variable that an init function would set. Memory is the
// static scratch. The stack is the kernel's, which grows by itself: each function compares
// it with a bound in what it takes for its goroutine (noGoroutine), and there that is 0. In
// a program that is linked without the entry point, nothing here is called but Ignored.
package early
