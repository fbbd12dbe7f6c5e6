package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/procfs"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/test/machine"
)

// A process is an emulated one, held by pidfd, and what it looked like.
type process struct {
	*proc.Handle
	insidePID  uint64
	insidePPID uint64
	wchan      string
	command    string
}

// emulated takes hold of every emulated process in the machine.
func emulated(m *machine.Machine) ([]*process, error) {
	pids, err := m.PIDs()
	if err != nil {
		return nil, err
	}
	var all []*process
	for _, pid := range pids {
		p, err := look(pid)
		if errors.Is(err, proc.ErrGone) {
			continue
		}
		if err != nil {
			closeAll(all)
			return nil, err
		}
		if p != nil {
			all = append(all, p)
		}
	}
	return all, nil
}

// look returns nil for a process that is not emulated.
func look(pid int) (*process, error) {
	handle, err := proc.Open(pid)
	if err != nil {
		return nil, err
	}
	seen, err := proc.Look(pid)
	if err != nil || seen.Arch == "" {
		handle.Close()
		return nil, err
	}
	p := &process{Handle: handle, wchan: seen.WChan, insidePID: insidePID(pid), insidePPID: insidePID(seen.PPID)}
	if fs, err := procfs.NewProc(pid); err == nil {
		args, _ := fs.CmdLine()
		p.command = strings.Join(args, " ")
	}
	return p, nil
}

// insidePID is a process's PID in the machine: not the innermost one, which is
// the RUN container's. 0 for a process that the machine does not see.
func insidePID(pid int) uint64 {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0
	}
	status, err := p.NewStatus()
	if err != nil || len(status.NSpids) < 2 {
		return 0
	}
	return status.NSpids[1]
}

// watch sends the time at which the last of the processes ended.
func watch(ctx context.Context, held []*process) <-chan time.Time {
	gone := make(chan time.Time, 1)
	var all sync.WaitGroup
	for _, p := range held {
		all.Go(func() { _ = p.Wait(ctx) })
	}
	go func() {
		all.Wait()
		if ctx.Err() == nil {
			gone <- time.Now()
		}
	}()
	return gone
}

func closeAll(all []*process) {
	for _, p := range all {
		p.Close()
	}
}
