// Package stall reports whether a build hangs: whether nothing of it can go on any
// more, though nobody has ended it. It owns what counts as such, and the reading of
// what threads wait in. It only reads, knows no build's state, and decides nothing
// about what is done.
//
// It errs on one side: what can't be read, or is not known, may go on.
package stall

import "time"

// Tracker remembers of one build since when nothing has moved. The zero value has
// seen nothing. It is used by one goroutine.
type Tracker struct {
	looked time.Time     // when it looked last
	cpu    time.Duration // used until then
	quiet  time.Time     // since when nothing has moved
	marks  string        // of the waits that were seen last; empty for none that are a hang's
}

// Sample is what the processes of a build wait in.
type Sample struct {
	Hung []Process // the emulated ones of which every thread hangs; none: the build may go on
	// Marks are the same in two samples if and only if none of the threads has run
	// in between, and none is new.
	Marks string
}

// A look takes the processor for as much as this, of the time since the last one,
// for no movement: the Go runtime's monitor thread wakes once a minute, for some
// 0.1 ms under emulation. It spares reading /proc, no more: what has truly not
// moved, the marks tell.
const (
	idleShare = 1000 // one part in
	idleLeast = time.Millisecond
)

// Look takes in what can be seen now: the CPU time that the build has used so far
// and, only if that has not moved, what sample says. It returns since when the
// build hangs, if it has done so for the time after, and what of it hangs.
func (t *Tracker) Look(now time.Time, cpu, after time.Duration, sample func() Sample) (since time.Time, hung []Process) {
	idle := max(now.Sub(t.looked)/idleShare, idleLeast)
	moved := t.looked.IsZero() || cpu < t.cpu || cpu-t.cpu > idle
	t.looked, t.cpu = now, cpu
	if moved {
		t.quiet, t.marks = now, ""
		return time.Time{}, nil
	}
	s := sample()
	switch {
	case len(s.Hung) == 0:
		t.quiet, t.marks = now, ""
		return time.Time{}, nil
	case t.marks == "":
		t.marks = s.Marks // the first look at what has used no processor since quiet
	case t.marks != s.Marks:
		t.quiet, t.marks = now, s.Marks
	}
	if now.Sub(t.quiet) < after {
		return time.Time{}, nil
	}
	return t.quiet, s.Hung
}
