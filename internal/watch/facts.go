package watch

import (
	"cmp"
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

// causes are the facts by which events end a build; those that end none are not among them.
var causes = map[lifecycle.Event]api.FactName{
	lifecycle.OwnerExited:      api.FactOwner,
	lifecycle.WaiterExited:     api.FactWaiters,
	lifecycle.RequestEnded:     api.FactRequest,
	lifecycle.RequestLeft:      api.FactRequest,
	lifecycle.DeadlinePassed:   api.FactDeadline,
	lifecycle.MaxRuntimePassed: api.FactMaxRuntime,
	lifecycle.StalledTooLong:   api.FactMotion,
	lifecycle.StopRequested:    api.FactStop,
}

// sources are where facts are read, if not in /proc.
var sources = map[api.FactName]api.FactSource{
	api.FactOwner:       api.SourcePidfd,
	api.FactWaiters:     api.SourcePidfd,
	api.FactRequest:     api.SourceConclusions,
	api.FactDirectory:   api.SourceInotify,
	api.FactConnections: api.SourceDescriptors,
	api.FactDeadline:    api.SourceClock,
	api.FactMaxRuntime:  api.SourceClock,
	api.FactMotion:      api.SourceCounters,
	api.FactLimits:      api.SourceSystemd,
	api.FactMemory:      api.SourceShortages,
	api.FactTasks:       api.SourceShortages,
	api.FactStop:        api.SourceUser,
	api.FactPolicy:      api.SourceConfig,
}

func sourceOf(about api.FactName) api.FactSource { return cmp.Or(sources[about], api.SourceProc) }
