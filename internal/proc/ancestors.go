package proc

import "iter"

// Ancestors has a process and those above it, nearest first, most of them at most. Each is
// held while it is looked at, and no longer; the first stays the caller's.
func Ancestors(h *Handle, most int) iter.Seq[*Handle] {
	return func(yield func(*Handle) bool) {
		last := h
		defer func() {
			if last != h {
				last.Close()
			}
		}()
		for range most {
			if !yield(last) {
				return
			}
			parent, err := last.Parent()
			if err != nil {
				return
			}
			if last != h {
				last.Close()
			}
			last = parent
		}
	}
}
