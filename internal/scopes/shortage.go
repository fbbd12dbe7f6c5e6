package scopes

import (
	"context"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/internal/limits"
)

// resource is what a scope may run short of, and where the kernel says so.
//
// Source: linux, Documentation/admin-guide/cgroup-v2.rst, memory.events, pids.events.
// Both count what happens in the cgroups below as well: memory.events since 5.2 unless
// mounted with memory_localevents, pids.events since 6.11. Before that a shortage of
// tasks in a container is counted in the container's own, which goes with the step.
type resource struct {
	events, happened string // the file, and its line that counts what came of a shortage
	reached          string // the line of the .local file that counts that the cgroup's own limit was met
	max, property    string
}

var resources = map[Resource]resource{
	Memory: {"memory.events", "oom_kill", "oom", "memory.max", "MemoryMax"},
	Tasks:  {"pids.events", "max", "max", "pids.max", "TasksMax"},
}

// Resource is what a build may run short of.
type Resource string

// Every resource.
const (
	Memory Resource = "memory" // the kernel kills a process
	Tasks  Resource = "tasks"  // no process or thread is made
)

// Shortage is what the kernel says of one.
type Shortage struct {
	Count uint64 // of processes that were killed, or not made, since the scope was made
	Limit string // the scope's own that was met, such as "MemoryMax=64M"; "" for one elsewhere
}

// resort is how long a wait for a shortage trusts the kernel's notification alone: the
// end of the cgroup is not notified.
const resort = 5 * time.Second

// AwaitShortage returns when the resource has been short more often than known. The
// error is the context's, or that there is nothing to look at: no such controller, or no
// scope any more.
func (s *Scope) AwaitShortage(ctx context.Context, r Resource, known uint64) (Shortage, error) {
	of := resources[r]
	err := s.dir.await(ctx, of.events, resort, func(content []byte) (bool, error) {
		return countOf(content, of.happened) > known, nil
	})
	if err != nil {
		return Shortage{}, err
	}
	return s.Shortage(r), nil
}

// Shortage says how often the resource has been short so far.
func (s *Scope) Shortage(r Resource) Shortage {
	of := resources[r]
	content, _ := s.dir.read(of.events)
	found := Shortage{Count: countOf(content, of.happened)}
	// A limit that a container has (podman build --memory), or a slice above, is not ours to name.
	if local, _ := s.dir.read(of.events + ".local"); countOf(local, of.reached) > 0 {
		found.Limit = of.property + "=" + s.dir.limit(of.max)
	}
	return found
}

// limit is a limit of the cgroup's, as systemd writes it.
func (c *cgroup) limit(file string) string {
	content, _ := c.read(file)
	text := strings.TrimSpace(string(content))
	if bytes, err := strconv.ParseUint(text, 10, 64); err == nil && strings.HasPrefix(path.Base(file), "memory.") {
		return limits.Size(bytes)
	}
	return text
}

// countOf is the number in the line that begins with the name, 0 for none.
func countOf(content []byte, name string) uint64 {
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}
