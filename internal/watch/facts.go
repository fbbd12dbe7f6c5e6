package watch

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/owners"
)

// knowledge is what is known about one thing, and since when.
type knowledge struct {
	value string
	since time.Time
}

// learn keeps what became known. What was known already keeps its time. It is
// called with the lock, or before anybody else knows the build.
func (b *build) learn(about api.FactName, value string) {
	if b.known[about].value != value {
		b.known[about] = knowledge{value, time.Now()}
	}
}

// learnOwner keeps who the owner is when the build begins, or is found again.
func (b *build) learnOwner() {
	switch {
	case b.owner == nil && b.record.Owner.PID == 0:
		b.learn(api.FactOwner, "nobody saw who started it")
	case b.owner == nil:
		b.learn(api.FactOwner, fmt.Sprintf("PID %d has ended", b.record.Owner.PID))
	default:
		b.learn(api.FactOwner, b.nameOwner()+" lives")
		if len(b.owner.Waiters) > 0 {
			var pids []string
			for _, waiter := range b.owner.Waiters {
				pids = append(pids, strconv.Itoa(waiter.PID))
			}
			b.learn(api.FactWaiters, "PID "+strings.Join(pids, ", ")+" waits for the owner")
		}
	}
}

func (b *build) nameOwner() string {
	if b.command == "" {
		return fmt.Sprintf("PID %d", b.record.Owner.PID)
	}
	return fmt.Sprintf("PID %d (%s)", b.record.Owner.PID, b.command)
}

// learnEvent keeps what an event says. It is called with the lock.
func (b *build) learnEvent(e lifecycle.Event, busy bool) {
	switch e {
	case lifecycle.OwnerExited:
		if b.record.Owner.PID > 0 {
			b.learn(api.FactOwner, b.nameOwner()+" has ended")
		}
	case lifecycle.WaiterExited:
		b.learn(api.FactWaiters, "a process that waited for the owner has ended before it")
	case lifecycle.RequestEnded, lifecycle.RequestLeft, lifecycle.RequestDoubted:
		if e == lifecycle.RequestEnded || e == lifecycle.RequestLeft && !busy {
			b.learn(api.FactRequest, "it is over")
		} else {
			b.learn(api.FactRequest, "whether it is over can't be told: "+b.doubt)
		}
	case lifecycle.RequestCertain:
		b.learn(api.FactRequest, "it is served")
	case lifecycle.DeadlinePassed:
		b.learn(api.FactDeadline, "it is over")
	case lifecycle.MaxRuntimePassed:
		b.learn(api.FactMaxRuntime, "it is over")
	}
}

// learnRequest keeps what was seen of the build's API request.
func (b *build) learnRequest(now owners.News) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.learn(api.FactDirectory, now.Directory)
	b.learn(api.FactConnections, now.Connections)
	b.doubt = now.Doubt
}

// causeOf is the fact by which an event ends a build; "" for one that does not.
func causeOf(e lifecycle.Event) api.FactName {
	switch e {
	case lifecycle.OwnerExited:
		return api.FactOwner
	case lifecycle.WaiterExited:
		return api.FactWaiters
	case lifecycle.RequestEnded, lifecycle.RequestLeft:
		return api.FactRequest
	case lifecycle.DeadlinePassed:
		return api.FactDeadline
	case lifecycle.MaxRuntimePassed:
		return api.FactMaxRuntime
	case lifecycle.StalledTooLong:
		return api.FactMotion
	case lifecycle.StopRequested:
		return api.FactStop
	}
	return ""
}

// sourceOf is where a fact is read.
func sourceOf(about api.FactName) api.FactSource {
	switch about {
	case api.FactOwner, api.FactWaiters:
		return api.SourcePidfd
	case api.FactRequest:
		return api.SourceConclusions
	case api.FactDirectory:
		return api.SourceInotify
	case api.FactConnections:
		return api.SourceDescriptors
	case api.FactDeadline, api.FactMaxRuntime:
		return api.SourceClock
	case api.FactMotion:
		return api.SourceCounters
	case api.FactLimits:
		return api.SourceSystemd
	case api.FactStop:
		return api.SourceUser
	case api.FactPolicy:
		return api.SourceConfig
	}
	return api.SourceProc
}
