// Package runner is buildwatchctl run: it starts a command that is in its build's
// scope from its first instruction, stands between it and the terminal, and gives
// it what it would have had if it had been run directly: arguments, environment,
// descriptors, terminal, signals, exit status.
//
// The command's process is a buildwatchctl first (Child): it asks the daemon to be
// placed and then becomes the command. So who is to be placed is who asks, by the
// kernel's word. The other buildwatchctl (Run) stays outside of the scope and waits;
// when it is gone, nobody wants the build.
//
// The package ends nothing by itself but what it has started. Where the daemon does
// not place the command, it runs as if buildwatch were not installed.
package runner
