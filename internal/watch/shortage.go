package watch

import (
	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// shortages is what is told of each resource.
var shortages = map[processes.Resource]struct {
	resource api.Resource
	event    lifecycle.Event
	fact     api.FactName
}{
	processes.Memory: {api.ResourceMemory, lifecycle.MemoryShort, api.FactMemory},
	processes.Tasks:  {api.ResourceTasks, lifecycle.TasksShort, api.FactTasks},
}

// watchShortages tells of what the build is short of, for as long as the scope is there.
// What it was short of before is no news. It is called with the lock.
//
// +checklocks:b.mu
func (b *build) watchShortages(s processes.Scope, before map[processes.Resource]uint64) {
	for resource := range shortages {
		b.short[resource] = before[resource]
		b.watcher.running.Go(func() {
			for {
				b.mu.Lock()
				known := b.short[resource]
				b.mu.Unlock()
				now, err := s.AwaitShortage(b.life, resource, known)
				if err != nil {
					return // the scope or the controller is not there, or the daemon stops
				}
				b.learnShortage(resource, now)
			}
		})
	}
}

// watchShortagesAnew is watchShortages for a scope that was found.
func (b *build) watchShortagesAnew(s processes.Scope) {
	before := map[processes.Resource]uint64{}
	for resource := range shortages {
		before[resource] = s.Shortage(resource).Count
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchShortages(s, before)
}

// lookForShortages is for the moment in which the owner ends: its scope does soon
// after, and a notification may be late.
func (b *build) lookForShortages() {
	b.mu.Lock()
	s := b.held.Scope
	b.mu.Unlock()
	if s == nil {
		return
	}
	for resource := range shortages {
		if now := s.Shortage(resource); now.Count > 0 {
			b.learnShortage(resource, now)
		}
	}
}

// learnShortage tells of a shortage that is news.
func (b *build) learnShortage(resource processes.Resource, now processes.Shortage) {
	words := shortages[resource]
	told := api.Shortage{Resource: words.resource, Count: now.Count, Limit: now.Limit}
	b.mu.Lock()
	news := now.Count > b.short[resource]
	first := b.status.Short != words.event.Means()
	if news {
		b.short[resource] = now.Count
		b.learn(api.Fact{Name: words.fact, Value: api.ValueShort, Shortage: &told})
		if first {
			b.tell(api.Event{Kind: api.EventShortage, Shortage: &told})
		}
	}
	b.unlock()
	if !news {
		return
	}
	b.watcher.metrics.Short(words.resource)
	if first {
		b.log.WithFields(logrus.Fields{"resource": string(resource), "limit": now.Limit}).Infof("Build %s: %s", b.id, told)
	}
	b.send(message{event: words.event})
}
