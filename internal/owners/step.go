package owners

import (
	"context"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// InStep reports whether a builder has a step's monitor that it has not waited for. So
// a step is not over for a builder that is stopped, hangs, or waits for a monitor that
// does. In doubt it is over.
func (f *Finder) InStep(ctx context.Context, o *Owner) bool {
	children, err := o.Children()
	if err != nil {
		return false // it has ended
	}
	for _, pid := range children {
		if look, err := proc.Look(pid); err == nil && look.PPID == o.PID && look.State == "Z" || f.isMonitor(ctx, pid) {
			return true
		}
	}
	return false
}

// isMonitor reports whether a builder's child is called as monitors are. A name will do:
// who has it is the builder's own child.
func (f *Finder) isMonitor(ctx context.Context, pid int) bool {
	child, err := proc.Open(pid)
	if err != nil {
		return false
	}
	defer child.Close()
	args, err := f.Args.Args(ctx, child)
	return err == nil && len(args) > 0 && (args[0] == podman.OCIMonitor || args[0] == podman.ChrootMonitor)
}
