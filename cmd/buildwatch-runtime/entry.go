//go:build amd64 || arm64

package main

// A Go program forgets which signals it was started with as ignored: its runtime
// installs a handler for each but SIGHUP and SIGINT before any Go code runs, and
// execve(2) makes of a handler the default action. conmon calls the OCI runtime
// with SIGPIPE ignored, and so it must stay. Hence an entry point that notes the
// dispositions before the Go runtime starts; the Makefile names it to the linker
// (-E main.entry). In a program linked without it, nothing is noted.
//
// Source: go/src/runtime/signal_unix.go, initsig and sigInstallGoHandler.

// inheritedIgnored has bit n-1 set for each signal n that was ignored.
var inheritedIgnored uint64

// disposition is where the kernel puts a struct sigaction.
var disposition [4]uint64

//lint:ignore U1000 the linker calls it (-E main.entry)
func entry()

// The assembler's references are not seen by the compiler.
var _ = disposition
