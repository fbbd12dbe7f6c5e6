package owners

import (
	"context"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// Builder is a process that runs the steps of builds, and owns what they use, also where the
// build belongs to somebody else.
type Builder struct {
	proc.Identity
	UID     uint32
	Command string // program and verb, see api.Owner
	Keeps   bool   // it leaves its working containers on purpose
	Serves  bool   // it is the API service
}

func builderOf(id proc.Identity, uid uint32, command podman.Command, args []string) Builder {
	return Builder{
		Identity: id, UID: uid, Command: command.Name, Keeps: podman.KeepsContainers(args), Serves: command.Purpose == podman.Serves,
	}
}

// Builder looks at a process that runs a builder's program, whether it has a step or not.
// waits are those above one that makes stages which only wait for it. An empty Command is of one
// that has yet to be asked again, in the midst of execve(2).
func (f *Finder) Builder(ctx context.Context, h *proc.Handle) (b Builder, waits []proc.Identity, err error) {
	is, err := f.processOf(ctx, h)
	if err != nil {
		return Builder{}, nil, err
	}
	uid, err := h.UID()
	if err != nil {
		return Builder{}, nil, err
	}
	if len(is.Args) == 0 {
		return Builder{Identity: h.Identity, UID: uid}, nil, nil
	}
	if command := readCommand(is, ""); podman.HasPath(is.Exe) && !podman.MakesStages(command.Name) {
		return builderOf(h.Identity, uid, command, is.Args), nil, nil
	}
	waiters, outer := waitersOf(h, is, uid, (*proc.Handle).UID)
	for _, waiter := range waiters {
		waits = append(waits, waiter.Identity)
		waiter.Close()
	}
	return builderOf(h.Identity, uid, readCommand(is, outer), is.Args), waits, nil
}

// readCommand reads the command line of a builder, which may have no path of its own: outer is
// that of who has started it.
func readCommand(is podman.Process, outer string) podman.Command {
	name := podman.ProgramName(is.Exe, is.Args)
	if !podman.HasPath(is.Exe) && podman.HasPath(outer) {
		name = podman.ProgramName(outer, nil)
	}
	return podman.ReadCommand(name, is.Args)
}
