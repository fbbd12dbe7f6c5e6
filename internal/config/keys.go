package config

import (
	"net/netip"
	"strings"
	"time"
)

// key is one thing that can be set.
type key struct {
	name string // section and name with a dot between
	kind kind   // type, default, bounds and the field of Config
	doc  string // for people: sentences, without line breaks
}

// section returns the part before the dot.
func (k key) section() string {
	section, _, _ := strings.Cut(k.name, ".")
	return section
}

// base returns the part after the dot.
func (k key) base() string {
	_, base, _ := strings.Cut(k.name, ".")
	return base
}

const (
	// A step shorter than this ends before the kernel has killed anything.
	minTimeout = 10 * time.Millisecond
	maxTimeout = 10 * time.Minute
	// maxPlacement leaves the answer time to reach the wrapper, which gives up
	// after one second (package wire, Patience).
	maxPlacement = 900 * time.Millisecond
	minRuntime   = time.Second
	maxRuntime   = 30 * 24 * time.Hour
)

// keys is every key there is, in the order in which they are printed. Keys of
// one section stand together.
var keys = []key{
	{
		name: "log.level",
		kind: choice{
			field:  func(c *Config) *string { return &c.Log.Level },
			preset: "info",
			words:  []string{"error", "warning", "info", "debug"},
		},
		doc: "The least severe entries that are logged. At info, each build's start and end is one entry; debug adds each step between.",
	},
	{
		name: "metrics.listen",
		kind: loopback{
			field:  func(c *Config) *netip.AddrPort { return &c.Metrics.Listen },
			preset: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 16786),
		},
		doc: "Where Prometheus metrics are served over HTTP, without authentication: a loopback IP address and a port. Every local user can read them; they hold numbers only, no user's data.",
	},
	{
		name: "ladder.kill_timeout",
		kind: timeout(time.Second, func(c *Config) *time.Duration { return &c.Ladder.KillTimeout }),
		doc:  "How long the processes of an ended build's containers may take to go after SIGKILL.",
	},
	{
		name: "ladder.owner_timeout",
		kind: timeout(3*time.Second, func(c *Config) *time.Duration { return &c.Ladder.OwnerTimeout }),
		doc:  "How long the podman or buildah process of a build that was stopped may take to tidy up (working containers, mounts) after its containers were ended, before it gets SIGTERM.",
	},
	{
		name: "ladder.owner_term_timeout",
		kind: timeout(500*time.Millisecond, func(c *Config) *time.Duration { return &c.Ladder.OwnerTermTimeout }),
		doc:  "How long that process may then take to end by itself, before it gets SIGKILL; and how long it may take to go after that.",
	},
	{
		name: "ladder.stop_timeout",
		kind: timeout(time.Second, func(c *Config) *time.Duration { return &c.Ladder.StopTimeout }),
		doc:  "How long systemd may take to stop the build's scope.",
	},
	{
		name: "ladder.cgroup_kill_timeout",
		kind: timeout(time.Second, func(c *Config) *time.Duration { return &c.Ladder.CgroupKillTimeout }),
		doc:  "How long the build's processes may take to go after the kernel was told to kill their cgroup. What is left then is reported as stuck.",
	},
	{
		name: "placement.timeout",
		kind: duration{
			field:  func(c *Config) *time.Duration { return &c.Placement.Timeout },
			preset: 850 * time.Millisecond,
			min:    minTimeout,
			max:    maxPlacement,
		},
		doc: "How long putting one RUN container into its build's scope may take. When it is over, the step runs without supervision. The OCI runtime wrapper itself waits one second at most.",
	},
	{
		name: "policy.abandoned",
		kind: choice{
			field:  func(c *Config) *string { return &c.Policy.Abandoned },
			preset: AbandonedEnd,
			words:  []string{AbandonedEnd, AbandonedReport},
		},
		doc: "What is done with a build that nobody wants any more, because its owner has ended, its client is gone or max_runtime is over. end: what is left of it is ended. report: nothing is sent to it; it is listed as abandoned, logged once and counted, until it ends by itself. buildwatchctl stop, and the deadline of buildwatchctl run --timeout, are users' wishes and end a build in either case.",
	},
	{
		name: "policy.max_runtime",
		kind: durationOrNone{duration{
			field: func(c *Config) *time.Duration { return &c.Policy.MaxRuntime },
			min:   minRuntime,
			max:   maxRuntime,
		}},
		doc: "How long a build may run, counted from its first RUN step, or from its start by buildwatchctl run. When it is over the build is ended, with the reason deadline. It holds for builds that an earlier daemon has begun as well. A build of buildwatchctl run --timeout ends by the earlier of the two.",
	},
	{
		name: "limits.connections_per_user",
		kind: integer{
			field:  func(c *Config) *int { return &c.Limits.ConnectionsPerUser },
			preset: 64,
			min:    1,
			max:    4096,
		},
		doc: "How many connections to each of the daemon's sockets one user may have open at the same time.",
	},
}

// timeout is the kind of a ladder step's key.
func timeout(preset time.Duration, field func(*Config) *time.Duration) duration {
	return duration{field: field, preset: preset, min: minTimeout, max: maxTimeout}
}

// lookup returns the key of that dotted name.
func lookup(name string) (key, bool) {
	for _, k := range keys {
		if k.name == name {
			return k, true
		}
	}
	return key{}, false
}

// isSection tells whether any key is in the section.
func isSection(name string) bool {
	for _, k := range keys {
		if k.section() == name {
			return true
		}
	}
	return false
}
