package runner

// Exit statuses of its own, as podman and env(1) have them. Every other is the
// command's, or 128 and the number of the signal that ended it.
const (
	ExitOwn          = 125 // it failed itself
	ExitCannotInvoke = 126 // the command can't be invoked
	ExitNotFound     = 127 // there is no such command
)
