package scopes

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// leftPause is how long those who were told to end have before it is looked who is
// left; longestLeftPause, between two looks later.
const leftPause, longestLeftPause = 5 * time.Millisecond, 100 * time.Millisecond

// maxLeft is how many threads are asked in one look whose they are. Where there are
// more, most of them are ending, and the others' turn comes.
const maxLeft = 1024

// killAll ends every process of the cgroup and below. One that is gone has none.
func (c *cgroup) killAll(ctx context.Context) error { return c.afterKill(ctx, c.kill()) }

// afterKill goes on with what kill has returned.
func (c *cgroup) afterKill(ctx context.Context, err error) error {
	switch {
	case isGone(err):
		return nil
	case err != nil:
		return err
	}
	return c.endLeft(ctx)
}

// endLeft ends, one by one and by descriptor, whom a call that was to end all of the
// cgroup has left alive. cgroup.kill, and so systemd's KillUnit from 255 on, spare a
// process whose first thread has ended while others work on: the kernel sends each
// process's signal to its first thread, and that one takes none. The call succeeds
// all the same.
//
// It returns when the cgroup is empty, when all who are left have their signal and
// can only be waited for, or when the context ends.
//
// Source: linux, kernel/cgroup/cgroup.c, __cgroup_kill; kernel/signal.c,
// complete_signal; 6.1 and 6.18.
func (c *cgroup) endLeft(ctx context.Context) error {
	told := map[proc.Identity]bool{}
	var failed error
	for pause := leftPause; ; pause = min(2*pause, longestLeftPause) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return failed // what is left is the next rung's
		}
		if populated, err := c.populated(); err != nil || !populated {
			return err
		}
		before := len(told)
		failed = c.signalLeft(told)
		if len(told) == before {
			return failed
		}
	}
}

// signalLeft sends SIGKILL to those in the cgroup who have not got it from here.
func (c *cgroup) signalLeft(told map[proc.Identity]bool) error {
	var failed error
	for pid, tid := range c.threadGroups() {
		h, err := proc.Open(pid)
		if err != nil {
			continue // it has ended
		}
		// Held first, asked then: it is this very process that has a thread here.
		where, err := h.CgroupOfThread(tid)
		if err == nil && !told[h.Identity] && c.holds(where) {
			if err := h.Signal(unix.SIGKILL); err != nil && !errors.Is(err, proc.ErrGone) {
				failed = errors.Join(failed, err)
			}
			told[h.Identity] = true
		}
		h.Close()
	}
	return failed
}

// threadGroups finds the processes that have a thread in the cgroup or below it, and
// one such thread of each. cgroup.procs does not list them all: where the first thread
// of a process has ended before the process was moved here, it is listed where that
// thread was.
//
// Source: linux, kernel/cgroup/cgroup.c, css_task_iter_advance, and a look at 6.18.
func (c *cgroup) threadGroups() map[int]int {
	groups := map[int]int{}
	left, asked := maxCgroups, 0
	c.eachBelow(maxDepth, &left, func(c *cgroup) {
		for _, tid := range c.numbers("cgroup.threads") {
			if _, known := groups[tid]; known {
				continue
			}
			if asked++; asked > maxLeft {
				return
			}
			if pid, err := proc.ThreadGroup(tid); err == nil {
				groups[pid] = tid
			}
		}
	})
	return groups
}

// numbers reads a file of PIDs or thread IDs, those outside of our PID namespace left
// out. A threaded cgroup answers EOPNOTSUPP for cgroup.procs: its processes are listed
// by the threaded domain above it.
func (c *cgroup) numbers(name string) []int {
	content, _ := c.readUpTo(name, maxProcs)
	content = content[:bytes.LastIndexByte(content, '\n')+1] // not a part of a number
	var numbers []int
	for field := range bytes.FieldsSeq(content) {
		if n, err := strconv.Atoi(string(field)); err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	return numbers
}
