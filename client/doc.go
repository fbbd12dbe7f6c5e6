// Package client asks buildwatchd over its control socket: which container builds there
// are on the host, why each is kept or being ended, and to end one. It builds on every
// system that Go knows, needs nothing but the standard library and package api, and
// prints and logs nothing.
//
//	c := client.New(api.ControlSocket)
//	defer c.Close()
//	builds, err := c.List(ctx)
//
// Who asks is the user that the program runs as, by the kernel's word: root sees all
// builds, everybody else their own.
//
// # Errors and waiting
//
// How long to wait is for the context to say; only [Client.Stop] and [Client.Watch] may
// take long. What the daemon refuses comes back as an [*api.Error], whose Code is for
// programs. Where no answer came, the error wraps one of [ErrNotRunning],
// [ErrUnreachable], [ErrPermission], [ErrBusy], [ErrClosed], [ErrNoAnswer] and
// [ErrNotBuildwatchd].
//
// # Stability
//
// Functions and types are added, and changed only with a new major version of the
// module. That holds from version 1.0.0 on; until then the changelog names what breaks.
package client
