package watch

import (
	"reflect"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/owners"
)

// learn keeps what became known. What was known already keeps its time. It is
// called with the lock.
//
// +checklocks:b.mu
func (b *build) learn(fact api.Fact) {
	before := b.known[fact.Name]
	fact.Since, fact.Source = before.Since, sourceOf(fact.Name)
	if !reflect.DeepEqual(before, fact) {
		fact.Since = time.Now()
		b.known[fact.Name] = fact
	}
}

// learnOwner keeps who the owner is when the build begins, or is found again.
//
// +checklocks:b.mu
func (b *build) learnOwner() {
	switch {
	case b.owner == nil && b.record.Owner.PID == 0:
		b.learn(api.Fact{Name: api.FactOwner, Value: api.ValueUnseen})
	case b.owner == nil:
		b.learn(b.ownerFact(api.ValueEnded))
	default:
		b.learn(b.ownerFact(api.ValueLives))
		if len(b.owner.Waiters) > 0 {
			waiters := api.Fact{Name: api.FactWaiters, Value: api.ValueWaits}
			for _, waiter := range b.owner.Waiters {
				waiters.PIDs = append(waiters.PIDs, waiter.PID)
			}
			b.learn(waiters)
		}
	}
}

// +checklocks:b.mu
func (b *build) ownerFact(value api.FactValue) api.Fact {
	return api.Fact{Name: api.FactOwner, Value: value, PIDs: []int{b.record.Owner.PID}, Command: b.command}
}

// learnEvent keeps what an event says. It is called with the lock.
//
// +checklocks:b.mu
func (b *build) learnEvent(e lifecycle.Event, busy bool) {
	switch e {
	case lifecycle.OwnerExited:
		if b.record.Owner.PID > 0 {
			b.learn(b.ownerFact(api.ValueEnded))
		}
	case lifecycle.WaiterExited:
		b.learn(api.Fact{Name: api.FactWaiters, Value: api.ValueEnded})
	case lifecycle.RequestEnded, lifecycle.RequestLeft, lifecycle.RequestDoubted:
		if e == lifecycle.RequestEnded || e == lifecycle.RequestLeft && !busy {
			b.learn(api.Fact{Name: api.FactRequest, Value: api.ValueOver})
		} else {
			b.learn(api.Fact{Name: api.FactRequest, Value: api.ValueUnknown, Doubt: b.doubt})
		}
	case lifecycle.RequestCertain:
		b.learn(api.Fact{Name: api.FactRequest, Value: api.ValueServed})
	case lifecycle.DeadlinePassed:
		b.learn(api.Fact{Name: api.FactDeadline, Value: api.ValueOver})
	case lifecycle.MaxRuntimePassed:
		b.learn(api.Fact{Name: api.FactMaxRuntime, Value: api.ValueOver})
	}
}

// learnLimits keeps which limits the build's new scope has, if any. It is called with the
// lock.
//
// +checklocks:b.mu
func (b *build) learnLimits(set *api.Limits) {
	if set != nil {
		b.learn(api.Fact{Name: api.FactLimits, Value: api.ValueSet, Limits: set})
	}
}

// learnRequest keeps what was seen of the build's API request.
func (b *build) learnRequest(now owners.News) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.learn(now.Directory)
	b.learn(now.Connections)
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
	case api.FactMemory, api.FactTasks:
		return api.SourceShortages
	case api.FactStop:
		return api.SourceUser
	case api.FactPolicy:
		return api.SourceConfig
	}
	return api.SourceProc
}
